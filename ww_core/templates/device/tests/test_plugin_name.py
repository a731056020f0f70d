from __future__ import annotations

import numpy as np
import pytest
from ww_core.testing import DeviceContract

import plugin_name


class TestContract(DeviceContract):
    plugin = plugin_name


@pytest.mark.parametrize("scale", [1.0, 1e300, 1e-300])
def test_numbers_of_any_size_have_singular_values(scale: float) -> None:
    piece = np.array([[[3.0, 0.0, 0.0], [0.0, 2.0, 0.0]]]) * scale
    device = plugin_name.ObjectName()
    assert device.by_gram("d", piece)[0] == pytest.approx([2.0 * scale, 3.0 * scale], rel=1e-14)
    assert sorted(device.by_svd(piece)[0]) == pytest.approx([2.0 * scale, 3.0 * scale], rel=1e-14)
