"""The truncated power law alone."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.peer.models import heavy_tailed
from benchmarks.peer.report import NO_GOAL, RATIOS, Goal, ratios, times
from benchmarks.peer.sections.section import Measured
from benchmarks.peer.timing import timed

if TYPE_CHECKING:
    import numpy.typing as npt

    from benchmarks.peer.bench import Bench
    from benchmarks.peer.sections.section import Cases

EXPLANATION = (
    "`ww_core.spectral.truncated_power_law` against the package powerlaw, through the peer's `pl_fit` as its analysis "
    "with `fit='TPL'` calls it: every eigenvalue is tried as xmin. Spectra are those of heavy-tailed random matrices "
    "of 2 n x n. Ratios are powerlaw / ours."
)
COLUMNS = ("n", "median", "min", "powerlaw median", "powerlaw min", *RATIOS, "alpha", "powerlaw", "D", "powerlaw")

SIZES = (64, 128)
GOALS = {128: Goal(200.0)}


def cases(bench: Bench) -> Cases:
    """One for each size."""
    for n in SIZES:
        yield f"{n} eigenvalues", partial(_fit, bench, n)


def _fit(bench: Bench, n: int) -> Measured:
    from ww_core.spectral.truncated_power_law import fit_truncated_power_law

    theirs = bench.theirs
    eigenvalues = _layer(n, np.random.default_rng([bench.options.seed, n]))
    our_fit = fit_truncated_power_law(eigenvalues)
    their_fit = theirs.fit(eigenvalues, "powerlaw", "truncated_power_law")
    samples = bench.interleave(
        {
            "ours": timed(lambda: fit_truncated_power_law(eigenvalues)),
            "powerlaw": timed(lambda: theirs.fit(eigenvalues, "powerlaw", "truncated_power_law")),
        }
    )
    ours, peer = samples["ours"], samples["powerlaw"]
    row = [
        str(n),
        *times(ours),
        *times(peer),
        *ratios(peer, ours, GOALS.get(n, NO_GOAL)),
        *(f"{alpha:.4f}" for alpha in (our_fit.alpha, their_fit.alpha)),
        *(f"{distance:.5f}" for distance in (our_fit.D, their_fit.D)),
    ]
    return Measured([row])


def _layer(n: int, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    matrix = heavy_tailed((2 * n, n), rng).astype(np.float64)
    return np.linalg.eigvalsh(matrix.T @ matrix).astype(np.float64)
