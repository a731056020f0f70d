from __future__ import annotations

import numpy as np
import ww_core as ww
from ww_core.testing import ProfileContract

import plugin_name


class TestContract(ProfileContract):
    plugin = plugin_name


def test_kernels_are_stacked_and_nothing_is_fitted() -> None:
    report = ww.analyze({"conv.weight": np.ones((4, 3, 2, 2))}, profile="object-name")
    (row,) = report.layers
    assert (row.extractor, row.N, row.M) == ("stack", 16, 3)
    assert set(row.metrics) == {"spectral_norm", "frobenius_norm", "stable_rank", "hard_rank"}
