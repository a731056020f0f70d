"""Built-in loaders: formats of checkpoints that ww reads without help."""

from __future__ import annotations

from typing import TYPE_CHECKING

import ww_core as ww
from ww_plugins.loaders.arrays import ArraysLoader
from ww_plugins.loaders.keras.loader import KerasLoader
from ww_plugins.loaders.keras.models import KerasModelLoader
from ww_plugins.loaders.npz import NpzLoader
from ww_plugins.loaders.onnx.loader import OnnxLoader
from ww_plugins.loaders.pytorch.loader import PyTorchLoader
from ww_plugins.loaders.pytorch.modules import ModuleLoader
from ww_plugins.loaders.safetensors import SafetensorsLoader
from ww_plugins.loaders.tensorflow.loader import TensorFlowLoader
from ww_plugins.loaders.tflite.loader import TFLiteLoader
from ww_plugins.loaders.zoo import ZooLoader

if TYPE_CHECKING:
    from collections.abc import Sequence


@ww.hookimpl
def ww_register_loaders() -> Sequence[ww.Loader]:
    """Register the loaders."""
    return [
        SafetensorsLoader(),
        PyTorchLoader(),
        KerasLoader(),
        OnnxLoader(),
        TFLiteLoader(),
        TensorFlowLoader(),
        NpzLoader(),
        ZooLoader(),
        ModuleLoader(),
        KerasModelLoader(),
        ArraysLoader(),
    ]
