"""ww's tail fits beside those of diffract-core's compiled fitter, which run in turn in one process.

    make diffract
    make diffract OPTIONS="--seconds 30"

``make diffract`` makes an environment of Python 3.12 once, in ``.venv-diffract``: diffract-core takes no older one.

Diffract fits the power law, that with a cut-off, and the exponential; ww fits an exponential only to the tail that the
power law found, so that there is nothing to compare. Diffract works in single precision on all cores, and tries as xmin
what leaves a tail of 50. Its first fit of each size compiles, which is not counted.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.peer.models import heavy_tailed
from benchmarks.peer.report import RATIOS, Table, ratios, times
from benchmarks.peer.timing import interleave, timed
from ww_core.spectral.power_law import fit_power_law
from ww_core.spectral.truncated_power_law import fit_truncated_power_law

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

SIZES = (64, 128, 384, 768)
SHORTEST = 50
"""Eigenvalues in the shortest tail that Diffract looks at."""

TIMES = ("eigenvalues", "diffract median", "min", "ww median", "min", *RATIOS[:4])
NUMBERS = ("eigenvalues", "fit", "alpha", "Lambda", "D", "n_tail", "lacks")


def main() -> int:
    """Measure both fits and print the tables."""
    options = _options()
    from diffract.core.compute.extensions.power_law import Fit

    packages = ", ".join(f"{name} {version(name)}" for name in ("diffract-core", "taichi", "numpy", "scipy"))
    print(f"Python {platform.python_version()}, {packages}, {os.cpu_count()} cores")
    for name, fit in (("power_law", fit_power_law), ("truncated_power_law", fit_truncated_power_law)):
        speed = Table(f"{name}: times", "Ratios are Diffract / ww. ww tries every eigenvalue as xmin.", TIMES)
        numbers = Table(
            f"{name}: numbers",
            f"ww's also among tails of {SHORTEST} or more, as Diffract's. The last column is by how much the "
            "likelihood at Diffract's parameters is below the largest for its tail, as a logarithm.",
            NUMBERS,
        )
        for size in SIZES:
            eigenvalues = _eigenvalues(size, options.seed)
            numbers.rows += _compared(name, Fit, eigenvalues)
            samples = interleave(
                {
                    "diffract": timed(lambda name=name, values=eigenvalues: _theirs(Fit, name, values)),
                    "ww": timed(lambda fit=fit, values=eigenvalues: fit(values)),
                },
                seconds=options.seconds,
            )
            theirs, ours = samples["diffract"], samples["ww"]
            speed.rows.append([str(size), *times(theirs), *times(ours), *ratios(theirs, ours)[:4]])
        print(speed.text(), numbers.text(), sep="\n", flush=True)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.diffract", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=10.0, help="time for each row (10)")
    parser.add_argument("--seed", type=int, default=0, help="of the matrices (0)")
    return parser.parse_args()


def _eigenvalues(size: int, seed: int) -> Floats:
    matrix = heavy_tailed((2 * size, size), np.random.default_rng([seed, size])).astype(np.float64)
    return np.linalg.eigvalsh(matrix.T @ matrix).astype(np.float64)


def _theirs(fitter: Any, name: str, eigenvalues: Floats) -> dict[str, float]:
    fit = fitter(eigenvalues, name)
    try:
        found: dict[str, float] = fit.fit_params()
    finally:
        fit.close()
    return found


def _compared(name: str, fitter: Any, eigenvalues: Floats) -> Iterator[list[str]]:
    """What both find, and by how much Diffract's parameters are less likely than ww's for the tail it chose."""
    found = _theirs(fitter, name, eigenvalues)
    fit: Any = fit_power_law if name == "power_law" else fit_truncated_power_law
    long_enough = (float(eigenvalues[0]), float(eigenvalues[-SHORTEST]))
    for label, own in (("ww", fit(eigenvalues)), ("ww, long tails", fit(eigenvalues, between=long_enough))):
        rate = getattr(own, "Lambda", 0.0)
        yield [str(eigenvalues.size), label, f"{own.alpha:.5f}", f"{rate:.5f}", f"{own.D:.6f}", str(own.n_tail), ""]
    rate = found["expon_lambda"] if name == "truncated_power_law" else 0.0
    size = int(found["tail_size"])
    shown = [f"{found['pl_alpha']:.5f}", f"{rate:.5f}", f"{found['ks_distance']:.6f}", str(size)]
    yield [str(eigenvalues.size), "diffract", *shown, f"{_lost(name, found['pl_alpha'], rate, eigenvalues, size):.2g}"]


def _lost(name: str, alpha: float, rate: float, eigenvalues: Floats, size: int) -> float:
    """How much log-likelihood these parameters lack of the largest, for the tail of so many values."""
    if not size:
        return float("nan")
    tail = eigenvalues[-size:]
    xmin = float(tail[0])
    ratios = tail / xmin
    if name == "power_law":
        best = 1.0 + 1.0 / float(np.log(ratios).mean())
        return _likelihood(ratios, best, 0.0) - _likelihood(ratios, alpha, 0.0)
    own = fit_truncated_power_law(tail, between=(xmin, xmin))
    return own.log_likelihood - _likelihood(ratios, alpha, rate * xmin)


def _likelihood(ratios: Floats, alpha: float, rate: float) -> float:
    """Log-likelihood of values over their xmin, in many digits."""
    import mpmath

    with mpmath.workdps(30):
        if rate:
            integral = mpmath.gammainc(1 - mpmath.mpf(alpha), rate) * mpmath.mpf(rate) ** (mpmath.mpf(alpha) - 1)
        else:
            integral = 1 / (mpmath.mpf(alpha) - 1)
        return float(-alpha * np.log(ratios).sum() - rate * ratios.sum() - ratios.size * mpmath.log(integral))


if __name__ == "__main__":
    sys.exit(main())
