"""The control of an opened checkpoint: the same layers, with numbers in which nothing was learnt.

What a random control holds depends on the seed, on names, shapes, dtypes and kinds of layers, and on how many groups,
blocks of rows or experts they have, as the source tells or a person; a permuted one on the seed, and on names, shapes
and numbers of tensors. So every process makes the same one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ww_core.contracts.loader import Checkpoint
from ww_core.domain.control import PERMUTED, VERSION, Control
from ww_core.domain.identity import canonical_json
from ww_core.domain.layer import Layer, LayerKind, SkippedTensor, TensorSpec
from ww_core.domain.read_only import read_only
from ww_core.errors import SourceError
from ww_core.sources.asked_layers import asked_layers
from ww_core.sources.digests import stamp_of
from ww_core.sources.reading import read_tensor

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from ww_core.domain.request import Request

DRAWING_BYTES = 32
"""Held for each deviate of a block: its word, the same without its lower bits, the number, the rounded one."""


def controlled(checkpoint: Checkpoint, loader: str, request: Request) -> Checkpoint:
    """Return the control of a checkpoint that a request asks for; the checkpoint itself if it asks for none.

    Whoever opened the checkpoint closes it.

    Raises:
        UnknownNameError: There is no such control, or a glob of a random one's groups or blocks matches no layer.
        UsageError: Groups or blocks of a random one do not fit a layer.
    """
    if not request.control:
        return checkpoint
    control = Control(request.control, request.seed)
    if control.kind == PERMUTED:
        return PermutedCheckpoint(checkpoint, control, loader)
    return RandomCheckpoint(checkpoint, control, request)


class _ControlCheckpoint(Checkpoint):
    """What is skipped is listed, and has no content: it has no part in a control, nor in its digest."""

    def __init__(self, checkpoint: Checkpoint, control: Control) -> None:
        self._control = control
        self.format = checkpoint.format
        self.layers = tuple(checkpoint.layers)
        self.buffers = tuple(checkpoint.buffers)
        self.skipped = tuple(own if own.tied_to else replace(own, readable=True) for own in checkpoint.skipped)
        self.warnings = tuple(checkpoint.warnings)

    @contextmanager
    def read_bytes(self, tensor: SkippedTensor) -> Iterator[npt.NDArray[np.uint8]]:  # noqa: ARG002 - all alike
        """Give nothing."""
        import numpy as np

        yield np.empty(0, np.uint8)

    def nbytes(self, tensor: TensorSpec | SkippedTensor) -> int:
        """Return the bytes of the numbers, with what making them takes."""
        return 0 if isinstance(tensor, SkippedTensor) else tensor.nbytes + self.making_bytes(tensor)

    def _key(self, tensor: TensorSpec) -> bytes:
        """What draws the numbers of a tensor. A name may hold half characters, which are no text."""
        drawn_by = [VERSION, self._control.kind, tensor.name, list(tensor.shape), self._control.seed]
        return f"ww:control\0{canonical_json(drawn_by)}".encode("utf-8", "surrogatepass")


class PermutedCheckpoint(_ControlCheckpoint):
    """Every tensor with its own elements in random order.

    Args:
        checkpoint: The network, which is opened.
        control: How the elements are permuted.
        loader: Qualified name of the loader that opened it.
    """

    def __init__(self, checkpoint: Checkpoint, control: Control, loader: str) -> None:
        super().__init__(checkpoint, control)
        self._checkpoint = checkpoint
        self._loader = loader
        self._stamps: dict[str, str] = {}

    @contextmanager
    def read(self, tensor: TensorSpec) -> Iterator[npt.NDArray[Any]]:
        """Give the elements of a tensor in another order, as long as its file is what it was when it was read first.

        Raises:
            SourceError: The file was changed: half of a control would be that of other weights.
        """
        from ww_core.spectral import permuted

        self._check(tensor)
        with read_tensor(self._checkpoint, tensor) as array:
            shuffled = permuted(array, self._key(tensor))
        self._check(tensor)
        yield read_only(shuffled)

    def making_bytes(self, tensor: TensorSpec) -> int:
        """Return the bytes of the tensor as it is, and of what permuting it takes besides."""
        from ww_core.spectral import permuting_bytes  # it imports NumPy

        return permuting_bytes(tensor.size, tensor.nbytes // max(tensor.size, 1))

    def _check(self, tensor: TensorSpec) -> None:
        try:
            stamp = stamp_of(self._checkpoint, tensor, self._loader)
        except OSError:
            stamp = "gone"
        if self._stamps.setdefault(tensor.name, stamp) != stamp:
            raise SourceError("the file changed while it was analysed: analyse it again")


@dataclass(frozen=True, slots=True)
class _Filling:
    """What a tensor of a random network holds: one constant, or normal deviates of a standard deviation."""

    constant: float = 0.0
    deviation: float = 0.0


class RandomCheckpoint(_ControlCheckpoint):
    """A network of the same shapes as it may be before it is trained. Nothing of the network itself is read.

    A weight of two or more axes has independent normal elements of mean 0 and variance 2 / (fan_in + fan_out), after
    Glorot and Bengio (2010), an embedding those of variance 1. Weights of norms, and those of one axis, are 1; biases
    are 0, and so are buffers of one axis.

    Args:
        checkpoint: The network, which is opened.
        control: How the weights are drawn.
        request: Tells of groups and blocks of rows, besides the source.
    """

    def __init__(self, checkpoint: Checkpoint, control: Control, request: Request) -> None:
        super().__init__(checkpoint, control)
        fillings: dict[str, _Filling] = {}
        for layer in asked_layers(self, request)[: len(checkpoint.layers)]:  # those after them are buffers
            fillings.setdefault(layer.weight.name, _filling_of(layer))
        for spec in checkpoint.buffers:
            filled = _Filling(deviation=_deviation(spec.shape)) if len(spec.shape) > 1 else _Filling()
            fillings.setdefault(spec.name, filled)
        self._fillings = fillings
        self.layers = tuple(
            replace(layer, weight=_plain(layer.weight), bias=None if layer.bias is None else _plain(layer.bias))
            for layer in self.layers
        )
        self.buffers = tuple(map(_plain, self.buffers))

    @contextmanager
    def read(self, tensor: TensorSpec) -> Iterator[npt.NDArray[Any]]:
        """Make a tensor."""
        import ml_dtypes
        import numpy as np

        from ww_core.spectral import normal_blocks

        dtype = np.dtype(ml_dtypes.bfloat16 if tensor.dtype == "bfloat16" else tensor.dtype)
        filling = self._filling(tensor)
        row = np.full(tensor.size, filling.constant, dtype)
        if filling.deviation:
            at = 0
            for block in normal_blocks(tensor.size, self._key(tensor)):
                block *= filling.deviation
                # By way of float32, whatever a release of ml_dtypes does with wider numbers.
                row[at : at + block.size] = block.astype(np.float32) if tensor.dtype == "bfloat16" else block
                at += block.size
        yield read_only(row.reshape(tensor.shape))

    def making_bytes(self, tensor: TensorSpec) -> int:
        """Return the bytes of a block of deviates, with the words and the numbers that it is made of and becomes."""
        return DRAWING_BYTES * min(tensor.size, _block()) if self._filling(tensor).deviation else 0

    def _filling(self, tensor: TensorSpec) -> _Filling:
        return self._fillings.get(tensor.name, _Filling())


def _block() -> int:
    from ww_core.spectral.normal import BLOCK  # it imports NumPy

    return BLOCK


def _plain(spec: TensorSpec) -> TensorSpec:
    """Return a tensor whose numbers were rounded to its dtype and to nothing coarser."""
    return TensorSpec(spec.name, spec.dtype, spec.shape)


def _filling_of(layer: Layer) -> _Filling:
    if layer.kind is LayerKind.NORM or len(layer.shape) < 2:
        return _Filling(constant=1.0)
    if layer.kind is LayerKind.EMBEDDING:
        return _Filling(deviation=1.0)
    if layer.kind in {LayerKind.EXPERT, LayerKind.BILINEAR} and len(layer.shape) == 3:
        return _Filling(deviation=_deviation(layer.shape[1:]))
    return _Filling(deviation=_deviation(layer.shape, layer.groups * layer.blocks))


def _deviation(shape: tuple[int, ...], parts: int = 1) -> float:
    """Return the standard deviation after Glorot and Bengio.

    Args:
        shape: (out, in, *kernel).
        parts: Into how many groups or blocks of rows the outputs fall: each input feeds those of one only.
    """
    rows, cols, *kernel = shape
    fans = (rows / parts + cols) * math.prod(kernel)
    return math.sqrt(2.0 / fans) if fans else 0.0
