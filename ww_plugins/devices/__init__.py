"""Built-in devices: where spectra are made."""

from __future__ import annotations

import ww_core as ww
from ww_core.spectral import CPU
from ww_plugins.devices.torch import Cuda, Torch, Xpu


@ww.hookimpl
def ww_register_devices() -> list[ww.Device]:
    """The built-in devices."""
    return [CPU, Torch(), Cuda(), Xpu()]
