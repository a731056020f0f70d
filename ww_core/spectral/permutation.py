"""Permutations that depend on a key and on nothing else, not even on NumPy's release."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    Words = npt.NDArray[np.uint64]

DIGIT_BITS = 16
"""Bits of a word by which one pass orders."""

FEW = 4096
"""Words up to which one call of a sort is faster than passes."""

BUCKET = 2**18
"""Most words that are ordered together, on average: what passes move about stays in the cache."""

BLOCK = 2**17
"""Words that are dealt out to the buckets together."""

ORDERING_BYTES, MOST_ORDERING_BYTES = 28, 2**24
"""Of each element while random words are ordered; and most of that, as it is done bucket by bucket."""

LOW_HALF = np.uint64(2**32 - 1)

COPIED_AS = {1: "u1", 2: "u2", 4: "u4", 8: "u8", 16: "c16"}
"""Type by which entries are moved, by their bytes."""


def permutation(n: int, key: bytes) -> npt.NDArray[np.int64]:
    """Return a permutation of 0 .. n - 1 drawn by ``key``.

    It is the stable order of n raw 64-bit words of the counter-based generator Philox, whose bits are fixed by its
    definition; ``Generator.permutation`` may change from release to release.

    Args:
        n: Length.
        key: Any bytes; equal keys give equal permutations.
    """
    return permuted(np.arange(n, dtype=np.int64), key)


def philox(key: bytes) -> np.random.Philox:
    """Return the counter-based generator of a key, at its first word."""
    return np.random.Philox(key=int.from_bytes(hashlib.blake2b(key, digest_size=16).digest(), "little"))


def permuted(entries: npt.NDArray[Any], key: bytes) -> npt.NDArray[Any]:
    """Return a copy of ``entries``, of any shape, with all elements permuted by ``key``.

    In C order element i is that with the i-th number of ``permutation``.

    Memory: ``permuting_bytes``.

    Raises:
        TypeError: An element has not 1, 2, 4, 8 or 16 bytes.
    """
    if entries.dtype.itemsize not in COPIED_AS:
        raise TypeError(f"elements of type {entries.dtype} cannot be permuted: those of 1, 2, 4, 8 or 16 bytes can")
    flat = entries.reshape(-1).view(COPIED_AS[entries.dtype.itemsize])
    found, start = np.empty_like(flat), 0
    for bits, words, values in _buckets(philox(key), flat):
        stop = start + values.size
        # No index is out of bounds, and this mode makes no copy for the case that one is.
        np.take(values, stable_order(words, bits), out=found[start:stop], mode="wrap")
        start = stop
    return found.view(entries.dtype).reshape(entries.shape)


def permuting_bytes(elements: int, itemsize: int) -> int:
    """Return the most bytes that ``permuted`` takes at any time, its result among them, besides the entries.

    That is the copy in the stored dtype, one more of it if the entries are no C-contiguous array, and on the way one
    more, 8 bytes per element, and what ordering the words of a bucket takes.
    """
    return elements * (8 + 3 * itemsize) + min(ORDERING_BYTES * elements, MOST_ORDERING_BYTES)


def _buckets(generator: np.random.Philox, values: npt.NDArray[Any]) -> Iterator[tuple[int, Words, npt.NDArray[Any]]]:
    """Yield the next words and the values by the words' first bits, ascending: how many bits, the words, the values."""
    bits = max(0, (values.size - 1) // BUCKET).bit_length()
    if not bits:
        yield 0, generator.random_raw(values.size), values
        return
    blocks = []
    for start in range(0, values.size, BLOCK):  # each stays in the cache until it is ordered by its first bits
        block = values[start : start + BLOCK]
        words = generator.random_raw(block.size)
        digits = (words >> np.uint64(64 - bits)).astype(np.int32)
        words, bounds = _by_digit(words, digits, 2**bits)
        blocks.append((words, _by_digit(block, digits, 2**bits)[0], bounds.tolist()))
    for digit in range(2**bits):
        parts = [(words[b[digit] : b[digit + 1]], block[b[digit] : b[digit + 1]]) for words, block, b in blocks]
        yield bits, np.concatenate([part for part, _ in parts]), np.concatenate([part for _, part in parts])


def stable_order(words: Words, known: int = 0) -> npt.NDArray[np.int64]:
    """Return the stable order of words, fewer than 2**31, by which they ascend: what a stable argsort gives, faster.

    Args:
        words: Shape (n,).
        known: How many of the first bits are the same in all words.
    """
    if words.size <= FEW:
        return np.argsort(words, kind="stable").astype(np.int64, copy=False)
    # Half a word and its index, ordered by the second quarter of the word and then by the first.
    pairs = words << np.uint64(known)
    pairs &= ~LOW_HALF
    pairs |= np.arange(words.size, dtype=np.uint64)
    for place in (2, 3):
        digits = pairs.astype("<u8", copy=False).view("<u2")[place::4].astype(np.int32)
        pairs, _ = _by_digit(pairs, digits, 2**DIGIT_BITS)
    equal = np.flatnonzero((pairs[1:] ^ pairs[:-1]) <= LOW_HALF)
    pairs &= LOW_HALF
    order = pairs.view(np.int64)
    if equal.size:  # the few that half a word does not tell apart stand beside each other: the whole word tells
        places = np.union1d(equal, equal + 1)
        those = order[places]
        order[places] = those[np.argsort(words[those], kind="stable")]
    return order


def _by_digit(
    values: npt.NDArray[Any], digits: npt.NDArray[Any], base: int
) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Values by ascending digits below ``base``, equal ones in the order they were in; the bounds of each digit's.

    The transposition of a sparse matrix orders by counting: it looks at each number once.
    """
    from scipy.sparse import csr_array

    ends = np.array([0, values.size], np.int32)
    columns = csr_array((values, digits, ends), shape=(1, base)).tocsc()
    return columns.data, columns.indptr
