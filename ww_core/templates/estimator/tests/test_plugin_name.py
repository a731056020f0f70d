from __future__ import annotations

import numpy as np
import pytest
import ww_core as ww
from ww_core.testing import EstimatorContract

import plugin_name


class TestContract(EstimatorContract):
    plugin = plugin_name


def test_the_nearest_are_asked_whatever_the_unit_of_a_feature() -> None:
    features = np.array([[0.0, 0.0], [1.0, 1000.0], [10.0, 0.0], [11.0, 1000.0]])
    targets = np.array([0.1, 0.3, 0.7, 0.9])
    estimator = plugin_name.ObjectName(neighbours=1)
    fitted = estimator.fit(features, targets, seed=0)
    assert fitted.predict(np.array([[1.0, 900.0], [10.0, 100.0]])).tolist() == [0.3, 0.7]


def test_no_neighbour_is_refused() -> None:
    with pytest.raises(ww.UsageError, match="neighbours=0"):
        plugin_name.ObjectName(neighbours=0)
