"""One network with every kind of layer, through every framework and format: the same layers come out of each.

Kinds and groups, names, singular values and digests are those of the arrays that went in. What a format cannot hold:

========================== ===========================================================================================
PyTorch, a state dict      groups (1), a bilinear layer (taken for conv1d); so too safetensors, .npz and dicts
PyTorch, all other forms   nothing is lost: pickled, scripted, traced, torch.fx, in memory
MLX                        groups; the input of a transposed kernel is its second axis, where ww's is the first;
                           cells under names that tell nothing (dense); a bilinear layer
Flax                       as MLX; a cell is a dense layer for each gate
Keras's layout in .npz     groups; the first matrix of a cell is dense; experts, a bilinear layer
Keras, .keras, .h5         experts, a bilinear layer; ``.weights.h5`` groups too
TensorFlow                 as ``.weights.h5``; both rows of a GRU's bias are one buffer
ONNX                       a bilinear layer; what experts are (other)
ONNX by PyTorch's exporter the order of gates is another one (equal singular values, other digests); the fused
                           projection of attention is dense; the newer one makes products of a simple cell
TensorFlow Lite            conv1d is conv2d of one column; an LSTM has a matrix for each gate; biases of norms are
                           buffers; no GRU, no bilinear layer
========================== ===========================================================================================
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import one_network as net
import one_network_files as files
import pytest
from naming import ByName
from safetensors.numpy import save_file
from tensorflow_files import write_checkpoint

import ww_core as ww
from ww_core.sources.digests import digest_checkpoint, digest_tensor
from ww_plugins.loaders.arrays import ArraysLoader
from ww_plugins.loaders.keras.loader import KerasLoader
from ww_plugins.loaders.npz import NpzLoader
from ww_plugins.loaders.onnx.loader import OnnxLoader
from ww_plugins.loaders.pytorch.loader import PyTorchLoader
from ww_plugins.loaders.pytorch.modules import ModuleLoader
from ww_plugins.loaders.safetensors import SafetensorsLoader
from ww_plugins.loaders.tensorflow.loader import TensorFlowLoader
from ww_plugins.loaders.tflite.loader import TFLiteLoader

if TYPE_CHECKING:
    from collections.abc import Callable

HERE = Path(__file__).parent


class Format(NamedTuple):
    """How a format is written and read, and what it then holds."""

    write: Callable[[Path], Any]
    loader: ww.Loader
    layers: Callable[[], net.Layers]
    needs: str = ""


class Nothing:
    """A memory of digests that remembers nothing."""

    def recall(self, host, location, names):
        return {}

    def remember(self, host, location, digests):
        pass


def singular_values(kind, weight):
    """Of each matrix of a weight: of a kernel, the matrix at each place."""
    if weight.ndim == 1:
        return np.linalg.norm(weight)
    if kind.startswith("conv"):
        weight = np.moveaxis(weight, (0, 1), (-2, -1))
    return np.linalg.svd(weight.astype(np.float64), compute_uv=False)


def is_the_network(checkpoint, expected):
    """Whether a checkpoint has these layers and no others."""
    assert {layer.name for layer in checkpoint.layers} == set(expected)
    holds(checkpoint, expected)


def holds(checkpoint, expected, reordered=()):
    """Whether a checkpoint has these layers, of which some have their rows in another order."""
    told = {layer.name: layer for layer in checkpoint.layers}
    digests = digest_checkpoint(checkpoint, Nothing(), loader="x", rehash=True, jobs=1).tensors
    for name, one in expected.items():
        layer = told[name]
        assert (str(layer.kind), layer.groups, layer.weight.shape) == (one.kind, one.groups, one.weight.shape), name
        with checkpoint.read(layer.weight) as weight:
            found = singular_values(one.kind, np.array(weight))
        wanted = singular_values(one.kind, one.weight)
        assert np.max(np.abs(found - wanted)) <= 1e-6 * np.max(wanted), name
        assert (digests[layer.weight.name] == digest_tensor(one.weight, "float32")) != (name in reordered), name
        if layer.bias is not None and one.bias is not None and name not in reordered:
            assert digests[layer.bias.name] == digest_tensor(one.bias, "float32"), name


# ----------------------------------------------------------------------------------------------------------- PyTorch


def state_dict_alone():
    """A state dict tells no groups, and no bilinear layer."""
    told = {name: one._replace(groups=1) for name, one in net.in_torch().items()}
    return told | {"bilinear": told["bilinear"]._replace(kind="conv1d")}


def torch_saved(thing, **how):
    def write(folder):
        import torch

        torch.save(thing(), folder / "net.pt", **how)
        return folder / "net.pt"

    return write


def scripted(make):
    def write(folder):
        import torch
        from torch_network import inputs

        whole = net.module()
        found = torch.jit.script(whole) if make == "script" else torch.jit.trace(whole, inputs(), check_trace=False)
        found.save(folder / "net.pt")
        return folder / "net.pt"

    return write


def graph_module():
    import torch

    return torch.fx.symbolic_trace(net.module())


OLD = {"_use_new_zipfile_serialization": False}
PYTORCH, MEMORY = PyTorchLoader(), ModuleLoader()
TORCH = {
    "state dict": Format(torch_saved(lambda: net.module().state_dict()), PYTORCH, state_dict_alone),
    "state dict, legacy": Format(torch_saved(lambda: net.module().state_dict(), **OLD), PYTORCH, state_dict_alone),
    "module": Format(torch_saved(net.module), PYTORCH, net.in_torch),
    "module, legacy": Format(torch_saved(net.module, **OLD), PYTORCH, net.in_torch),
    "script": Format(scripted("script"), PYTORCH, net.in_torch),
    "trace": Format(scripted("trace"), PYTORCH, net.in_torch),
    "torch.fx": Format(torch_saved(graph_module), PYTORCH, net.in_torch),
    "in memory": Format(lambda folder: net.module(), MEMORY, net.in_torch),
    "torch.fx in memory": Format(lambda folder: graph_module(), MEMORY, net.in_torch),
}
BUFFERS = {"mesh", "bn.running_mean", "bn.running_var"}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", TORCH)
def test_pytorch_and_what_it_saves(name, tmp_path):
    pytest.importorskip("torch")
    own = TORCH[name]
    with ByName(own.loader).open(own.write(tmp_path)) as checkpoint:
        expected = own.layers()
        is_a_layer = own.layers is state_dict_alone  # which does not tell that it is a buffer
        expected |= {"mesh": net.One("dense", net.MESH)} if is_a_layer else {}
        is_the_network(checkpoint, expected)
        assert {buffer.name for buffer in checkpoint.buffers} == (BUFFERS - {"mesh"} if is_a_layer else BUFFERS)
        assert [skipped.name for skipped in checkpoint.skipped if not skipped.tied_to] == ["bn.num_batches_tracked"]


@pytest.mark.filterwarnings("ignore")
def test_all_that_pytorch_saves_has_one_digest(tmp_path):
    pytest.importorskip("torch")
    found = set()
    for name in ("state dict", "state dict, legacy", "module", "script", "torch.fx", "in memory"):
        with ByName(TORCH[name].loader).open(TORCH[name].write(tmp_path)) as checkpoint:
            found.add(digest_checkpoint(checkpoint, Nothing(), loader="x", rehash=True, jobs=1).checkpoint)
    assert len(found) == 1


# --------------------------------------------------------------------------------- arrays by names, in each layout


def with_mesh():
    return state_dict_alone() | {"mesh": net.One("dense", net.MESH)}


STORED = {
    "pytorch": (net.state_dict, with_mesh, "pt"),
    "mlx": (net.mlx_weights, net.in_mlx, "mlx"),
    "flax": (net.flax_variables, net.in_flax, "flax"),
    "keras": (net.keras_variables, net.by_names_of_keras, "tf"),
}


def safetensors(layout):
    def write(folder):
        save_file(STORED[layout][0](), folder / "net.safetensors", {"format": STORED[layout][2]})
        return folder / "net.safetensors"

    return write


def saved_by_numpy(layout, save=np.savez):
    def write(folder):
        save(folder / "net.npz", **STORED[layout][0]())
        return folder / "net.npz"

    return write


def in_memory(layout):
    return lambda folder: STORED[layout][0]()


BY_NAME = {
    (way, layout): own
    for layout, (_, layers, _) in STORED.items()
    for way, own in {
        "safetensors": Format(safetensors(layout), SafetensorsLoader(), layers),
        "npz": Format(saved_by_numpy(layout), NpzLoader(layout=layout), layers),
        "npz, compressed": Format(saved_by_numpy(layout, np.savez_compressed), NpzLoader(layout=layout), layers),
        "dict": Format(in_memory(layout), ArraysLoader(layout=layout), layers),
    }.items()
}


@pytest.mark.parametrize(("way", "layout"), BY_NAME)
def test_arrays_by_names(way, layout, tmp_path):
    own = BY_NAME[way, layout]
    with ByName(own.loader).open(own.write(tmp_path)) as checkpoint:
        is_the_network(checkpoint, own.layers())
        assert not checkpoint.warnings


# ------------------------------------------------------------------------------------- graphs, groups and variables


def of_tensorflow():
    return net.without_groups(net.in_keras())


WRITTEN = {
    "net.onnx": Format(files.write_onnx, OnnxLoader(), files.in_onnx, "onnx"),
    "net.keras": Format(files.write_keras, KerasLoader(), net.in_keras, "h5py"),
    "net.weights.h5": Format(files.write_weights_of_keras, KerasLoader(), of_tensorflow, "h5py"),
    "net.h5": Format(files.write_old_keras, KerasLoader(), net.in_keras, "h5py"),
    "net": Format(lambda path: write_checkpoint(path, net.keras_variables()), TensorFlowLoader(), of_tensorflow),
    "saved": Format(files.write_saved_model, TensorFlowLoader(), of_tensorflow),
    "net.tflite": Format(files.write_tflite, TFLiteLoader(), files.in_tflite, "flatbuffers"),
}


@pytest.mark.parametrize("name", WRITTEN)
def test_graphs_groups_and_variables(name, tmp_path):
    own = WRITTEN[name]
    if own.needs:
        pytest.importorskip(own.needs)
    with ByName(own.loader).open(own.write(tmp_path / name)) as checkpoint:
        is_the_network(checkpoint, own.layers())
        # Nothing in a checkpoint of TensorFlow tells a convolution along an axis from an EinsumDense.
        lines = "an EinsumDense: 'line/kernel', 'up_line/kernel'"
        assert [lines in said for said in checkpoint.warnings] == [True] * isinstance(own.loader, TensorFlowLoader)


def exported_layers():
    """What PyTorch's exporter tells: cells as ONNX has them, attention as a product, and the mesh as one too."""
    ends = {"weight_ih_l0": "W", "weight_hh_l0": "R"}
    renamed = {f"{cell}.{end}": f"{cell}.{to}" for cell in net.CELLS for end, to in ends.items()}
    told = {renamed.get(name, name): one for name, one in net.in_torch().items() if name != "bilinear"}
    told["heads.in_proj_weight"] = told["heads.in_proj_weight"]._replace(kind="dense")
    told["experts"] = told["experts"]._replace(kind="other")
    return told | {"mesh": net.One("dense", np.ascontiguousarray(net.MESH.T))}


