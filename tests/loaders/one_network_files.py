"""Files that hold the network of ``one_network.py``, in the formats whose tensors stand in a graph or in groups."""

from __future__ import annotations

import json
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np
from one_network import CELLS, LAYERS, MEAN, VARIANCE, Arrays, Layers, One, keras_variables

if TYPE_CHECKING:
    from pathlib import Path

# -------------------------------------------------------------------------------------------------------------- ONNX


def in_onnx() -> Layers:
    """Tell what a graph of ONNX holds: no bilinear layer, and nothing that tells experts from other tensors."""
    renamed = {f"{cell}.{part}": f"{cell}.{end}" for cell in CELLS for part, end in (("input", "W"), ("state", "R"))}
    told = {renamed.get(name, name): one for name, one in LAYERS.items() if name != "bilinear"}
    return told | {"experts": told["experts"]._replace(kind="other")}


def write_onnx(path: Path) -> Path:
    """Write a graph in which each layer takes an input of its own."""
    from onnx_files import node, saved

    arrays: Arrays = {"bn.mean": MEAN, "bn.var": VARIANCE}
    nodes = []
    for name, one in LAYERS.items():
        cell = name.partition(".")[0]
        if one.kind == "bilinear" or cell in CELLS:
            continue
        by_matmul = name.startswith("heads.")
        weight = name if name == "experts" else f"{name}.weight"
        arrays[weight] = np.ascontiguousarray(one.weight.T) if by_matmul else one.weight
        biases = "" if one.bias is None else f" {name}.bias"
        arrays |= {} if one.bias is None else {f"{name}.bias": one.bias}
        match one.kind:
            case "dense" if by_matmul:
                nodes += [node("MatMul", f"x {weight}", f"{name}:y"), node("Add", f"{name}:y {name}.bias")]
            case "dense":
                nodes.append(node("Gemm", f"x {weight}{biases}", transB=1))
            case "embedding":
                nodes.append(node("Gather", f"{weight} ids"))
            case "expert":
                nodes.append(node("MatMul", f"x {weight}"))
            case "norm" if name == "bn":
                nodes.append(node("BatchNormalization", f"x {weight}{biases} bn.mean bn.var"))
            case "norm":
                nodes.append(node("LayerNormalization", f"x {weight}{biases}"))
            case _ if name.startswith("up_"):
                nodes.append(node("ConvTranspose", f"x {weight}{biases}"))
            case _:
                dilated = {"dilations": [2, 2]} if name == "dilated" else {}
                nodes.append(node("Conv", f"x {weight}{biases}", group=one.groups, **dilated))
    for cell, op in CELLS.items():
        parts = [LAYERS[f"{cell}.{part}"] for part in ("input", "state")]
        arrays |= {f"{cell}.{letter}": one.weight[None] for letter, one in zip("WR", parts, strict=True)}
        arrays[f"{cell}.B"] = np.concatenate([one.bias for one in parts if one.bias is not None])[None]
        nodes.append(node(op, f"x {cell}.W {cell}.R {cell}.B", hidden_size=parts[1].weight.shape[1]))
    return saved(path, nodes, arrays)


# ------------------------------------------------------------------------------------------------------------- Keras

# layer: (class, its group, the config); variables stand in the order in which Keras numbers them
_CLASSES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "dense": ("Dense", "dense", {}),
    "line": ("Conv1D", "conv1d", {}),
    "plane": ("Conv2D", "conv2d", {"groups": 1}),
    "volume": ("Conv3D", "conv3d", {}),
    "grouped": ("Conv2D", "conv2d_1", {"groups": 2}),
    "deep": ("DepthwiseConv2D", "depthwise_conv2d", {}),
    "dilated": ("Conv2D", "conv2d_2", {"dilation_rate": [2, 2]}),
    "up_line": ("Conv1DTranspose", "conv1d_transpose", {}),
    "up_plane": ("Conv2DTranspose", "conv2d_transpose", {}),
    "table_embed": ("Embedding", "embedding", {}),
    "lstm": ("LSTM", "lstm", {}),
    "gru": ("GRU", "gru", {}),
    "rnn": ("SimpleRNN", "simple_rnn", {}),
    "norm": ("LayerNormalization", "layer_normalization", {}),
    "bn": ("BatchNormalization", "batch_normalization", {}),
    "heads": ("MultiHeadAttention", "multi_head_attention", {}),
}
_PARTS = {"query": "query_dense", "key": "key_dense", "value": "value_dense", "attention_output": "output_dense"}
_CONFIG = {
    "class_name": "Functional",
    "config": {
        "name": "net",
        "layers": [
            {"class_name": class_name, "config": {"name": name, **config}}
            for name, (class_name, _, config) in _CLASSES.items()
        ],
    },
}


def _as_keras_makes_them(item: tuple[str, Any]) -> list[bool]:
    name, _ = item
    return [last in name for last in ("moving", "/bias", "/beta")]


