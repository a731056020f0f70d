"""Power-law fits of resampled spectra, with xmin searched for again: how far alpha scatters, and D by chance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from ww_core.spectral.distinct import Distinct
from ww_core.spectral.power_law import PowerLawFit, fit_power_law_to

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]


def resampled_alphas(
    data: Distinct, rng: np.random.Generator, *, replicas: int, ks: Literal["lower", "two-sided"] = "lower"
) -> Floats:
    """Fit samples of the data's own size, drawn from it with replacement.

    Samples with a single distinct value are drawn again.

    Returns:
        alpha of each, shape (replicas,).
    """
    size = int(data.n_tail[0])
    groups = np.repeat(np.arange(data.values.size), data.counts.astype(np.intp))
    alphas = np.empty(replicas)
    for number in range(replicas):
        drawn = groups[rng.integers(size, size=size)]
        while (drawn == drawn[0]).all():
            drawn = groups[rng.integers(size, size=size)]
        counts = np.bincount(drawn, minlength=data.values.size).astype(np.float64)
        alphas[number] = fit_power_law_to(Distinct.counted(data.values, counts), ks=ks).alpha
    return alphas


def simulated_fits(
    data: Distinct,
    fit: PowerLawFit,
    rng: np.random.Generator,
    *,
    replicas: int,
    ks: Literal["lower", "two-sided"] = "lower",
) -> list[PowerLawFit]:
    """Fit samples from the fit itself: values not below xmin from its power law, smaller ones from the data below it.

    How many of a sample are in the tail is drawn too, with the data's share of it.
    """
    size = int(data.n_tail[0])
    start = int(data.values.searchsorted(fit.xmin))
    groups = np.repeat(np.arange(start), data.counts[:start].astype(np.intp))
    fits = []
    for _ in range(replicas):
        in_tail = int(rng.binomial(size, fit.n_tail / size))
        tail = np.sort(fit.xmin * np.exp(rng.standard_exponential(in_tail) / (fit.alpha - 1.0)))
        below = np.bincount(groups[rng.integers(groups.size, size=size - in_tail)], minlength=start)
        values = np.concatenate([data.values[:start], tail])
        fits.append(fit_power_law_to(Distinct.counted(values, np.append(below, np.ones(in_tail))), ks=ks))
    return fits
