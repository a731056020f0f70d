from __future__ import annotations

import numpy as np
import pytest
import ww_core as ww
from ww_core.testing import MetricContract

import plugin_name


class TestContract(MetricContract):
    plugin = plugin_name


@pytest.mark.parametrize(
    ("singular_values", "expected"), [([2.0, 2.0, 2.0], 0.0), ([1.0, 0.0, 0.0, 0.0], 0.75), ([3.0, 1.0], 0.25)]
)
def test_values_worked_out_by_hand(singular_values: list[float], expected: float) -> None:
    value = plugin_name.object_name(np.array(singular_values))
    assert value == pytest.approx(expected, abs=1e-15)


def test_a_zero_matrix_has_none() -> None:
    with pytest.raises(ww.NotApplicable):
        plugin_name.object_name(np.zeros(3))