def _place(path: list[str]) -> str:
    """Give the group of a layer's variables; a cell stands under its attribute, whatever its name."""
    first, *between = path
    return f"layers/{_CLASSES[first][1]}/" + "".join(f"{_PARTS.get(part, 'cell')}/" for part in between) + "vars"


def write_weights_of_keras(path: Path) -> Path:
    """Write the numbered variables of Keras 3: ``.weights.h5``."""
    import h5py

    with h5py.File(path, "w") as file:
        for name, array in sorted(keras_variables().items(), key=_as_keras_makes_them):
            layers = name.split("/")[:-1]
            for depth in range(1, len(layers) + 1):
                file.require_group(_place(layers[:depth])).attrs["name"] = layers[depth - 1]
            group = file[_place(layers)]
            group.create_dataset(str(len(group)), data=array)
    return path


def write_keras(path: Path) -> Path:
    """Write the archive of Keras 3: ``.keras``."""
    inside = write_weights_of_keras(path.with_name("inside.weights.h5"))
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("metadata.json", "{}")
        archive.writestr("config.json", json.dumps(_CONFIG))
        archive.write(inside, "model.weights.h5")
    inside.unlink()
    return path


def write_old_keras(path: Path) -> Path:
    """Write the named variables of Keras 1 and 2, with the model: ``.h5``."""
    import h5py

    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = json.dumps(_CONFIG)
        root = file.create_group("model_weights")
        root.attrs["layer_names"] = np.array([name.encode() for name in _CLASSES])
        for layer in _CLASSES:
            held = {f"{name}:0": array for name, array in keras_variables().items() if name.split("/")[0] == layer}
            group = root.create_group(layer)
            group.attrs["weight_names"] = np.array([name.encode() for name in held])
            for name, array in held.items():
                group.create_dataset(name, data=array)
    return path


# ------------------------------------------------------------------------------------------ TensorFlow and its Lite


def write_saved_model(folder: Path) -> Path:
    """Write a SavedModel of variables alone."""
    from tensorflow_files import write_checkpoint

    (folder / "variables").mkdir(parents=True)
    (folder / "saved_model.pb").write_bytes(b"")
    write_checkpoint(folder / "variables" / "variables", keras_variables())
    return folder


def in_tflite() -> Layers:
    """Tell what TensorFlow Lite holds: kernels along one axis have two, an LSTM has a matrix a gate; no GRU."""
    told = {}
    for name, one in LAYERS.items():
        if name == "bilinear" or name.startswith("gru."):
            continue
        is_line = one.kind == "conv1d"
        told[name] = one._replace(kind="conv2d", weight=one.weight[..., None]) if is_line else one
    for part in ("input", "state"):
        one = told.pop(f"lstm.{part}")
        for gate, rows in enumerate(np.split(one.weight, 4)):
            told[f"lstm.{part}_{gate}"] = One("recurrent", rows)
    return told


def write_tflite(path: Path) -> Path:
    """Write a model in which each layer takes an input of its own."""
    from tflite_files import Op, T, model

    tensors, ops = [T("x", shape=(1, 8)), T("ids", shape=(4,))], []
    for name, one in in_tflite().items():
        weight = one.weight
        if one.kind.startswith("conv"):
            order = (1, *range(2, weight.ndim), 0) if name.startswith("up_") else (0, *range(2, weight.ndim), 1)
            order = (2, 3, 4, 1, 0) if name == "volume" else (1, 2, 3, 0) if name == "deep" else order
            weight = weight.transpose(order)
        elif one.kind == "expert":
            weight = weight.transpose(0, 2, 1)
        tensors.append(T(name, np.ascontiguousarray(weight)))
        bias = f"{name}.bias" if one.bias is not None else -1
        tensors += [T(bias, one.bias)] if one.bias is not None else []
        if one.weight.ndim > 2:
            channels = one.weight.shape[1] * one.groups
            tensors.append(T(f"{name}:x", shape=(1, *(8,) * (one.weight.ndim - 2), channels)))
        match one.kind:
            case _ if name.startswith(("lstm.", "rnn.")):
                pass
            case "dense":
                ops.append(Op("FULLY_CONNECTED", ("x", name, bias)))
            case "embedding":
                ops.append(Op("GATHER", (name, "ids")))
            case "norm":
                ops.append(Op("MUL", ("x", name)))
            case "expert":
                ops.append(Op("BATCH_MATMUL", (f"{name}:x", name)))
            case _ if name.startswith("up_"):
                ops.append(Op("TRANSPOSE_CONV", (-1, name, f"{name}:x", bias)))
            case _:
                op = {"deep": "DEPTHWISE_CONV_2D", "volume": "CONV_3D"}.get(name, "CONV_2D")
                ops.append(Op(op, (f"{name}:x", name, bias)))
    gates = [f"lstm.{part}_{gate}" for part in ("input", "state") for gate in range(4)]
    ops.append(Op("UNIDIRECTIONAL_SEQUENCE_LSTM", ("x", *gates)))
    ops.append(Op("RNN", ("x", "rnn.input", "rnn.state", "rnn.input.bias")))
    path.write_bytes(model(*tensors, ops=ops))
    return path
