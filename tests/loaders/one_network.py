"""One network with every kind of layer: its arrays are drawn from a seed, and each framework stores some of them.

`LAYERS` are the arrays in ww's layout, and what each of them is. ``in_torch`` and its like tell what of them a
framework stores, by the names that ww gives; ``state_dict`` and its like give the arrays as it stores them.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray[Any, np.dtype[np.float32]]


class One(NamedTuple):
    """A weight in ww's layout, and what it is."""

    kind: str
    weight: Array
    bias: Array | None = None
    groups: int = 1


Layers = dict[str, One]
Arrays = dict[str, Array]

_RANDOM = np.random.Generator(np.random.Philox(25))


def _draw(*shape: int) -> Array:
    return _RANDOM.standard_normal(shape).astype(np.float32)


LAYERS: Layers = {
    "dense": One("dense", _draw(7, 5), _draw(7)),
    "line": One("conv1d", _draw(6, 4, 3), _draw(6)),
    "plane": One("conv2d", _draw(6, 4, 3, 2), _draw(6)),
    "volume": One("conv3d", _draw(6, 4, 2, 3, 2), _draw(6)),
    "grouped": One("conv2d", _draw(6, 4, 3, 3), _draw(6), 2),
    "deep": One("conv2d", _draw(8, 1, 3, 2), _draw(8), 4),
    "dilated": One("conv2d", _draw(5, 4, 3, 3), _draw(5)),
    "up_line": One("conv1d", _draw(4, 6, 3), _draw(6)),
    "up_plane": One("conv2d", _draw(4, 6, 3, 2), _draw(6)),
    "table_embed": One("embedding", _draw(11, 5)),
    "lstm.input": One("recurrent", _draw(4 * 3, 5), _draw(4 * 3)),
    "lstm.state": One("recurrent", _draw(4 * 3, 3), _draw(4 * 3)),
    "gru.input": One("recurrent", _draw(3 * 4, 5), _draw(3 * 4)),
    "gru.state": One("recurrent", _draw(3 * 4, 4), _draw(3 * 4)),
    "rnn.input": One("recurrent", _draw(6, 5), _draw(6)),
    "rnn.state": One("recurrent", _draw(6, 6), _draw(6)),
    "norm": One("norm", _draw(5), _draw(5)),
    "bn": One("norm", _draw(6), _draw(6)),
    "heads.query": One("dense", _draw(8, 8), _draw(8)),
    "heads.key": One("dense", _draw(8, 8), _draw(8)),
    "heads.value": One("dense", _draw(8, 8), _draw(8)),
    "heads.out": One("dense", _draw(8, 8), _draw(8)),
    "bilinear": One("bilinear", _draw(4, 3, 5), _draw(4)),
    "experts": One("expert", _draw(3, 8, 5)),
}
CELLS = {"lstm": "LSTM", "gru": "GRU", "rnn": "RNN"}
CELLS_OF_KERAS = {"lstm": "lstm/lstm_cell", "gru": "gru/gru_cell", "rnn": "rnn/simple_rnn_cell"}
HEADS = 2
PROJECTIONS = ("query", "key", "value")
MEAN, VARIANCE = _draw(6), _draw(6) ** 2
MESH = _draw(4, 3)
"""A buffer of the network itself."""


def _whole(arrays: Arrays) -> Arrays:
    return {name: np.ascontiguousarray(array) for name, array in arrays.items()}


# ----------------------------------------------------------------------------------------------------------- PyTorch


def in_torch() -> Layers:
    """Tell what PyTorch stores: all, with the three projections of attention in one."""
    told = {name: one for name, one in LAYERS.items() if "." not in name}
    for cell in CELLS:
        told[f"{cell}.weight_ih_l0"], told[f"{cell}.weight_hh_l0"] = LAYERS[f"{cell}.input"], LAYERS[f"{cell}.state"]
    fused = [LAYERS[f"heads.{name}"] for name in PROJECTIONS]
    biases = [one.bias for one in fused if one.bias is not None]
    told["heads.in_proj_weight"] = One("qkv", np.concatenate([one.weight for one in fused]), np.concatenate(biases))
    told["heads.out_proj"] = LAYERS["heads.out"]
    return told


def state_dict() -> Arrays:
    """Give what PyTorch stores, by the keys of a state dict."""
    found: Arrays = {}
    for name, one in in_torch().items():
        whole_name = "weight" in name or name == "experts"
        found[name if whole_name else f"{name}.weight"] = one.weight
        if one.bias is not None:
            found[name.replace("weight", "bias") if whole_name else f"{name}.bias"] = one.bias
    return found | {"bn.running_mean": MEAN, "bn.running_var": VARIANCE, "mesh": MESH}


def module() -> Any:
    """Make the network in PyTorch."""
    import torch
    from torch_network import Net

    net = Net().eval()
    net.load_state_dict({name: torch.from_numpy(array) for name, array in state_dict().items()})
    return net


# ---------------------------------------------------------------------------------------------------- channels last


def _last(array: Array) -> Array:
    """Give a kernel of (out, in, *kernel) as (*kernel, in, out)."""
    return np.moveaxis(array, (0, 1), (-1, -2))


def _deep(array: Array, groups: int) -> Array:
    """Give a depthwise kernel as Keras and TensorFlow store it: (*kernel, in, multiplier)."""
    return np.moveaxis(array[:, 0], 0, -1).reshape(*array.shape[2:], groups, -1)


def _swapped(one: One) -> One:
    """A kernel of a transposed convolution in a layout that does not tell it from another."""
    return one._replace(weight=np.swapaxes(one.weight, 0, 1))


