"""Tensors and arrays in a pickle: the calls that would have made them, read as places in a file."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import ww_core as ww
from ww_core.loading.contents import description_of
from ww_core.loading.mapped import StoredTensor, contiguous_strides, is_contiguous
from ww_core.loading.names import quoted
from ww_plugins.loaders.pytorch.parts import ARRAYS, BUFFERS, PLAIN, TYPED, WRAPPERS, taken_apart
from ww_plugins.loaders.pytorch.pickles import Call, Extent, Global
from ww_plugins.loaders.pytorch.storages import ITEM_SIZES

if TYPE_CHECKING:
    from ww_plugins.loaders.pytorch.archives import Archive

_MOST_AXES = 64  # NumPy's limit
_MOST_BYTES = 2**63 - 1
_MOST_WRAPPERS = 8

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
_MAKERS = frozenset((*PLAIN, *WRAPPERS, *TYPED, *_EXOTIC, *ARRAYS, *BUFFERS))
_OTHER_MAKERS = re.compile(
    r"torch\._utils\._rebuild_\w+|torch(\.\w+)?\.\w*Tensor|torch\.nn\.parameter\.(\w*Parameter|Buffer)"
)
"""What else makes tensors, which are listed and not read."""

_BYTES = ("_codecs.encode", "builtins.bytearray", "__builtin__.bytearray", "builtins.bytes", "__builtin__.bytes")
_KINDS = {"f": "float", "i": "int", "u": "uint", "b": "bool", "c": "complex"}


def is_tensor(node: object) -> bool:
    """Whether a node of a pickle would have become a tensor or an array of numbers."""
    if not (isinstance(node, Call) and isinstance(node.function, Global)):
        return False
    name = str(node.function)
    return name in _MAKERS or _OTHER_MAKERS.fullmatch(name) is not None


def is_exotic(tensor: StoredTensor) -> bool:
    """Whether only PyTorch can make a row of numbers of it."""
    return tensor.dtype in _EXOTIC.values()


def stored_tensor(name: str, node: Call, archive: Archive) -> StoredTensor:
    """Return where the numbers of a tensor lie, or its parts if it is no row of numbers.

    Raises:
        CorruptFileError: The call is not as PyTorch or NumPy would have written it, or leaves its storage.
    """
    try:
        call = _unwrapped(node)
        if _is_changed(node) or _is_changed(call):
            told = StoredTensor(name, "unknown", _size_anywhere(call), archive.file)
            return replace(told, fault="the tensor is changed after it is made, as PyTorch never does it")
        if call.calls(*ARRAYS, *BUFFERS):
            return _array(name, call, archive)
        if not call.calls(*PLAIN):
            return _no_row(name, node, call, archive)
        return _tensor(name, call, archive)
    except _Fault as fault:
        raise ww.CorruptFileError(f"{archive.file.label}: tensor {quoted(name)}: {fault}") from None


class _Fault(Exception):  # noqa: N818 - a reason, put into a sentence above
    """What is wrong with a call."""


def _unwrapped(node: Call) -> Call:
    for _ in range(_MOST_WRAPPERS):
        if node.calls(*WRAPPERS) and node.arguments:
            inner = node.arguments[0]
        elif node.calls(*TYPED) and len(node.arguments) > 2:
            function, _, arguments, *_ = node.arguments
            inner = Call(function, arguments if isinstance(arguments, tuple) else ())
        else:
            return node
        if not isinstance(inner, Call):
            raise _Fault("it is made of what is no tensor")
        node = inner
    raise _Fault("it is wrapped too often")


def _is_changed(call: Call) -> bool:
    """Whether something is put into a tensor that has its numbers from a storage: it has others then."""
    is_one = call.calls(*PLAIN, *WRAPPERS, *TYPED)
    return is_one and any(put is not None for put in (call.state, call.items, call.elements))


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
            f"its view of shape {quoted(list(shape))} from {quoted(offset)} leaves its storage "
            f"of {storage.nbytes // item} numbers"
        )
    contiguous = not count or is_contiguous(shape, steps)
    found = StoredTensor(
        name=name,
        dtype=dtype,
        shape=shape,
        file=archive.file,
        offset=storage.offset + (offset * item if count else 0),
        strides=() if contiguous else steps,
        big_endian=archive.big_endian,
        checksums=storage.checksums,
    )
    change = _change_of_sign(call)
    if change is None:
        return replace(found, fault="the tensor has metadata that is not known here")
    if change:
        found = replace(found, fault=f"the tensor is stored as its {change}", parts=(found,), described=change)
    if count * item <= storage.nbytes:
        return found
    shown = replace(found, shape=(last - offset + 1,), strides=(), fault="", parts=())
    fault = f"the tensor shows {storage.nbytes // item} numbers as {count}"
    return replace(found, fault=fault, parts=(shown,), described=description_of(["view", shape, steps, change]))


def _change_of_sign(call: Call) -> str | None:
    """Say what a tensor shows instead of the numbers in its storage: PyTorch puts off changing their signs.

    That a key is there counts for PyTorch, whatever its value. None: what is told of the tensor is not known here.
    """
    place = 7 if call.calls("torch._utils._rebuild_tensor_v3") else 6
    told = call.arguments[place] if len(call.arguments) > place else None
    if told is None:
        return ""
    shown = {"conj": "conjugate", "neg": "negative"}
    if not (isinstance(told, dict) and told.keys() <= shown.keys() and all(type(told[key]) is bool for key in told)):
        return None
    return " and ".join(shown[key] for key in shown if key in told)


def _dtype_named(dtype: object) -> str:
    name = dtype.name if isinstance(dtype, Global) and dtype.module == "torch" else ""
    name = {"double": "float64", "float": "float32", "half": "float16", "long": "int64", "int": "int32"}.get(name, name)
    if name not in ITEM_SIZES:
        raise _Fault(f"it is of the unknown dtype {quoted(str(dtype))}")
    return name


def _no_row(name: str, node: Call, call: Call, archive: Archive) -> StoredTensor:
    """Tell of a tensor whose numbers do not lie in the file in a row: a `call` as it stands in the `node`."""
    if not isinstance(call.function, Global):
        raise _Fault("it is made by what cannot be called")
    exotic = _EXOTIC.get(str(call.function))
    fault = f"the tensor is {exotic or f'made by {quoted(str(call.function))}, which is not known here'}"
    described, parts = taken_apart(node, archive, lambda inner: stored_tensor(name, inner, archive))
    told = StoredTensor(name, exotic or "unknown", _size_anywhere(call), archive.file, fault=fault)
    checksums = tuple(dict.fromkeys(checksum for part in parts for checksum in part.checksums))
    return replace(told, parts=parts, described=described, checksums=checksums)


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
    if call.calls(*ARRAYS):
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
        found = StoredTensor(name, "object", shape, archive.file, fault="the array holds no numbers")
        return _with_its_bytes(found, kind, content, archive, fortran=fortran)
    count = math.prod(shape)
    held = _held(content, archive)
    nbytes = held.length if isinstance(held, Extent) else len(held)
    if count * dtype.item != nbytes:
        raise _Fault(f"its shape {quoted(list(shape))} takes {count * dtype.item} bytes, and {nbytes} are there")
    in_file = isinstance(held, Extent) and held.content is None
    steps = tuple(reversed(contiguous_strides(tuple(reversed(shape))))) if fortran is True else ()
    return StoredTensor(
        name=name,
        dtype=dtype.name,
        shape=shape,
        file=archive.file,
        offset=held.offset if isinstance(held, Extent) else 0,
        strides=() if not count or is_contiguous(shape, steps or contiguous_strides(shape)) else steps,
        big_endian=dtype.big_endian,
        content=None if in_file else held.content if isinstance(held, Extent) else held,
        checksums=archive.checksums,
    )


def _with_its_bytes(found: StoredTensor, kind: Call, content: Any, archive: Archive, *, fortran: Any) -> StoredTensor:
    """Add what an array of times, texts or records consists of; one of objects holds nothing that could be read."""
    try:
        held = _held(content, archive)
    except _Fault:
        return found
    if isinstance(held, Extent):
        row = StoredTensor(found.name, "uint8", (held.length,), found.file, held.offset, content=held.content)
    else:
        row = StoredTensor(found.name, "uint8", (len(held),), found.file, content=held)
    order = kind.state[1] if isinstance(kind.state, tuple) and len(kind.state) > 1 else ""
    told = ["array", quoted(kind.arguments[0]), quoted(order), fortran is True]
    return replace(found, parts=(row,), described=description_of(told))


def _numpy_type(kind: Any) -> _NumPyType | None:
    """Read ``numpy.dtype("f4")`` with its byte order; None for what holds no numbers."""
    if not (isinstance(kind, Call) and kind.calls("numpy.dtype") and kind.arguments):
        raise _Fault("its dtype is none")
    code = kind.arguments[0]
    order = kind.state[1] if isinstance(kind.state, tuple) and len(kind.state) > 1 else "<"
    if isinstance(code, Global) and code.module == "ml_dtypes" and code.name.startswith(("bfloat16", "float8_")):
        return _NumPyType(code.name, ITEM_SIZES[code.name], order == ">") if code.name in ITEM_SIZES else None
    if not isinstance(code, str) or len(code) not in {2, 3} or code[0] not in _KINDS or not code[1:].isdecimal():
        return None
    item = int(code[1:])
    name = "bool" if code[0] == "b" else f"{_KINDS[code[0]]}{8 * item}"
    return _NumPyType(name, item, order == ">") if ITEM_SIZES.get(name) == item else None


def _held(content: Any, archive: Archive) -> Extent | bytes:
    """The bytes of an array: a constant, or a text that Python 2 or an old protocol wrote in their place."""
    if isinstance(content, Call) and content.calls(*_BYTES):
        content = content.arguments[0] if content.arguments else ""
    if isinstance(content, Extent):
        return content
    if isinstance(content, str):
        archive.file.budget.take("decoded", len(content))
        try:
            return content.encode("latin-1")
        except UnicodeEncodeError:
            raise _Fault("its bytes are none") from None
    raise _Fault("its bytes are none")
