"""Largest likelihood of power laws with an exponential cut-off, of many tails at once, in units of their xmin."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ww_core.spectral.quadrature import gauss_legendre

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

DEPTH = 46.0  # what is below exp(-46) = 1e-20 of the largest counts for nothing in an integral
KNEES = (12.0, 4.0)  # panels of the integral end so far before its end, in ln x
STEPS = 200  # of Newton's method; rarely more than 20 are made
NARROW = 1e-8  # tails with a mean of x / xmin - 1 below this tell no curvature: rounding has taken it
NEGLIGIBLE = 1e-14  # cut-offs with rate * mean(x - 1) below this change no digit of a likelihood: they are none
CHUNK = 256  # tails that are integrated at once: their nodes stay in the cache


def largest_likelihood(logs: Floats, excesses: Floats, min_alpha: float) -> tuple[Floats, Floats, Floats]:
    """The alpha, Lambda * xmin and loss of largest likelihood, of tails by their means."""
    # Without a cut-off: its derivative by Lambda is mean(x) - E(x), and E(x) is infinite up to alpha = 2.
    alphas, rates = 1.0 + 1.0 / logs, np.zeros_like(logs)
    losses = alphas * logs + np.log(logs)
    with np.errstate(divide="ignore", invalid="ignore"):
        expected = np.where(alphas > 2.0, 1.0 / (alphas - 2.0), math.inf)
    cut_off = (excesses < expected).nonzero()[0]
    if cut_off.size:
        logs, excesses = logs[cut_off], excesses[cut_off]
        # The best at the bound of alpha, from a rate that is too large; then, where more alpha is better, the best.
        at_bound = np.full_like(logs, min_alpha)
        found = _newton(at_bound, 1.0 / excesses, logs, excesses, min_alpha, pinned=True)
        better = ((logs < found.mean_log) & (excesses > NARROW)).nonzero()[0]
        alphas[cut_off], rates[cut_off], losses[cut_off] = found.alphas, found.rates, found.losses
        if better.size:
            inside = cut_off[better]
            found = _newton(
                found.alphas[better], found.rates[better], logs[better], excesses[better], min_alpha, pinned=False
            )
            # Just below alpha = 2 without a cut-off, the best cut-off may lie many orders of magnitude beyond the data.
            is_none = found.rates * excesses[better] < NEGLIGIBLE
            alphas[inside] = np.where(is_none, 1.0 + 1.0 / logs[better], found.alphas)
            rates[inside] = np.where(is_none, 0.0, found.rates)
            losses[inside] = np.where(is_none, alphas[inside] * logs[better] + np.log(logs[better]), found.losses)
    return alphas, rates, losses


class _Point(NamedTuple):
    """Tails at some parameters: the loss, and moments of the fitted distribution."""

    alphas: Floats
    rates: Floats
    losses: Floats
    mean_log: Floats
    slopes: Floats  # derivatives of the loss by ln(rate), and by alpha at a given weighted mean of rate * (x - 1)
    slopes_across: Floats
    variances: Floats
    variances_across: Floats
    shares: Floats  # how much of alpha goes into ln(rate)


def _newton(alphas: Floats, rates: Floats, logs: Floats, excesses: Floats, min_alpha: float, *, pinned: bool) -> _Point:
    """Minimise the loss alpha * mean(ln x) + rate * mean(x - 1) + ln Z by rate, and by alpha unless it is pinned.

    Damped: a step stays nine tenths of the way off the bounds, and is quartered until the loss falls.
    """
    result = _Point(*np.empty((9, alphas.size)))
    indices = np.arange(alphas.size)
    point, steps = _at(alphas, rates, logs, excesses), np.ones(alphas.size)
    for _ in range(STEPS):
        upward = 0.0 if pinned else -point.slopes_across / point.variances_across
        along = -point.slopes / point.variances - point.shares * upward
        decrement = point.slopes**2 / point.variances
        if not pinned:
            decrement += point.slopes_across**2 / point.variances_across
        with np.errstate(divide="ignore", invalid="ignore"):
            allowed = np.where(along < 0.0, -0.9 / along, math.inf)
            if not pinned:
                allowed = np.minimum(
                    allowed, np.where(upward < 0.0, -0.9 * (point.alphas - min_alpha) / upward, math.inf)
                )
        lengths = np.minimum(steps, allowed)
        # A step so short that the loss cannot tell is the last one, and so is one that would need too many quarters.
        last = (decrement < 1e-13) | (steps < 1e-6) | (point.rates * excesses < NEGLIGIBLE)
        lengths = np.where(decrement < 1e-26, 0.0, lengths)
        tried = _at(point.alphas + lengths * upward, point.rates * (1.0 + lengths * along), logs, excesses)
        falls = tried.losses <= point.losses - 1e-4 * lengths * decrement
        taken = falls | (last & (tried.losses <= point.losses + 1e-13))
        point = _Point(*(np.where(taken, new, old) for new, old in zip(tried, point, strict=True)))
        steps = np.where(falls, 1.0, 0.25 * lengths)
        for target, values in zip(result, point, strict=True):
            target[indices] = values
        go_on = (~last).nonzero()[0]
        if not go_on.size:
            break
        indices, steps, logs, excesses = indices[go_on], steps[go_on], logs[go_on], excesses[go_on]
        point = _Point(*(values[go_on] for values in point))
    return result


def _at(alphas: Floats, rates: Floats, logs: Floats, excesses: Floats) -> _Point:
    nodes, weights = integral_nodes(alphas, rates)
    growth = np.expm1(nodes)
    growth *= rates[:, None]  # rate * (x - 1): bounded, whatever the rate
    exponents = (1.0 - alphas)[:, None] * nodes
    exponents -= growth
    highest = exponents.max(axis=1)
    exponents -= highest[:, None]
    weights *= np.exp(exponents, out=exponents)
    total = weights.sum(axis=1)
    weights /= total[:, None]
    mean_growth = np.einsum("ij,ij->i", weights, growth)
    mean_log = np.einsum("ij,ij->i", weights, nodes)
    growth -= mean_growth[:, None]
    variances = np.einsum("ij,ij,ij->i", weights, growth, growth)
    shares = np.einsum("ij,ij,ij->i", weights, growth, nodes) / variances
    # ln x and x are nearly one and the same in a narrow tail: what is left of ln x says what alpha is.
    across = nodes - mean_log[:, None]
    growth *= shares[:, None]
    across -= growth
    slopes = rates * excesses - mean_growth
    return _Point(
        alphas=alphas,
        rates=rates,
        losses=alphas * logs + rates * excesses + np.log(total) + highest,
        mean_log=mean_log,
        slopes=slopes,
        slopes_across=(logs - mean_log) - shares * slopes,
        variances=variances,
        variances_across=np.einsum("ij,ij,ij->i", weights, across, across),
        shares=shares,
    )


def integral_nodes(alphas: Floats, rates: Floats) -> tuple[Floats, Floats]:
    """Nodes and weights in v = ln x of integrals of exp((1 - alpha) v - rate * expm1(v)) from 0 on, a row a tail.

    They reach far enough for the mean and the variance of x too. There are up to four panels of 32 nodes, without those
    that are empty in all rows: the fall of the power law, where that is steep; what is left of it; and two that hold
    the fall of the exponential, which is steep in v. The logarithm of the integral is within 3e-14 of the exact one for
    rates from 1e-25 to 1e6 and alpha from -2 to 30.
    """
    ends = np.log1p(DEPTH / rates)
    ends = np.log1p((DEPTH + np.maximum(1.0 - alphas, 0.0) * ends) / rates)
    with np.errstate(divide="ignore"):
        last = np.minimum(ends, np.where(alphas > 3.0, DEPTH / (alphas - 3.0), math.inf))
        fall = np.where(alphas > 1.0, DEPTH / (alphas - 1.0), math.inf)
    first_knee, second_knee = (np.clip(ends - knee, 0.0, last) for knee in KNEES)
    edges = np.stack([np.zeros_like(ends), np.minimum(fall, first_knee), first_knee, second_knee, last])
    widths = np.diff(edges, axis=0)
    used = np.flatnonzero(widths.max(axis=1))
    places, weights = gauss_legendre(32)
    widths = widths[used].T[:, :, np.newaxis]
    nodes = edges[used].T[:, :, np.newaxis] + widths * places
    shape = (alphas.size, used.size * places.size)
    return nodes.reshape(shape), (widths * weights).reshape(shape)


def log_integrals_from_1(alphas: Floats, rates: Floats) -> Floats:
    """Logarithm of the integral of x**-alpha * exp(-rate * (x - 1)) over x >= 1."""
    found = np.empty(alphas.size)
    for low in range(0, alphas.size, CHUNK):
        part = slice(low, low + CHUNK)
        nodes, weights = integral_nodes(alphas[part], rates[part])
        exponents = (1.0 - alphas[part])[:, None] * nodes - rates[part][:, None] * np.expm1(nodes)
        highest = exponents.max(axis=1)
        found[part] = np.log((weights * np.exp(exponents - highest[:, None])).sum(axis=1)) + highest
    return found