def _gates(cell: str) -> Arrays:
    """Give the matrices of a cell gate by gate."""
    found = {}
    for part in ("input", "state"):
        weight = LAYERS[f"{cell}.{part}"].weight
        for gate, rows in enumerate(np.split(weight, len(weight) // LAYERS[f"{cell}.state"].weight.shape[1])):
            found[f"{cell}.{part}_{gate}"] = rows
    return found


def in_flax() -> Layers:
    """Tell what Flax stores: a dense layer for each gate of a cell; no groups; no bilinear layer."""
    told = {name: one for name, one in LAYERS.items() if name.partition(".")[0] not in {*CELLS, "bilinear"}}
    told |= {name: _swapped(LAYERS[name]) for name in ("up_line", "up_plane")}
    told |= {name: One("dense", rows) for cell in CELLS for name, rows in _gates(cell).items()}
    return {name: one._replace(groups=1) for name, one in told.items()}


def flax_variables() -> Arrays:
    """Give what Flax stores, by names with dots."""
    found: Arrays = {"bn.mean": MEAN, "bn.var": VARIANCE}
    for name, one in in_flax().items():
        match one.kind:
            case "norm":
                found[f"{name}.scale"] = one.weight
            case "embedding":
                found[f"{name}.embedding"] = one.weight
            case "expert":
                found[name] = one.weight
            case _ if name == "heads.out":
                found[f"{name}.kernel"] = one.weight.T.reshape(HEADS, -1, 8)
            case _ if name.startswith("heads."):
                found[f"{name}.kernel"] = one.weight.T.reshape(8, HEADS, -1)
            case _:
                found[f"{name}.kernel"] = _last(one.weight)
        if one.bias is not None:
            found[f"{name}.bias"] = one.bias.reshape(HEADS, -1) if name.partition(".")[2] in PROJECTIONS else one.bias
    return _whole(found)


def in_mlx() -> Layers:
    """Tell what MLX stores: a matrix for each projection; no groups; no bilinear layer."""
    told = {name: one for name, one in LAYERS.items() if "." not in name and name != "bilinear"}
    told |= {name: _swapped(LAYERS[name]) for name in ("up_line", "up_plane")}
    told |= {f"heads.{name}_proj": LAYERS[f"heads.{name}"] for name in (*PROJECTIONS, "out")}
    for cell in CELLS:  # under names that tell nothing
        for name, part in (("Wx", "input"), ("Wh", "state")):
            told[f"{cell}.{name}"] = One("dense", LAYERS[f"{cell}.{part}"].weight)
    return {name: one._replace(groups=1) for name, one in told.items()}


def mlx_weights() -> Arrays:
    """Give what MLX stores."""
    found: Arrays = {"bn.running_mean": MEAN, "bn.running_var": VARIANCE}
    for name, one in in_mlx().items():
        is_whole = name == "experts" or ".W" in name
        weight = np.moveaxis(one.weight, 1, -1) if one.kind.startswith("conv") else one.weight
        found[name if is_whole else f"{name}.weight"] = weight
        if one.bias is not None:
            found[f"{name}.bias"] = one.bias
    return _whole(found)


def in_keras() -> Layers:
    """Tell what Keras stores: no experts, no bilinear layer."""
    told = {}
    for name, one in LAYERS.items():
        first, _, rest = name.partition(".")
        if first in CELLS:
            told[f"{CELLS_OF_KERAS[first]}/{'kernel' if rest == 'input' else 'recurrent_kernel'}"] = one
        elif name not in {"experts", "bilinear"}:
            told[name.replace("heads.out", "heads/attention_output").replace(".", "/")] = one
    return told


def without_groups(told: Layers) -> Layers:
    """Leave out the groups of plain convolutions, which a format does not tell; a depthwise one has a name for it."""
    return told | {"grouped": told["grouped"]._replace(groups=1)}


def by_names_of_keras() -> Layers:
    """Tell what names and shapes alone tell of Keras's variables: the first matrix of a cell is a dense layer."""
    told = without_groups(in_keras())
    for cell in CELLS_OF_KERAS.values():
        told[cell] = told.pop(f"{cell}/kernel")._replace(kind="dense")
    return told


def keras_variables() -> Arrays:
    """Give what Keras stores, by the names of its variables."""
    found: Arrays = {"bn/moving_mean": MEAN, "bn/moving_variance": VARIANCE}
    for name, one in in_keras().items():
        last = name.rpartition("/")[2]
        cell = name.removesuffix(last).rstrip("/")
        match one.kind:
            case "norm":
                found[f"{name}/gamma"], found[f"{name}/beta"] = one.weight, one.bias  # type: ignore[assignment]
                continue
            case "embedding":
                found[f"{name}/embeddings"] = one.weight
                continue
            case "recurrent":
                found[name] = one.weight.T
                if last == "kernel":
                    found[f"{cell}/bias"] = one.bias  # type: ignore[assignment]
                continue
            case _ if name == "deep":
                found["deep/depthwise_kernel"] = _deep(one.weight, one.groups)
            case _ if last == "attention_output":
                found[f"{name}/kernel"] = one.weight.T.reshape(HEADS, -1, 8)
            case _ if name.startswith("heads/"):
                found[f"{name}/kernel"] = one.weight.T.reshape(8, HEADS, -1)
            case _:
                found[f"{name}/kernel"] = _last(one.weight)
        found[f"{name}/bias"] = one.bias.reshape(HEADS, -1) if last in PROJECTIONS else one.bias  # type: ignore
    # A GRU of Keras has a bias of two rows: one for each of its matrices.
    found["gru/gru_cell/bias"] = np.stack([LAYERS["gru.input"].bias, LAYERS["gru.state"].bias])  # type: ignore[list-item]
    return _whole(found)