def exported(path, **how):
    import torch
    from torch_network import Product, inputs

    whole = net.module()
    whole.bilinear = Product()  # there is no operator for the other
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(whole, inputs(), path, **how)
    return ByName(OnnxLoader()).open(path)


REORDERED = ("lstm.W", "lstm.R", "gru.W", "gru.R")


@pytest.mark.filterwarnings("ignore")
def test_what_pytorch_exports_to_onnx(tmp_path):
    pytest.importorskip("torch")
    pytest.importorskip("onnx")
    with exported(tmp_path / "net.onnx", dynamo=False) as checkpoint:
        holds(checkpoint, exported_layers(), REORDERED)
        others = {layer.name for layer in checkpoint.layers} - set(exported_layers())
        assert others == set()


@pytest.mark.filterwarnings("ignore")
def test_what_pytorch_s_newer_exporter_writes(tmp_path):
    """It makes products of a simple recurrent cell, whose names say nothing."""
    pytest.importorskip("torch")
    pytest.importorskip("onnxscript")
    with exported(tmp_path / "net.onnx", dynamo=True) as checkpoint:
        holds(checkpoint, {k: one for k, one in exported_layers().items() if not k.startswith("rnn.")}, REORDERED)


# ------------------------------------------------------------------------------------------ by Keras and TensorFlow

