from __future__ import annotations

import numpy as np
from ww_core.testing import FeatureSetContract

import plugin_name


class TestContract(FeatureSetContract):
    plugin = plugin_name


def test_values_worked_out_by_hand() -> None:
    # of -1, 1 the fourth moment is the square of the variance; of 0, 0, 0, 4 the moments are 3 and 21
    weights = np.array([[-1.0, 1.0, -1.0, 1.0], [0.0, 0.0, 0.0, 4.0]])
    assert plugin_name.kurtosis(weights).tolist() == [1.0, 21 / 9]


def test_equal_weights_have_none() -> None:
    assert np.isnan(plugin_name.kurtosis(np.ones((2, 3)))).all()
