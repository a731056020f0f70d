"""Tensors in memory: where they are held, and how any framework's are read, without importing one."""

from __future__ import annotations

import functools
import sys
from collections.abc import Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ww_core.contracts.loader import Checkpoint
from ww_core.domain.layer import ITEM_SIZES, SkippedTensor, TensorSpec
from ww_core.domain.read_only import read_only
from ww_core.errors import CorruptFileError, SourceError
from ww_core.loading import torch_tensors
from ww_core.loading.contents import as_bytes, description_of, joined, told_of
from ww_core.loading.names import legible, quoted
from ww_core.loading.parametrized import Parametrized, acting
from ww_core.loading.state_dict import FoundTensor, Makes, Module, Part, plain_names, sort_state_dict

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Iterator, Sequence

    import numpy as np
    import numpy.typing as npt

    from ww_core.loading.channels_last import Placed


_NO_PARTS: Mapping[str, Part] = {}
_NO_MAKES: Mapping[str, Makes] = {}


@dataclass(frozen=True, slots=True, eq=False)
class Slot:
    """A place in a mapping. Its value is looked up each time, so that a mapping may make its values on demand.

    Attributes:
        mapping: The mapping.
        key: The key of the value.
        placed: How it becomes a tensor of ww's layout; None if it is one.
        place: Equal for slots of the same value, where a mapping makes it anew each time; None if that is not known.
    """

    mapping: Mapping[Any, Any]
    key: Any
    placed: Placed | None = None
    place: Hashable = None

    def value(self) -> Any:
        """Look the value up."""
        return self.mapping[self.key]


class HeldCheckpoint(Checkpoint):
    """Tensors in memory. Each is looked up, and copied only where it is not contiguous and little-endian."""

    def __init__(
        self,
        format_name: str,
        slots: Mapping[str, Slot],
        modules: Mapping[str, Module],
        warnings: Iterable[str] = (),
        parts: Mapping[str, Part] = _NO_PARTS,
        makes: Mapping[str, Makes] = _NO_MAKES,
    ) -> None:
        """Look at every value.

        Args:
            format_name: What the source is.
            slots: The tensors by name, in order.
            modules: What is known of the modules that hold them, by path.
            warnings: Sentences the user should see.
            parts: What is known of single tensors, by name.
            makes: Of tensors that another one among them is made of, that one.

        Raises:
            SourceError: A value is not to be had.
        """
        self.format = format_name
        found = {name: _found(name, slot)._replace(part=parts.get(name)) for name, slot in slots.items()}
        told = acting(slots, {name: own.shape for name, own in found.items() if _is_numeric(own)}, _made)
        plain = plain_names(list(told.tensors))
        self._slots = {plain[name]: slot for name, slot in told.tensors.items()}
        made_of = {name: own._replace(tensor=plain[own.tensor]) for name, own in {**makes, **told.makes}.items()}
        state = sort_state_dict(
            [
                (found.get(name) or _found(name, slot))._replace(name=plain[name], makes=made_of.get(name))
                for name, slot in told.tensors.items()
            ],
            {_path(plain[name]): modules[_path(name)] for name in plain if _path(name) in modules},
        )
        self.layers, self.buffers, self.skipped = state.layers, state.buffers, state.skipped
        self.warnings = (*warnings, *told.warnings)

    @contextmanager
    def read(self, tensor: TensorSpec) -> Iterator[npt.NDArray[Any]]:
        """Give a read-only view, or a copy where the array is not contiguous and little-endian."""
        import numpy as np

        array = _array(tensor.name, self._slots[tensor.name])
        if (_name_of(array.dtype), array.shape) != (tensor.dtype, tensor.shape):
            raise CorruptFileError(
                f"array {quoted(tensor.name)} is now {array.dtype} {array.shape}; "
                f"it was {tensor.dtype} {tensor.shape} when it was looked at first"
            )
        yield read_only(np.asarray(array, dtype=array.dtype.newbyteorder("<"), order="C"))

    def nbytes(self, _tensor: TensorSpec | SkippedTensor) -> int:
        """Return 0: all of it is in memory already."""
        return 0

    @contextmanager
    def read_bytes(self, tensor: SkippedTensor) -> Iterator[npt.NDArray[np.uint8]]:
        """Give a read-only view of the bytes where they lie in a row and little-endian, else a copy."""
        slot = self._slots[tensor.name]
        now = _found(tensor.name, slot)
        if (now.dtype, now.shape, now.readable) != (tensor.dtype, tensor.shape, tensor.readable):
            raise CorruptFileError(
                f"array {quoted(tensor.name)} is now {now.dtype} {now.shape}; "
                f"it was {tensor.dtype} {tensor.shape} when it was looked at first"
            )
        if not tensor.readable:
            raise SourceError(f"the content of tensor {quoted(tensor.name)} cannot be read: {tensor.reason}")
        try:
            content = _content(slot.value() if slot.placed is None else _array(tensor.name, slot))
        except Exception as error:
            raise SourceError(f"array {quoted(tensor.name)} cannot be read: {_said(error)}") from error
        yield content


def offers_array(value: object) -> bool:
    """Whether an object is an array, or offers itself as one."""
    return hasattr(value, "__array__") or hasattr(value, "__dlpack__")


def shape_of(name: str, slot: Slot) -> tuple[int, ...]:
    """Return the shape of an array.

    Raises:
        SourceError: It is not to be had.
    """
    return _array(name, slot).shape


def _path(name: str) -> str:
    return name.rpartition(".")[0]


def _is_numeric(tensor: FoundTensor) -> bool:
    return tensor.part is None and not tensor.fault and (tensor.dtype in ITEM_SIZES or tensor.dtype == "bool")


