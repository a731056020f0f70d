"""Power-law fit of the tail of a spectrum."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from ww_core.errors import NotApplicable, Refused

if TYPE_CHECKING:
    import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class PowerLawFit:
    """A tail density p(x) ~ x**-alpha on x >= xmin.

    Attributes:
        alpha: Exponent of the density.
        D: Kolmogorov-Smirnov distance of the tail from the fit, in [0, 1].
        sigma: Standard error of alpha, (alpha - 1) / sqrt(n_tail).
        xmin: Smallest value of the tail; unit of the data.
        xmax: Largest value of the data; unit of the data.
        n_tail: Values in the tail, ties counted.
    """

    alpha: float
    D: float
    sigma: float
    xmin: float
    xmax: float
    n_tail: int


def fit_power_law(
    eigenvalues: npt.NDArray[np.float64],
    *,
    floor: float = 0.0,
    tie_tolerance: float = 0.0,
    ks: Literal["lower", "two-sided"] = "lower",
) -> PowerLawFit:
    """Fit the tail of ``eigenvalues`` by maximum likelihood, scanning every start of the tail.

    Each distinct value x_i but the largest is tried as xmin, with k values x_j >= x_i:
    alpha_i = 1 + k / sum(ln(x_j / x_i)), F_i(x) = 1 - (x / x_i)**(1 - alpha_i), and D_i is the largest distance between
    F_i and the empirical distribution. The smallest D_i wins, the longer tail where two are equal.

    Args:
        eigenvalues: 1-D, float64, any order and scale, not negative.
        floor: Values not above it are left out; unit of the data.
        tie_tolerance: Neighbours not farther apart than this are one value, the smallest of their group.
        ks: ``lower`` compares F with the share of the tail below each distinct value, as Clauset's code and powerlaw
            do; ``two-sided`` also with the share up to and including it: the Kolmogorov-Smirnov distance proper.

    Returns:
        The fit. Multiplying the data, floor and tolerance by a power of two changes xmin and xmax only.

    Raises:
        NotApplicable: There are fewer than two distinct values.
        Refused: A value is NaN or infinite.

    Reference:
        A. Clauset, C. R. Shalizi, M. E. J. Newman, Power-law distributions in empirical data, SIAM Review 51 (2009).
    """
    data = np.asarray(eigenvalues, dtype=np.float64)
    bad = data.size - int(np.count_nonzero(np.isfinite(data)))
    if bad:
        raise Refused(f"{bad} of {data.size} eigenvalues are NaN or infinite")
    kept = np.sort(data[data > floor])
    starts = np.flatnonzero(np.diff(kept, prepend=-np.inf) > tie_tolerance)
    distinct = kept[starts]
    if distinct.size < 2:
        found = "all eigenvalues above the floor are equal" if distinct.size else "no eigenvalue is above the floor"
        raise NotApplicable(f"{found}: a tail needs two distinct ones")
    counts = np.diff(starts, append=kept.size).astype(np.float64)

    best_distance, best_start, best_alpha = math.inf, 0, math.nan
    for start in range(distinct.size - 1):
        n_tail = kept.size - int(starts[start])
        logs = _log_ratios(distinct[start:])
        exponent = n_tail / float(counts[start:] @ logs)
        with np.errstate(under="ignore"):
            fitted = -np.expm1(-exponent * logs)
        below = (starts[start:] - starts[start]) / n_tail
        distance = float(np.abs(fitted - below).max())
        if ks == "two-sided":
            distance = max(distance, float(np.abs(fitted - below - counts[start:] / n_tail).max()))
        if distance < best_distance:
            best_distance, best_start, best_alpha = distance, start, 1.0 + exponent

    n_tail = kept.size - int(starts[best_start])
    return PowerLawFit(
        alpha=best_alpha,
        D=best_distance,
        sigma=(best_alpha - 1.0) / math.sqrt(n_tail),
        xmin=float(distinct[best_start]),
        xmax=float(kept[-1]),
        n_tail=n_tail,
    )


def _log_ratios(tail: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """ln(x / x_0) of ascending positive ``tail``, exact for close neighbours too, whose ratio rounds to 1."""
    with np.errstate(over="ignore"):
        excess = (tail - tail[0]) / tail[0]
    logs: npt.NDArray[np.float64] = np.log(tail) - np.log(tail[0]) if np.isinf(excess[-1]) else np.log1p(excess)
    return logs
