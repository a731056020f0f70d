"""Tensors and arrays in a pickle: the calls that would have made them, read as places in a file."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import ww_core as ww
from ww_plugins.loaders.mapped import StoredTensor
from ww_plugins.loaders.names import quoted
from ww_plugins.loaders.pytorch.archives import ITEM_SIZES
from ww_plugins.loaders.pytorch.pickles import Call, Extent, Global

if TYPE_CHECKING:
    from ww_plugins.loaders.pytorch.archives import Archive

_MOST_AXES = 64  # NumPy's limit
_MOST_BYTES = 2**63 - 1
_MOST_WRAPPERS = 8

_PLAIN = ("torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_tensor_v3", "torch._utils._rebuild_tensor")
_WRAPPERS = ("torch._utils._rebuild_parameter", "torch._utils._rebuild_parameter_with_state")
_TYPED = ("torch._tensor._rebuild_from_type_v2", "torch._tensor._rebuild_from_type")
_EXOTIC = {
    "torch._utils._rebuild_qtensor": "quantized",
    "torch._utils._rebuild_sparse_tensor": "sparse",
    "torch._utils._rebuild_sparse_csr_tensor": "sparse",
    "torch._utils._rebuild_nested_tensor": "nested",
    "torch._utils._rebuild_wrapper_subclass": "of a class of its own",
    "torch._utils._rebuild_device_tensor_from_numpy": "of another device",
    "torch._utils._rebuild_device_tensor_from_cpu_tensor": "of another device",
    "torch._utils._rebuild_meta_tensor_no_storage": "without numbers",
}
_ARRAYS = ("numpy.core.multiarray._reconstruct", "numpy._core.multiarray._reconstruct")
_BUFFERS = ("numpy.core.numeric._frombuffer", "numpy._core.numeric._frombuffer")
_MAKERS = frozenset((*_PLAIN, *_WRAPPERS, *_TYPED, *_EXOTIC, *_ARRAYS, *_BUFFERS))
_BYTES = ("_codecs.encode", "builtins.bytearray", "__builtin__.bytearray", "builtins.bytes", "__builtin__.bytes")
_KINDS = {"f": "float", "i": "int", "u": "uint", "b": "bool", "c": "complex"}


def is_tensor(node: object) -> bool:
    """Whether a node of a pickle would have become a tensor or an array of numbers."""
    return isinstance(node, Call) and isinstance(node.function, Global) and str(node.function) in _MAKERS


def is_exotic(tensor: StoredTensor) -> bool:
    """Whether only PyTorch can make a row of numbers of it."""
    return tensor.dtype in _EXOTIC.values()


def stored_tensor(name: str, node: Call, archive: Archive) -> StoredTensor:
    """Return where the numbers of a tensor lie.

    Raises:
        CorruptFileError: The call is not as PyTorch or NumPy would have written it, or leaves its storage.
    """
    try:
        call = _unwrapped(node)
        if call.calls(*_ARRAYS, *_BUFFERS):
            return _array(name, call, archive)
        if not call.calls(*_PLAIN):
            return _unread(name, call, archive)
        return _tensor(name, call, archive)
    except _Fault as fault:
        raise ww.CorruptFileError(f"{archive.file.label}: tensor {quoted(name)}: {fault}") from None


class _Fault(Exception):  # noqa: N818 - a reason, put into a sentence above
    """What is wrong with a call."""


def _unwrapped(node: Call) -> Call:
    for _ in range(_MOST_WRAPPERS):
        if node.calls(*_WRAPPERS) and node.arguments:
            inner = node.arguments[0]
        elif node.calls(*_TYPED) and len(node.arguments) > 2:
            function, _, arguments, *_ = node.arguments
            inner = Call(function, arguments if isinstance(arguments, tuple) else ())
        else:
            return node
        if not isinstance(inner, Call):
            raise _Fault("it is made of what is no tensor")
        node = inner
    raise _Fault("it is wrapped too often")


def _tensor(name: str, call: Call, archive: Archive) -> StoredTensor:
    if len(call.arguments) < 4:
        raise _Fault("its call has too few arguments")
    named, offset, size, strides = call.arguments[:4]
    storage = archive.storage(named)
    dtype = storage.dtype
    if call.calls("torch._utils._rebuild_tensor_v3"):
        dtype = _dtype_named(call.arguments[6] if len(call.arguments) > 6 else None)
    item = ITEM_SIZES[dtype]
    shape, steps = _shape(size, item), _lengths(strides, "strides")
    if len(shape) != len(steps):
        raise _Fault(f"shape {quoted(list(shape))} and strides {quoted(list(steps))} do not go together")
    if type(offset) is not int or offset < 0:
        raise _Fault(f"{quoted(offset)} is no offset")
    steps = tuple(0 if length == 1 else step for length, step in zip(shape, steps, strict=True))  # it means nothing
    count = math.prod(shape)
    last = offset + sum((length - 1) * step for length, step in zip(shape, steps, strict=True)) if count else offset
    if count and (last + 1) * item > storage.nbytes:
        raise _Fault(
            f"its view of shape {quoted(list(shape))} from {offset} leaves its storage "
            f"of {storage.nbytes // item} numbers"
        )
    fault = ""
    if count * item > storage.nbytes:
        fault = f"the tensor shows {storage.nbytes // item} numbers as {count}"
    contiguous = not count or _same_order(shape, steps)
    return StoredTensor(
        name=name,
        dtype=dtype,
        shape=shape,
        file=archive.file,
        offset=storage.offset + (offset * item if count else 0),
        strides=() if contiguous else steps,
        big_endian=archive.big_endian,
        fault=fault,
    )


def _dtype_named(dtype: object) -> str:
    name = dtype.name if isinstance(dtype, Global) and dtype.module == "torch" else ""
    name = {"double": "float64", "float": "float32", "half": "float16", "long": "int64", "int": "int32"}.get(name, name)
    if name not in ITEM_SIZES:
        raise _Fault(f"it is of the unknown dtype {quoted(str(dtype))}")
    return name


def _unread(name: str, call: Call, archive: Archive) -> StoredTensor:
    """Tell of a tensor whose numbers do not lie in the file in rows."""
    if not isinstance(call.function, Global):
        raise _Fault("it is made by what cannot be called")
    exotic = _EXOTIC.get(str(call.function))
    fault = f"the tensor is {exotic or f'made by {quoted(str(call.function))}, which is not known here'}"
    return StoredTensor(name, exotic or "unknown", _size_anywhere(call), archive.file, fault=fault)


def _lengths(value: Any, what: str) -> tuple[int, ...]:
    if isinstance(value, Call) and value.calls("torch.Size") and value.arguments:
        value = value.arguments[0]
    fits = isinstance(value, (tuple, list)) and len(value) <= _MOST_AXES
    if not fits or not all(type(item) is int and 0 <= item < 2**62 for item in value):
        raise _Fault(f"{quoted(value)} are not {what}" if what == "strides" else f"{quoted(value)} is no {what}")
    return tuple(value)


def _shape(value: Any, item: int) -> tuple[int, ...]:
    shape = _lengths(value, "shape")
    if math.prod(length for length in shape if length) * item > _MOST_BYTES:
        raise _Fault(f"no memory could hold shape {quoted(list(shape))}")
    return shape


def _contiguous(shape: tuple[int, ...]) -> tuple[int, ...]:
    steps, step = [], 1
    for length in reversed(shape):
        steps.append(step)
        step *= length
    return tuple(reversed(steps))


def _same_order(shape: tuple[int, ...], steps: tuple[int, ...]) -> bool:
    """Whether the numbers lie in C order: the stride along an axis of length 1 means nothing."""
    pairs = zip(shape, steps, _contiguous(shape), strict=True)
    return all(step == usual for length, step, usual in pairs if length != 1)


def _size_anywhere(call: Call) -> tuple[int, ...]:
    """The shape of a tensor that is not read, where its call says it in one of the usual places; else ()."""
    places = list(call.arguments[1:3])
    places += [argument[2] for argument in call.arguments if isinstance(argument, tuple) and len(argument) > 2]
    for place in places:
        try:
            return _lengths(place, "shape")
        except _Fault:
            continue
    return ()


# --- NumPy ---


@dataclass(frozen=True, slots=True)
class _NumPyType:
    name: str
    item: int
    big_endian: bool


def _array(name: str, call: Call, archive: Archive) -> StoredTensor:
    if call.calls(*_ARRAYS):
        if not (isinstance(call.state, tuple) and len(call.state) == 5):
            raise _Fault("its array has no content")
        _, size, kind, fortran, content = call.state
    else:
        if len(call.arguments) < 4:
            raise _Fault("its call has too few arguments")
        content, kind, size, order = call.arguments[:4]
        fortran = order == "F"
    dtype = _numpy_type(kind)
    shape = _shape(size, dtype.item if dtype else 1)
    if dtype is None:
        return StoredTensor(name, "object", shape, archive.file, fault="the array holds no numbers")
    count = math.prod(shape)
    held = _held(content)
    nbytes = held.length if isinstance(held, Extent) else len(held)
    if count * dtype.item != nbytes:
        raise _Fault(f"its shape {quoted(list(shape))} takes {count * dtype.item} bytes, and {nbytes} are there")
    in_file = isinstance(held, Extent) and held.content is None
    steps = tuple(reversed(_contiguous(tuple(reversed(shape))))) if fortran is True else ()
    return StoredTensor(
        name=name,
        dtype=dtype.name,
        shape=shape,
        file=archive.file,
        offset=held.offset if isinstance(held, Extent) else 0,
        strides=() if not count or _same_order(shape, steps or _contiguous(shape)) else steps,
        big_endian=dtype.big_endian,
        content=None if in_file else held.content if isinstance(held, Extent) else held,
    )


def _numpy_type(kind: Any) -> _NumPyType | None:
    """Read ``numpy.dtype("f4")`` with its byte order; None for what holds no numbers."""
    if not (isinstance(kind, Call) and kind.calls("numpy.dtype") and kind.arguments):
        raise _Fault("its dtype is none")
    code = kind.arguments[0]
    order = kind.state[1] if isinstance(kind.state, tuple) and len(kind.state) > 1 else "<"
    if not isinstance(code, str) or len(code) not in {2, 3} or code[0] not in _KINDS or not code[1:].isdecimal():
        return None
    item = int(code[1:])
    name = "bool" if code[0] == "b" else f"{_KINDS[code[0]]}{8 * item}"
    return _NumPyType(name, item, order == ">") if ITEM_SIZES.get(name) == item else None


def _held(content: Any) -> Extent | bytes:
    """The bytes of an array: a constant, or a text that Python 2 or an old protocol wrote in their place."""
    if isinstance(content, Call) and content.calls(*_BYTES):
        content = content.arguments[0] if content.arguments else ""
    if isinstance(content, Extent):
        return content
    if isinstance(content, str):
        try:
            return content.encode("latin-1")
        except UnicodeEncodeError:
            raise _Fault("its bytes are none") from None
    raise _Fault("its bytes are none")
