"""Pure functions on arrays: singular values, power-law fits, statistics, permutations. Public; NumPy, SciPy to sort."""

from __future__ import annotations

from ww_core.spectral.alternatives import TailAlternatives, compare_alternatives
from ww_core.spectral.blocks import float64_blocks
from ww_core.spectral.cpu import CPU
from ww_core.spectral.marchenko_pastur import (
    MarchenkoPasturFit,
    distance_of_noise,
    fit_marchenko_pastur,
    marchenko_pastur_cdf,
    marchenko_pastur_edges,
    tracy_widom_quantile,
)
from ww_core.spectral.normal import normal_blocks
from ww_core.spectral.permutation import permutation, permuted, permuting_bytes
from ww_core.spectral.power_law import PowerLawFit, fit_power_law
from ww_core.spectral.scaling import NotFiniteError, exponents_of, unscaled, widened
from ww_core.spectral.singular_values import spectrum_of
from ww_core.spectral.statistics import Moments, moments, quantiles
from ww_core.spectral.truncated_power_law import TruncatedPowerLawFit, fit_truncated_power_law

__all__ = [
    "CPU",
    "MarchenkoPasturFit",
    "Moments",
    "NotFiniteError",
    "PowerLawFit",
    "TailAlternatives",
    "TruncatedPowerLawFit",
    "compare_alternatives",
    "distance_of_noise",
    "exponents_of",
    "fit_marchenko_pastur",
    "fit_power_law",
    "fit_truncated_power_law",
    "float64_blocks",
    "marchenko_pastur_cdf",
    "marchenko_pastur_edges",
    "moments",
    "normal_blocks",
    "permutation",
    "permuted",
    "permuting_bytes",
    "quantiles",
    "spectrum_of",
    "tracy_widom_quantile",
    "unscaled",
    "widened",
]
