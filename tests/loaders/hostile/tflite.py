"""Models of TensorFlow Lite that lie."""

from __future__ import annotations

import struct

import numpy as np
from tflite_files import RANDOM, Op, Sparse, T, X, model, normal, of_weights

from hostile.lie import READ, Hostile, of_bytes

WHOLE = RANDOM.integers(-128, 128, (6, 8)).astype(np.int8)


SCALES = RANDOM.random(8).astype("f4") + np.float32(0.5)


def packed(numbers, bits):
    """Numbers of a few bits in bytes, the first one lowest."""
    numbers = np.concatenate([numbers.reshape(-1), np.zeros(-numbers.size % (8 // bits), numbers.dtype)])
    parts = (numbers.astype(np.int64) & (2**bits - 1)).reshape(-1, 8 // bits)
    return (parts << np.arange(0, 8, bits)).sum(1).astype(np.uint8).tobytes()


NIBBLES = RANDOM.integers(-8, 8, (5, 3)).astype(np.int8)


# name: (tensor, the reason)
LISTED = {
    "blocks of its own": (T("w", WHOLE, scale=[1.0], details=2), "quantised block by block"),
    "too few scales": (T("w", WHOLE, scale=SCALES[:5]), "5 scales, and its axis has 6 places"),
    "no such axis": (T("w", WHOLE, scale=SCALES, axis=7), "8 scales, and its axis has no places"),
    "a negative axis": (T("w", WHOLE, scale=SCALES, axis=-1), "8 scales, and its axis has no places"),
    "too many zero points": (T("w", WHOLE, scale=SCALES[:6], zero=[1, 2]), "2 zero points and 6 scales"),
    "a scale of 0": (T("w", WHOLE, scale=[0.0], zero=[0]), "no positive number"),
    "a negative scale": (T("w", WHOLE, scale=[-1.0]), "no positive number"),
    "NaN as a scale": (T("w", WHOLE, scale=[np.nan]), "no positive number"),
    "an infinite scale": (T("w", WHOLE, scale=[np.inf]), "no positive number"),
    "int4 without a scale": (T("w", packed(NIBBLES, 4), (5, 3), "int4"), "not floating point"),
    "int8 without a scale": (T("w", WHOLE), "not floating point"),
    "texts": (T("w", b"\1\0\0\0\x08\0\0\0\x09\0\0\0a", (1,), "string"), "no type of numbers"),
    "a type to come": (T("w", b"abcd", (4,), 77), "no type of numbers"),
    "complex": (T("w", normal(3, 4).astype("c8")), "complex64 is not supported"),
}


FOUR = normal(4)


# name: (where the numbers stand, the reason)
SPARSE = {
    "no axes": (Sparse([], [], []), "axes contradict"),
    "an axis twice": (Sparse([0, 0], [], [(6,), (8,)]), "axes contradict"),
    "too few levels": (Sparse([0, 1], [], [(6,)]), "axes contradict"),
    "blocks of no axis": (Sparse([0, 1, 2], [5], [(6,), (8,), (2,)]), "blocks contradict"),
    "blocks that do not fill": (Sparse([0, 1, 2], [0], [(6,), (8,), (4,)]), "blocks of 4 do not fill"),
    "blocks of nothing": (Sparse([0, 1, 2], [0], [(6,), (8,), (0,)]), "blocks of 0 do not fill"),
    "another length": (Sparse([0, 1], [], [(5,), (8,)]), "5 places instead of 6"),
    "too many numbers": (Sparse([0, 1], [], [(6,), (8,)]), "4 numbers for 48 places"),
    "ends that go back": (Sparse([0, 1], [], [(6,), ([0, 3, 2, 4, 4, 4, 4], [0, 1, 2, 3])]), "do not follow"),
    "ends of others": (Sparse([0, 1], [], [(6,), ([0, 4], [0, 1, 2, 3])]), "do not follow"),
    "ends too early": (Sparse([0, 1], [], [(6,), ([0, 0, 0, 0, 0, 0, 3], [0, 1, 2, 3])]), "end too early"),
    "a place outside": (Sparse([0, 1], [], [(6,), ([0, 0, 0, 0, 0, 0, 4], [0, 1, 2, 8])]), "outside of its axis"),
    "nothing in the lists": (Sparse([0, 1], [], [(6,), ([], [])]), "do not follow"),
    "twenty axes": (Sparse(range(20), [], [(1,)] * 20), "sparse along 20 axes"),
}


WEIGHTS = {"fc.weight": normal(4, 8), "fc.bias": normal(4)}


GOOD = of_weights(WEIGHTS)


def lying(**lies):
    """A model with one tensor that lies."""
    return model(T(**{"name": "w", "data": normal(4, 8), **lies}))


def with_index(index):
    return model(X, T("w", normal(4, 8)), ops=[Op("FULLY_CONNECTED", ("x", index, -1))])


REFUSED = {
    "empty": (b"", "the file is empty"),
    "another format": (b"\x89HDF\r\n\x1a\n" + bytes(99), "an HDF5 file"),
    "zeros": (bytes(999), "it has no TFL3"),
    "only the identifier": (b"\x1c\0\0\0TFL3", "lies beyond its end"),
    "a root beyond the end": (struct.pack("<I", 2**31) + GOOD[4:], "lies beyond its end"),
    "a root on itself": (struct.pack("<I", 0) + GOOD[4:], "cut short or damaged"),
    "a shape too large": (lying(shape=(2**30, 2**30)), "takes 4,611,686,018,427,387,904 bytes"),
    "a shape too small": (lying(shape=(4, 7)), "takes 112 bytes, and its buffer has 128"),
    "a negative length": (lying(shape=(-4, -8)), "is not a shape"),
    "65 axes": (lying(shape=(1,) * 63 + (4, 8)), "is not a shape"),
    "a buffer that is not there": (lying(data=9, shape=(4, 8)), "the buffer 9, and 1 are listed"),
    "a name that is no text": (lying(name=b"\xff"), "not UTF-8"),
    "a NUL in a name": (lying(name="a\0b"), "holds a NUL"),
    "a long name": (lying(name="a" * 3000), "2000 are the most"),
    "an operator's tensor that is not there": (with_index(7), "takes tensor 7, and 2 are listed"),
    "sparse, with too many numbers": (lying(shape=(2, 2), sparse=Sparse([0, 1], [], [(2,), (2,)])), "takes 16 bytes"),
    "sparse, with half a number": (
        lying(data=b"abc", shape=(2, 2), sparse=Sparse([0, 1], [], [(2,), (2,)])),
        "takes 16 bytes",
    ),
}


def _listed(tensor: T) -> Hostile:
    """A model whose other tensor is sound."""
    return Hostile(of_bytes(lambda: model(tensor, T("v", normal(4, 8))), "bad.tflite"), (READ,))


SOURCES = {
    "tflite": {
        **{name: Hostile(of_bytes(content, "bad.tflite")) for name, (content, _) in REFUSED.items()},
        **{name: _listed(tensor) for name, (tensor, _) in LISTED.items()},
        **{
            f"sparse: {name}": _listed(
                T("w", FOUR, (1,) * 18 + (6, 8) if len(spread.order) == 20 else (6, 8), sparse=spread)
            )
            for name, (spread, _) in SPARSE.items()
        },
    }
}