class _Made(Mapping[str, Any]):
    """A tensor that others make, anew each time that it is asked for."""

    def __init__(self, own: Parametrized, parts: Sequence[Slot]) -> None:
        self._own = own
        self._parts = parts

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        return self._own.of([_array(part, slot) for part, slot in zip(self._own.parts, self._parts, strict=True)])

    def __iter__(self) -> Iterator[str]:
        return iter((self._own.name,))

    def __len__(self) -> int:
        return 1


def _made(own: Parametrized, parts: Sequence[Slot]) -> Slot:
    places = tuple(_found(name, slot).place for name, slot in zip(own.parts, parts, strict=True))
    return Slot(_Made(own, parts), own.name, place=None if None in places else (own.what, places))


def _found(name: str, slot: Slot) -> FoundTensor:
    value = slot.value()
    torch = _torch_of(value)
    if torch is not None and slot.placed is None:
        try:
            return _found_of_torch(torch, name, slot, value)
        except Exception as error:  # noqa: BLE001 - a class of somebody's own may raise whatever is asked of it
            return FoundTensor(name, "unknown", (), fault=f"the tensor cannot be looked at: {_said(error)}")
    array = _array(name, slot)
    return FoundTensor(name, _name_of(array.dtype), array.shape, slot.place, readable=not array.dtype.hasobject)


def _found_of_torch(torch: Any, name: str, slot: Slot, value: Any) -> FoundTensor:
    dtype = str(value.dtype).removeprefix("torch.")
    if torch.nn.parameter.is_lazy(value):
        return FoundTensor(name, dtype, (), fault="the tensor has no shape, because it is lazy: run the module once")
    readable = torch_tensors.is_readable(torch, value)
    if value.is_nested:
        fault = "the tensor has no shape, because it is nested"
        return FoundTensor(name, dtype, (), fault=fault, readable=readable)
    dtype, shape = told_of(dtype, tuple(map(int, value.shape)))
    if what := torch_tensors.oddity(torch, value):
        fault = f"the tensor is {what}: its numbers do not lie in a row"
        return FoundTensor(name, dtype, shape, fault=fault, readable=readable)
    return FoundTensor(name, dtype, shape, _place(slot, value), readable=readable)


def _content(value: Any) -> npt.NDArray[np.uint8]:
    """Return the bytes of what can be read: little-endian and in C order, or its parts put together."""
    import numpy as np

    torch = _torch_of(value)
    if torch is None:
        array = as_numpy(value)
        return _without_padding(np.asarray(array, dtype=array.dtype.newbyteorder("<"), order="C"))
    if torch_tensors.oddity(torch, value) or value.is_nested:
        told, parts = torch_tensors.parts_of(torch, value)
        described = [told, [[str(part.dtype), [] if part.is_nested else list(part.shape)] for part in parts]]
        return joined(description_of(described), (nullcontext(_content(part)) for part in parts))
    row = value.detach().cpu().resolve_conj().resolve_neg().contiguous().reshape(-1)
    return as_bytes(row.view(torch.uint8).numpy() if row.numel() else np.empty(0, np.uint8))


def _without_padding(array: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """View an array as bytes; those of x86's long doubles that belong to no number are made 0."""
    import numpy as np

    content = as_bytes(array)
    if array.dtype.char not in {"g", "G"} or np.finfo(array.dtype).nmant != 63 or not array.nbytes:
        return content
    padded = content.reshape(-1, np.dtype(np.longdouble).itemsize).copy()
    padded[:, 10:] = 0
    return as_bytes(padded)


def _said(error: Exception) -> str:
    return legible(" ".join(f"{type(error).__name__}: {error}".split()))[:300]


def _place(slot: Slot, value: Any) -> Hashable:
    # Of tensors only: PyTorch ties weights by sharing them, and in a dict of arrays one may well stand twice. And only
    # of those that stay: what a mapping makes anew each time leaves its address to the next one.
    if slot.place is not None:
        return slot.place
    if not (value.numel() and value.data_ptr() and slot.value() is value):
        return None
    return (value.data_ptr(), str(value.dtype), tuple(value.shape), value.stride())


def _array(name: str, slot: Slot) -> npt.NDArray[Any]:
    try:
        array = as_numpy(slot.value())
        return array if slot.placed is None else slot.placed.of_array(array)
    except Exception as error:
        raise SourceError(f"array {quoted(name)} cannot be read: {type(error).__name__}: {error}") from error


@functools.cache
def _name_of(dtype: np.dtype[Any]) -> str:
    return dtype.name  # NumPy puts it together each time


def _torch_of(value: Any) -> Any:
    """PyTorch, if the value is a tensor of its: then it is imported already."""
    torch = sys.modules.get("torch")
    return torch if torch is not None and isinstance(value, torch.Tensor) else None


def as_numpy(value: Any) -> npt.NDArray[np.generic]:
    """Return an array, or what offers itself as one, as an array of NumPy's; without a copy where that can be.

    What is raised is whatever the object raises.
    """
    import numpy as np

    torch = _torch_of(value)
    if torch is not None:
        value = value.detach().cpu().resolve_conj().resolve_neg()
        if value.dtype == torch.bfloat16:
            import ml_dtypes

            bits: npt.NDArray[np.int16] = value.contiguous().view(torch.int16).numpy()
            return bits.view(ml_dtypes.bfloat16)
        return np.asarray(value.numpy())
    if hasattr(value, "__dlpack__") and not hasattr(value, "__array__"):
        return np.from_dlpack(value)
    masks = sys.modules.get("numpy.ma")  # where nobody imported it, there is no such array
    if masks is not None and isinstance(value, masks.MaskedArray) and masks.is_masked(value):
        raise ValueError("some of its elements are masked, and each weight counts: fill them")
    return np.asarray(value)
