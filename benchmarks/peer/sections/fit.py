"""The power-law fit alone."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.peer.models import heavy_tailed
from benchmarks.peer.report import NO_GOAL, RATIOS, Goal, ratios, times
from benchmarks.peer.sections.section import Measured
from benchmarks.peer.timing import timed

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    from benchmarks.peer.bench import Bench
    from benchmarks.peer.sections.section import Cases

EXPLANATION = (
    "`ww_core.spectral.fit_power_law` against the peer's own fit and the package powerlaw, both through the peer's "
    "`pl_fit` as its analysis calls it. Layer spectra are those of heavy-tailed random matrices, pooled above 1024; "
    "Pareto's density is x**-2.5. Ratios are peer / ours."
)
COLUMNS = ("n", "spectrum", "median", "min", "peer median", "peer min", *RATIOS, "powerlaw", "alpha apart", "xmin")

SIZES = (64, 144, 256, 576, 768, 2048, 4096, 16384)
GOALS = {2048: Goal(35.0)}
LARGEST_FOR_POWERLAW = 4096


def cases(bench: Bench) -> Cases:
    """One for each size and kind of spectrum."""
    for n in SIZES:
        for kind, make in (("layer", _layer), ("Pareto", _pareto)):
            yield f"{kind} {n}", partial(_fit, bench, n, kind, make)


def _layer(n: int, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    side = min(n, 1024)
    matrices = [heavy_tailed((2 * side, side), rng).astype(np.float64) for _ in range(n // side)]
    return np.concatenate([np.linalg.eigvalsh(matrix.T @ matrix) for matrix in matrices])


def _pareto(n: int, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    return 1.0 + rng.pareto(1.5, n)


def _fit(
    bench: Bench, n: int, kind: str, make: Callable[[int, np.random.Generator], npt.NDArray[np.float64]]
) -> Measured:
    from ww_core.spectral import fit_power_law

    theirs = bench.theirs
    eigenvalues = make(n, np.random.default_rng([bench.options.seed, n]))
    our_fit, their_fit = fit_power_law(eigenvalues), theirs.fit(eigenvalues, "ww")
    sides = {
        "ours": timed(lambda: fit_power_law(eigenvalues)),
        "peer": timed(lambda: theirs.fit(eigenvalues, "ww")),
    }
    if n <= LARGEST_FOR_POWERLAW:
        sides["powerlaw"] = timed(lambda: theirs.fit(eigenvalues, "powerlaw"))
    samples = bench.interleave(sides)
    ours, peer = samples["ours"], samples["peer"]
    row = [
        str(n),
        kind,
        *times(ours),
        *times(peer),
        *ratios(peer, ours, GOALS.get(n, NO_GOAL)),
        f"{samples['powerlaw'].median / ours.median:.1f}x" if "powerlaw" in samples else "",
        f"{abs(our_fit.alpha / their_fit.alpha - 1):.1e}",
        "same" if our_fit.xmin == their_fit.xmin else "OTHER",
    ]
    return Measured([row])
