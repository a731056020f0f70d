"""Built-in loaders: formats of checkpoints that ww reads without help."""

from __future__ import annotations

from typing import TYPE_CHECKING

import ww_core as ww
from ww_plugins.loaders.arrays import ArraysLoader
from ww_plugins.loaders.keras.loader import KerasLoader
from ww_plugins.loaders.keras.models import KerasModelLoader
from ww_plugins.loaders.pytorch.loader import PyTorchLoader
from ww_plugins.loaders.pytorch.modules import ModuleLoader
from ww_plugins.loaders.safetensors import SafetensorsLoader

if TYPE_CHECKING:
    from collections.abc import Sequence


@ww.hookimpl
def ww_register_loaders() -> Sequence[ww.Loader]:
    """Register the loaders that need no package beyond ww's own."""
    return [SafetensorsLoader(), PyTorchLoader(), KerasLoader(), ModuleLoader(), KerasModelLoader(), ArraysLoader()]
