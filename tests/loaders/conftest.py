from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hostile.safetensors import raw_safetensors
from naming import ByName

from ww_plugins.loaders.safetensors import SafetensorsLoader

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture(scope="session")
def raw() -> Callable[..., bytes]:
    return raw_safetensors


@pytest.fixture(scope="session")
def made_by_tensorflow(tmp_path_factory: Any) -> Callable[[str], Path]:
    """Runs a program of this folder, which imports TensorFlow, and returns the folder with what it made."""

    def make(program: str) -> Path:
        if importlib.util.find_spec("tensorflow") is None:
            pytest.skip("TensorFlow is not installed")
        folder = tmp_path_factory.mktemp("made")
        maker = Path(__file__).with_name(program)
        subprocess.run([sys.executable, str(maker), str(folder)], check=True, capture_output=True, timeout=300)
        return folder

    return make


@pytest.fixture
def loader() -> SafetensorsLoader:
    return ByName(SafetensorsLoader())


@pytest.fixture
def contents() -> Callable[[Any], dict[str, tuple[str, tuple[int, ...], bytes]]]:
    """Every floating-point tensor of a checkpoint: dtype, shape and bytes by name."""

    def read(checkpoint: Any) -> dict[str, tuple[str, tuple[int, ...], bytes]]:
        tensors = [*checkpoint.buffers]
        for layer in checkpoint.layers:
            tensors += [layer.weight, *([layer.bias] if layer.bias else [])]
        found = {}
        for tensor in tensors:
            with checkpoint.read(tensor) as array:
                assert not array.flags.writeable
                assert array.flags.c_contiguous
                assert (array.dtype.name, array.shape) == (tensor.dtype, tensor.shape)
                found[tensor.name] = (tensor.dtype, tensor.shape, array.tobytes())
        return found

    return read


@pytest.fixture
def sharded(tmp_path: Path) -> Path:
    """A folder with a model of two shards and their index."""
    import numpy as np
    from safetensors.numpy import save_file

    folder = tmp_path / "model"
    folder.mkdir()
    shards = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    tensors = {
        shards[0]: {
            "layer.10.weight": np.arange(6, dtype=np.float32).reshape(2, 3),
            "layer.10.bias": np.ones(2, "<f4"),
        },
        shards[1]: {"layer.2.weight": np.arange(8, dtype=np.float64).reshape(4, 2), "steps": np.arange(3)},
    }
    for name, content in tensors.items():
        save_file(content, folder / name)
    index = {"metadata": {"total_size": 1}, "weight_map": {t: name for name, c in tensors.items() for t in c}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return folder
