"""Bootstrap resamples that depend on a seed and on nothing else, not even on NumPy's release."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

from ww_core.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from ww_core.rank_statistics.sample import Sample

    Draws = npt.NDArray[np.int32]

_CHUNK = 1 << 18  # numbers of draws; more no longer stay in a core's cache
_FEWEST_COLUMNS = 16  # of a chunk: NumPy's loops over shorter rows are slow


def sample_and_resamples(sample: Sample, seed: int, replicates: int) -> Iterator[Draws]:
    """Draw each model once, and then resamples: from each group as many of its models as it has, with replacement.

    Draw i of a resample is ``start + floor(word * size / 2**32)``, with start and size of the group of model i, and
    ``word`` the upper half of the next raw 64-bit word of the counter-based generator Philox, whose bits are fixed by
    its definition. The methods of ``numpy.random.Generator`` may change from release to release.

    Args:
        sample: The models.
        seed: Any integer; equal seeds give equal resamples.
        replicates: How many resamples.

    Yields:
        Shape (n, some), int32: how often each model was drawn. The first column of all is the sample itself, those that
        follow are ``replicates`` resamples.

    Raises:
        UsageError: ``replicates`` is below 0.
    """
    if replicates < 0:
        raise UsageError(f"replicates is {replicates}: 0 or more is needed")
    yield np.ones((sample.n, 1), dtype=np.int32)
    key = hashlib.blake2b(str(int(seed)).encode(), digest_size=16).digest()
    words = np.random.Philox(key=int.from_bytes(key, "little"))
    start = np.repeat(sample.starts, sample.sizes)
    size = np.repeat(sample.sizes, sample.sizes).astype(np.uint64)
    many = max(_FEWEST_COLUMNS, _CHUNK // max(1, sample.n))
    for first in range(0, replicates, many):
        count = min(many, replicates - first)
        word = words.random_raw(count * sample.n).reshape(count, sample.n) >> np.uint64(32)
        model = (word * size >> np.uint64(32)).astype(np.int64) + start
        cells = model * count + np.arange(count)[:, None]
        yield np.bincount(cells.reshape(-1), minlength=cells.size).reshape(sample.n, count).astype(np.int32)