BY_KERAS = {
    "net.keras": (KerasLoader(), net.in_keras),
    "net.h5": (KerasLoader(), net.in_keras),
    "net.weights.h5": (KerasLoader(), of_tensorflow),
    "net.index": (TensorFlowLoader(), of_tensorflow),
    "saved": (TensorFlowLoader(), of_tensorflow),
}


@pytest.fixture(scope="module")
def by_keras(tmp_path_factory):
    """A folder with what Keras and TensorFlow made of the network."""
    if importlib.util.find_spec("tensorflow") is None:
        pytest.skip("TensorFlow is not installed")
    folder = tmp_path_factory.mktemp("by_keras")
    root = str(Path(ww.__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": root, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
    program = [sys.executable, str(HERE / "one_network_by_keras.py"), str(folder)]
    done = subprocess.run(program, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    return folder


@pytest.mark.stress
@pytest.mark.parametrize("name", BY_KERAS)
def test_what_keras_and_tensorflow_save(name, by_keras):
    loader, layers = BY_KERAS[name]
    with ByName(loader).open(by_keras / name) as checkpoint:
        is_the_network(checkpoint, layers())
        # A checkpoint of TensorFlow does not tell what a kernel of three axes is.
        assert all("nothing tells them apart" in own for own in checkpoint.warnings)
        assert not checkpoint.warnings or isinstance(loader, TensorFlowLoader)


@pytest.mark.stress
def test_a_model_of_keras_in_memory(by_keras):
    held = json.loads((by_keras / "held.json").read_text())
    assert held == {
        name: [one.kind, one.groups, digest_tensor(one.weight, "float32")] for name, one in net.in_keras().items()
    }
