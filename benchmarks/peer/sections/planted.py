"""The bulk of noise with planted spikes, whose edge and number are known: who is nearer to them."""

from __future__ import annotations

import math
import statistics
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.peer.sections.section import Measured

if TYPE_CHECKING:
    import numpy.typing as npt

    from benchmarks.peer.bench import Bench
    from benchmarks.peer.sections.section import Cases

EXPLANATION = (
    "Gaussian matrices with entries of variance 1 / N, and k singular values of the given size added to each. The edge "
    "is `bulk_max`, whose truth is `(sqrt(N - k) + sqrt(M - k))**2 / N`; its error is the mean of |found / truth - 1| "
    "over the matrices. Spikes are `num_spikes`, one number for each matrix."
)
COLUMNS = ("N x M", "planted", "edge", "our error", "their error", "our spikes", "their spikes")

CASES: dict[tuple[int, int], tuple[tuple[float, ...], ...]] = {
    (900, 300): ((), (6.0,), (60.0,), (5.0,) * 10),
    (300, 300): ((), (6.0,), (60.0,), (5.0,) * 10),
}
REPEATS = 3
REQUEST = {"profile": "weightwatcher-full", "metrics": ["bulk_max", "num_spikes"]}


def cases(bench: Bench) -> Cases:
    """One for each shape and set of spikes."""
    for shape, sets in CASES.items():
        for strengths in sets:
            yield f"{shape} {strengths}", partial(_planted, bench, shape, strengths)


def _planted(bench: Bench, shape: tuple[int, int], strengths: tuple[float, ...]) -> Measured:
    arrays = {f"planted_{seed}.weight": _matrix(shape, strengths, seed) for seed in range(REPEATS)}
    rows = bench.ours.work(arrays, request=REQUEST).report.layers
    details = bench.theirs.analyze_bulk(bench.theirs.module_of(arrays))
    k = len(strengths)
    edge = (math.sqrt(shape[0] - k) + math.sqrt(shape[1] - k)) ** 2 / shape[0]
    ours = [(row.metrics["bulk_max"].number or math.nan, row.metrics["num_spikes"].number) for row in rows]
    theirs = [(found["bulk_max"], found["num_spikes"]) for found in details.to_dict("records")]
    cells = [f"{shape[0]} x {shape[1]}", f"{k} of {strengths[0]:g}" if k else "none", f"{edge:.3f}"]
    cells += [f"{statistics.fmean(abs(found / edge - 1) for found, _ in side):.1%}" for side in (ours, theirs)]
    cells += [", ".join(f"{number:.0f}" for _, number in side) for side in (ours, theirs)]
    return Measured([cells])


def _matrix(shape: tuple[int, int], strengths: tuple[float, ...], seed: int) -> npt.NDArray[np.float32]:
    rng = np.random.default_rng([*shape, len(strengths), seed])
    matrix = rng.standard_normal(shape) / math.sqrt(shape[0])
    if strengths:
        left, right = (np.linalg.qr(rng.standard_normal((side, len(strengths))))[0] for side in shape)
        matrix += left * np.array(strengths) @ right.T
    return matrix.astype(np.float32)
