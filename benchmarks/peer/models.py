"""The models: real weights where they are given, else heavy-tailed random ones of the same shapes."""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping
    from pathlib import Path

    import numpy.typing as npt

Shape = tuple[int, ...]
Weights = dict[str, "npt.NDArray[np.float32]"]


@dataclass(frozen=True, slots=True)
class Model:
    """Weights of dense layers and convolutions by name, as in a state dict, and where they come from."""

    name: str
    weights: Weights
    origin: str


def resnet20(options: argparse.Namespace) -> Model:
    """20 layers for CIFAR-10."""
    return _resnet("resnet20", 3, options)


def resnet56(options: argparse.Namespace) -> Model:
    """56 layers for CIFAR-10."""
    return _resnet("resnet56", 9, options)


def minilm(options: argparse.Namespace) -> Model:
    """Sentence encoder of six layers."""
    if options.minilm:
        from safetensors.numpy import load_file

        return Model("minilm", _analysable(load_file(options.minilm)), options.minilm.name)
    shapes: dict[str, Shape] = {
        "embeddings.word_embeddings.weight": (30522, 384),
        "embeddings.position_embeddings.weight": (512, 384),
        "pooler.dense.weight": (384, 384),
    }
    for layer in range(6):
        at = f"encoder.layer.{layer}"
        shapes |= {f"{at}.attention.self.{part}.weight": (384, 384) for part in ("query", "key", "value")}
        shapes |= {
            f"{at}.attention.output.dense.weight": (384, 384),
            f"{at}.intermediate.dense.weight": (1536, 384),
            f"{at}.output.dense.weight": (384, 1536),
        }
    return _random("minilm", shapes, options)


def gpt2(options: argparse.Namespace) -> Model:
    """Matrices of GPT-2 small, as many as the options say, in the layout in which it stores them."""
    parts: dict[str, Shape] = {
        "attn.c_attn": (768, 2304),
        "attn.c_proj": (768, 768),
        "mlp.c_fc": (768, 3072),
        "mlp.c_proj": (3072, 768),
    }
    shapes = {f"h.{block}.{part}.weight": shape for block in range(12) for part, shape in parts.items()}
    return _random("gpt2", dict(list(shapes.items())[: options.gpt2_matrices]), options)


def vgg16(options: argparse.Namespace) -> Model:
    """The 13 convolutions of VGG16."""
    channels = [3, 64, 64, 128, 128, *[256] * 3, *[512] * 6]
    pairs = zip(channels[1:], channels[:-1], strict=True)
    return _random("vgg16", {f"features.{i}.weight": (out, into, 3, 3) for i, (out, into) in enumerate(pairs)}, options)


def dense4096(options: argparse.Namespace) -> Model:
    """One large matrix."""
    return _random("dense4096", {"dense.weight": (4096, 4096)}, options)


def embedding(options: argparse.Namespace) -> Model:
    """One matrix whose long side is 80 times its short one."""
    return _random("embedding", {"projection.weight": (384, 30522)}, options)


def lookup(options: argparse.Namespace) -> Model:
    """The same lying the other way, as an embedding is stored; the peer is twice as fast on it."""
    return _random("lookup", {"table.weight": (30522, 384)}, options)


MODELS = {make.__name__: make for make in (resnet20, resnet56, minilm, gpt2, vgg16, dense4096, embedding, lookup)}


def heavy_tailed(shape: Shape, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """Return weights whose spectra have tails like those of trained layers: power-law exponents mostly from 2 to 6.

    Entries follow Student's t with four degrees of freedom, and the input channels have scales that fall by a power,
    in random order. The variance of an output is 1.
    """
    channels = shape[1]
    scales = rng.permutation(np.arange(1.0, channels + 1) ** -0.35)
    scales /= math.sqrt(2.0 * math.prod(shape[1:]) * np.square(scales).mean())
    entries = rng.standard_t(4, shape) * scales.reshape(-1, *[1] * len(shape[2:]))
    stored: npt.NDArray[np.float32] = entries.astype(np.float32)
    return stored


def _resnet(name: str, blocks: int, options: argparse.Namespace) -> Model:
    path = options.checkpoints / f"{name}-cifar10.th" if options.checkpoints else None
    if path and path.exists():
        return Model(name, _of_torch_file(path), path.name)
    shapes: dict[str, Shape] = {"conv1.weight": (16, 3, 3, 3)}
    into = 16
    for stage, out in enumerate((16, 32, 64), 1):
        for block in range(blocks):
            shapes[f"layer{stage}.{block}.conv1.weight"] = (out, into, 3, 3)
            shapes[f"layer{stage}.{block}.conv2.weight"] = (out, out, 3, 3)
            into = out
    return _random(name, shapes | {"linear.weight": (10, 64)}, options)


def _random(name: str, shapes: Mapping[str, Shape], options: argparse.Namespace) -> Model:
    rng = np.random.default_rng([options.seed, zlib.crc32(name.encode())])
    return Model(name, {key: heavy_tailed(shape, rng) for key, shape in shapes.items()}, "random weights")


def _of_torch_file(path: Path) -> Weights:
    import torch

    state = torch.load(path, map_location="cpu", weights_only=True)["state_dict"]
    return _analysable({name.removeprefix("module."): tensor.numpy() for name, tensor in state.items()})


def _analysable(arrays: Mapping[str, npt.NDArray[Any]]) -> Weights:
    """Leave out biases, norms and buffers, which the peer does not look at."""
    return {
        name: np.ascontiguousarray(array, dtype=np.float32)
        for name, array in arrays.items()
        if array.ndim in {2, 4} and name.endswith(".weight")
    }
