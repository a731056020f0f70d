import numpy as np
import ww_nuclear_norm

from ww_core.testing import MetricContract


class TestNuclearNorm(MetricContract):
    plugin = ww_nuclear_norm


def test_value():
    assert ww_nuclear_norm.nuclear_norm(np.array([3.0, 2.0, 0.5])) == 5.5
