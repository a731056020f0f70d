"""A small sound source of each format of the hostile corpus. PyTorch, Keras and TensorFlow are not needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import one_network_files as files
from hostile.graphs import HELD
from hostile.torchscript import scripted
from one_network import LAYERS, keras_variables
from safetensors.numpy import save_file
from tensorflow_files import write_checkpoint
from torch_files import sound, zip_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path


def _safetensors(folder: Path) -> Path:
    save_file({f"{name}.weight": one.weight for name, one in LAYERS.items()}, folder / "it.safetensors")
    return folder / "it.safetensors"


def _npz(folder: Path) -> Path:
    np.savez(folder / "it.npz", **{f"{name}.weight": one.weight for name, one in LAYERS.items()})
    return folder / "it.npz"


def _graph(folder: Path) -> Path:
    (folder / "it.pb").write_bytes(HELD)
    return folder / "it.pb"


def _torch(content: bytes) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        (folder / "it.pt").write_bytes(content)
        return folder / "it.pt"

    return write


SOUND: Mapping[str, Callable[[Path], Path]] = {
    "safetensors": _safetensors,
    "pytorch, zip": _torch(sound("zip", epoch=3)),
    "pytorch, legacy": _torch(sound("legacy", epoch=3)),
    "pytorch, pickles": _torch(sound("plain", epoch=3)),
    "torchscript": _torch(zip_of(*scripted())),
    "npz": _npz,
    "keras, .h5": lambda folder: files.write_old_keras(folder / "it.h5"),
    "keras, .keras": lambda folder: files.write_keras(folder / "it.keras"),
    "onnx": lambda folder: files.write_onnx(folder / "it.onnx"),
    "tflite": lambda folder: files.write_tflite(folder / "it.tflite"),
    "tensorflow": lambda folder: write_checkpoint(folder / "it", keras_variables()),
    "frozen graph": _graph,
    "saved model": lambda folder: files.write_saved_model(folder / "it"),
}
"""By the names of the corpus: what writes it into a folder, and returns the path that is named."""
