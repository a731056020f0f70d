from __future__ import annotations

import numpy as np
import pytest
import ww_core as ww
from ww_core.testing import ExtractorContract

import plugin_name


class TestContract(ExtractorContract):
    plugin = plugin_name


def test_the_sum_of_the_slices_has_the_singular_values() -> None:
    kernel = np.zeros((3, 2, 1, 2))
    kernel[0, 0] = [[1.0, 2.0]]
    kernel[1, 1] = [[4.0, -3.0]]
    norms = ["spectral_norm", "frobenius_norm"]
    report = ww.analyze({"conv.weight": kernel}, extractors=["object-name"], metrics=norms)
    (row,) = report.layers
    assert (row.N, row.M) == (3, 2)
    assert row.metrics["spectral_norm"].value == pytest.approx(3.0)
    assert row.metrics["frobenius_norm"].value == pytest.approx(10.0**0.5)
