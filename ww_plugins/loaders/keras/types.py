"""What HDF5 says of the numbers of a dataset: their type, their shape, and how they were compressed."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ww_plugins.loaders.keras.bytes_of import Fault, Parts

if TYPE_CHECKING:
    from collections.abc import Mapping

UNKNOWN = "unknown"
"""The type of what holds no numbers that ww reads."""

_INTEGER, _FLOAT, _OPAQUE, _ENUM = 0, 1, 5, 8
_MOST_AXES = 32  # HDF5's limit

_FLOATS: Mapping[tuple[int, ...], str] = {
    (2, 16, 15, 10, 5, 0, 10, 15): "float16",
    (2, 16, 15, 7, 8, 0, 7, 127): "bfloat16",
    (4, 32, 31, 23, 8, 0, 23, 127): "float32",
    (8, 64, 63, 52, 11, 0, 52, 1023): "float64",
}
"""Types by size, precision, place of the sign, place and size of exponent and mantissa, and bias."""


class NumberType(NamedTuple):
    """NumPy's name of a type, or that it is unknown; whether numbers are big-endian; whether bytes mean nothing."""

    name: str
    big_endian: bool = False
    opaque: bool = False


def read_shape(content: bytes) -> tuple[int, ...] | None:
    """Return the shape that a description of a space tells; None for one that holds nothing."""
    parts = Parts(content)
    version, axes, _ = (parts.number(1) for _ in range(3))
    if version not in {1, 2} or axes > _MOST_AXES:
        raise Fault("a shape is of an unknown form")
    kind = parts.number(1)
    if version == 1:
        parts.take(4)
    elif kind == 2:
        return None
    return tuple(parts.number(8) for _ in range(axes))


def read_type(content: bytes) -> NumberType:
    """Return the type that a description tells."""
    if not content:  # it is shared with other datasets, as Keras writes none
        return NumberType(UNKNOWN)
    parts = Parts(content)
    what = parts.number(1) & 15
    bits, size = parts.number(3), parts.number(4)
    if what == _OPAQUE:
        return NumberType(UNKNOWN, opaque=size == 2)
    if what == _INTEGER:
        begin, precision = parts.number(2), parts.number(2)
        known = size in {1, 2, 4, 8} and not begin and precision == 8 * size
        name = f"{'' if bits & 8 else 'u'}int{precision}" if known else UNKNOWN
        return NumberType(name, bool(bits & 1))
    if what == _FLOAT:
        begin, precision = parts.number(2), parts.number(2)
        form = (size, precision, bits >> 8 & 255, *(parts.number(1) for _ in range(4)), parts.number(4))
        known = not begin and not bits & 0x40 and bits >> 4 & 3 == 2
        return NumberType(_FLOATS.get(form, UNKNOWN) if known else UNKNOWN, bool(bits & 1))
    if what == _ENUM:
        base = read_type(parts.take(12))
        names = parts.take(min(parts.left, 16)).replace(b"\0", b"")
        is_bool = base.name in {"int8", "uint8"} and bits & 0xFFFF == 2 and names.startswith(b"FALSETRUE")
        return NumberType("bool") if is_bool else base
    return NumberType(UNKNOWN)


def read_filters(content: bytes) -> tuple[int, ...]:
    """Return the numbers of the filters that a dataset went through, in their order."""
    parts = Parts(content)
    version, count = parts.number(1), parts.number(1)
    if version not in {1, 2} or count > _MOST_AXES:
        raise Fault("a list of filters is of an unknown form")
    parts.take(6 if version == 1 else 0)
    found = []
    for _ in range(count):
        found.append(parts.number(2))
        named = parts.number(2) if version == 1 or found[-1] >= 256 else 0
        parts.take(2)
        values = parts.number(2)
        parts.take(named + 4 * (values + (values % 2 if version == 1 else 0)))
    return tuple(found)
