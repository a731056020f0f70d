"""The 5+1 phases of training that a spectrum may be in, as far as it can be told."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

import ww_core as ww
from ww_core.spectral import MarchenkoPasturFit, distance_of_noise
from ww_plugins.metrics.scaled import Floats, ScaledSpectrum

FEWEST = 50
COLLAPSED, FULL = 0.5, 0.9
"""Shares of the eigenvalues above the floor: up to the first the rank has collapsed, from the second it is full."""
DECAYED = 1.5
"""Misfits up to this many times that of noise still are those of a bulk, if its upper part may have decayed."""
APART, FAR = 1.25, 1.5
"""Multiples of lambda_plus: a spike above the first is parted from the bulk, one below the second is near it."""
MANY = 5
"""So many spikes make a decaying edge."""
STRAIGHT = 0.1
"""A tail with a larger Kolmogorov-Smirnov distance is no power law."""


@dataclass(frozen=True)
class Phase:
    """Columns of the phase."""

    phase: str = ww.column(doc="random-like, bleeding-out, bulk-and-spikes, bulk-decay, heavy-tailed or rank-collapse")
    phase_evidence: str = ww.column(doc="Numbers behind the phase")


@ww.metric(version="1", on_request=True)
def phase(scaled_spectrum: ScaledSpectrum, *, level: float = 0.01, heavy: float = 4.0) -> Phase:
    """Which of the 5+1 phases of training the spectrum looks like; refused where it looks like none, or like two.

    The misfit is ``D_mp`` over its bound for Gaussian noise, ((2 + ln(M) / 2) / sqrt(entries) + 0.2) / M, the reach
    lambda_max / lambda_plus, the gap the smallest spike over lambda_plus; with the fits of ``marchenko_pastur`` and of
    ``power_law``. In this order:

    - rank-collapse: at most half of the eigenvalues are above the noise floor; refused up to nine tenths.
    - random-like: misfit at most 1, no spike.
    - bleeding-out: misfit at most 1, spikes, reach at most 1.5.
    - bulk-and-spikes: misfit at most 1, spikes, reach above 1.5 and gap above 1.25.
    - bulk-decay: misfit at most 1.5, five or more spikes, reach above 1.5, gap at most 1.25: no gap parts the tail from
      the bulk. Or misfit above 1.5, D of the tail at most 0.1 and alpha - sigma above 4.
    - heavy-tailed: misfit above 1.5, or no bulk at all, D at most 0.1 and alpha + sigma at most 4.

    The phases are those of C. H. Martin, M. W. Mahoney, Journal of Machine Learning Research 22 (2021), who tell them
    by eye and by the exponent of the tail; the limits are ours. Elements with tails of mu = 4, where theirs separates
    the last two, have alpha = 3 in the limit, and a larger one in matrices of the usual size. Pooled and complex
    entries are judged as ``marchenko_pastur`` does.

    Args:
        scaled_spectrum: Of the matrix, over a power of two.
        level: Probability that Gaussian noise has a spike.
        heavy: Tails with an alpha up to this one are heavy.

    Raises:
        NotApplicable: The matrix is zero, has fewer than fifty eigenvalues, or an entry has one row or column.
        Refused: The spectrum fits no phase, or is between two; the reason says what was seen. Or level is not above 0
            and below 1.
    """
    if not 0.0 < level < 1.0:
        raise ww.Refused(f"level is {level:g}: a probability is above 0 and below 1")
    eigenvalues, M = scaled_spectrum.eigenvalues, min(scaled_spectrum.n_rows, scaled_spectrum.n_cols)
    if not eigenvalues[0]:
        raise ww.NotApplicable("the matrix is zero")
    if M < 2:
        raise ww.NotApplicable("a matrix with one row or one column has no bulk")
    if eigenvalues.size < FEWEST:
        raise ww.NotApplicable(f"{eigenvalues.size} eigenvalues have no shape: a phase needs {FEWEST}")
    rank = np.count_nonzero(eigenvalues > scaled_spectrum.floor) / eigenvalues.size
    seen = f"{100.0 * rank:.3g} % of the eigenvalues are above the noise floor"
    if rank <= COLLAPSED:
        return Phase("rank-collapse", seen)
    if rank < FULL:
        raise ww.Refused(f"between rank-collapse and the other phases: {seen}")
    try:
        bulk = scaled_spectrum.bulk(level)
    except ww.Refused:
        return _by_tail(scaled_spectrum, heavy, "no bulk of noise")
    misfit = bulk.D / distance_of_noise(M, eigenvalues.size / M)
    if misfit > DECAYED:
        return _by_tail(scaled_spectrum, heavy, f"misfit {misfit:.3g}")
    return _by_bulk(eigenvalues, bulk, misfit)


def _by_bulk(eigenvalues: Floats, bulk: MarchenkoPasturFit, misfit: float) -> Phase:
    """The phase of a spectrum that has a bulk of noise, or nearly so."""
    seen, is_noise, k = f"misfit {misfit:.3g}, {bulk.num_spikes} spikes", misfit <= 1.0, bulk.num_spikes
    if not k:
        if is_noise:
            return Phase("random-like", seen)
        raise ww.Refused(f"the bulk is not that of noise, and nothing stands above it: {seen}")
    reach, gap = float(eigenvalues[0]) / bulk.lambda_plus, float(eigenvalues[k - 1]) / bulk.lambda_plus
    seen += f", reach {reach:.3g}, gap {gap:.3g}"
    if is_noise and reach <= FAR:
        return Phase("bleeding-out", seen)
    if is_noise and gap > APART:
        return Phase("bulk-and-spikes", seen)
    if k >= MANY and reach > FAR and gap <= APART:
        return Phase("bulk-decay", seen)
    raise ww.Refused(f"between bleeding-out, bulk-and-spikes and bulk-decay: {seen}")


def _by_tail(scaled_spectrum: ScaledSpectrum, heavy: float, bulk: str) -> Phase:
    """The phase of a spectrum without a bulk of noise."""
    fit = scaled_spectrum.power_law("lower")
    scaled_spectrum.refuse_narrow(fit.xmin, fit.xmax)
    seen = f"{bulk}, alpha {fit.alpha:.3g} +- {fit.sigma:.2g}, D {fit.D:.2g}, n_tail {fit.n_tail}"
    if fit.D > STRAIGHT:
        raise ww.Refused(f"neither a bulk of noise nor a power law: {seen}")
    if fit.alpha + fit.sigma <= heavy:
        return Phase("heavy-tailed", seen)
    if fit.alpha - fit.sigma > heavy:
        return Phase("bulk-decay", seen)
    raise ww.Refused(f"between heavy-tailed and bulk-decay: {seen}")
