"""Which series stepped from one level to another, at which version, and how sure that is."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ww_core.change_points.evidence import Evidence, segments
from ww_core.change_points.noise import measure_noise
from ww_core.change_points.observations import observe
from ww_core.change_points.piecewise import piecewise_constant
from ww_core.change_points.trend import detrend
from ww_core.errors import UsageError

if TYPE_CHECKING:
    import numpy.typing as npt

    from ww_core.change_points.evidence import Tested
    from ww_core.change_points.noise import Noise
    from ww_core.change_points.observations import Observations

    Floats = npt.NDArray[np.float64]
    Integers = npt.NDArray[np.int64]
    Flags = npt.NDArray[np.bool_]


_LAPLACE = 0.83
"""Mean absolute deviation of Laplace noise, in units of the scale of its neighbour differences."""


@dataclass(frozen=True, slots=True)
class Step:
    """A change of level that noise does not explain.

    Attributes:
        series: Index of the series.
        at: Index of the first version after the step.
        previous: Index of the last version before it that has a value.
        before: Level before; of a series that drifts, what its trend leads to at ``at``; unit of the values.
        after: Level after, at ``at`` likewise.
        change: ``after - before``; its sign is the direction.
        uncertainty: Standard error of ``change``; unit of the values.
        evidence: ``|change| / uncertainty``.
        needed: The evidence from which on a step is reported, given the noise, its tails and the number of tests.
        p_value: Chance that noise shows so much evidence in any of the tests of this call.
        tests: Number of places, over all series of the call, at which a step could have been.
        versions_before: Number of different values since the step before, or since the first version.
        versions_after: The same up to the next step, or the newest version; 1 means that no later one has confirmed it.
    """

    series: int
    at: int
    previous: int
    before: float
    after: float
    change: float
    uncertainty: float
    evidence: float
    needed: float
    p_value: float
    tests: int
    versions_before: int
    versions_after: int


def find_steps(
    values: Floats,
    errors: Floats | None = None,
    *,
    groups: npt.ArrayLike | None = None,
    false_alarms: float = 0.01,
) -> tuple[Step, ...]:
    """Find the versions at which series step from one level to another.

    All series are one family: the chance that noise alone yields any step at all is at most about ``false_alarms``, as
    docs/explanation/steps.md measures it. Candidates are the steps of an exact L1 fit with Schwarz's penalty. Each must
    then exceed what differences of neighbouring versions say of noise, wander and tails. A series that drifts smoothly
    is judged by how far it leaves its own trend; neither a drift nor a change of slope is a step. A value that differs
    for one version in the middle and returns is no step; at the newest version it cannot be told from one.

    Args:
        values: Shape (versions, series), float64. NaN and infinity mean that the series has no value there.
        errors: Standard errors of the values, same shape and unit; NaN where there is none. They stand for the scale
            of a series until differences of its group's series say otherwise. Where the differences are much smaller,
            neighbours share their error, and it counts in full.
        groups: Shape (series,), whole numbers: series of one number are of one kind and unit (a column over the layers
            of a model), and tell each other's noise. By default all are one group, of which only scales that are alike
            are used.
        false_alarms: How many steps noise may yield in the whole call, on average; above 0. With 0.01 one call of a
            hundred has a false one. More than 1 also lists what may well be chance, with its evidence.

    Returns:
        Steps by series, then by version.

    Raises:
        UsageError: Shapes do not fit, or ``false_alarms`` is not above 0.

    Reference:
        G. Schwarz, Estimating the dimension of a model, Annals of Statistics 6 (1978), for the penalty. G. K. Smyth,
        Linear models and empirical Bayes methods for assessing differential expression in microarray experiments,
        Statistical Applications in Genetics and Molecular Biology 3 (2004), for scales that series share.
    """
    return _find(values, errors, groups, false_alarms, false_alarms)[0]


def find_suspects(
    values: Floats,
    errors: Floats | None = None,
    *,
    groups: npt.ArrayLike | None = None,
    false_alarms: float = 0.01,
    false_suspects: float = 10.0,
) -> tuple[tuple[Step, ...], tuple[Step, ...]]:
    """Find steps, and what would be one if so many false ones as ``false_suspects`` were borne.

    Args:
        values: As in `find_steps`.
        errors: Likewise.
        groups: Likewise.
        false_alarms: Likewise.
        false_suspects: How many of the suspects noise may yield in the whole call, on average.

    Returns:
        The steps of `find_steps`, and the suspects: steps that are not among them, nearest to ``needed`` first. A
        change beside which no noise is known has no ``needed``, and is none.
    """
    steps, more = _find(values, errors, groups, false_alarms, max(false_alarms, false_suspects))
    sure = {(step.series, step.at) for step in steps}
    suspects = [step for step in more if (step.series, step.at) not in sure and math.isfinite(step.needed)]
    return steps, tuple(sorted(suspects, key=lambda step: -step.evidence / step.needed))


def _find(
    values: Floats, errors: Floats | None, groups: npt.ArrayLike | None, false_alarms: float, bearable: float
) -> tuple[tuple[Step, ...], tuple[Step, ...]]:
    """Steps with so few false alarms, and those with as many as are bearable."""
    values, errors, kinds = _checked(values, errors, groups, false_alarms)
    exponents = np.maximum(_exponents(values, kinds), _exponents(errors, kinds))
    with np.errstate(under="ignore", over="ignore"):  # a change may be any number of times the noise
        detrended = detrend(observe(np.ldexp(values, -exponents).T, np.ldexp(errors, -exponents).T))
        observed = detrended.observed
        tests = int(np.maximum(observed.counts - 1, 0).sum())
        if not tests:
            return (), ()
        limit = min(false_alarms / tests, 1.0)
        noise = measure_noise(detrended, kinds)
        scales = _scales(noise)
        series = np.flatnonzero(scales > 0)

        def told(bound: float) -> tuple[Step, ...]:
            kept, starts = _lasting(observed, noise, series, scales[series], bound)
            tested = Evidence(kept, series, observed, noise).test(starts, *np.nonzero(starts))
            at, previous, first = _places(tested, kept, series, observed)
            trend = detrended.trend[series[tested.row], first]
            return _told(tested, at, previous, trend, series, exponents, tests, limit)

        steps = told(limit)
        return steps, told(min(bearable / tests, 1.0)) if bearable > false_alarms else steps


def _checked(
    values: Floats, errors: Floats | None, groups: npt.ArrayLike | None, false_alarms: float
) -> tuple[Floats, Floats, Integers]:
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 2:
        raise UsageError(f"values have shape {values.shape}: (versions, series) is needed")
    errors = np.full(values.shape, np.nan) if errors is None else np.asarray(errors, dtype=np.float64)
    if errors.shape != values.shape:
        raise UsageError(f"errors have shape {errors.shape}, values {values.shape}: they must be equal")
    kinds = np.zeros(values.shape[1], dtype=np.int64) if groups is None else np.asarray(groups, dtype=np.int64)
    if kinds.shape != values.shape[1:]:
        raise UsageError(f"groups have shape {kinds.shape}: {values.shape[1:]} is needed, one number for each series")
    if not false_alarms > 0.0:
        raise UsageError(f"false_alarms is {false_alarms}: a number above 0 is needed")
    return values, errors, kinds


def _exponents(values: Floats, kinds: Integers) -> npt.NDArray[np.int32]:
    """Shape (series,): powers of 2 that bring the values of each group below 1, so that nothing overflows."""
    largest = np.where(np.isfinite(values), np.abs(values), 0.0).max(axis=0, initial=0.0)
    exponents = np.zeros(len(kinds), dtype=np.int32)
    for kind in np.unique(kinds):
        members = kinds == kind
        exponents[members] = np.frexp(largest[members].max())[1]
    return exponents


def _scales(noise: Noise) -> Floats:
    """Shape (series,): scale of a value of each series, all differences counted; unit of the values."""
    every = np.arange(len(noise.unit))
    none = np.zeros_like(every)
    return noise.without(every, none, none)[0] * noise.unit


def _lasting(
    observed: Observations, noise: Noise, series: Integers, scales: Floats, limit: float
) -> tuple[Observations, Flags]:
    """Fit levels, test the steps between them, set values aside that step up and down again at once, and fit anew.

    Args:
        observed: All observations.
        noise: Their noise.
        series: Shape (rows,): the series to look at.
        scales: Shape (rows,): the scale of a value of each, above 0.
        limit: Chance of the evidence for a step below which it is believed.

    Returns:
        The observations that are left of the given series, and at which of them a step stands.
    """
    kept = observed.rows(series)
    starts = np.zeros(kept.values.shape, dtype=np.bool_)
    todo = np.arange(len(series))
    while todo.size:
        rows = kept.rows(todo)
        # BIC: each segment more has two parameters, level and place.
        penalty = _LAPLACE * scales[todo] * np.log(np.maximum(rows.counts, 2))
        fitted = piecewise_constant(rows.values, penalty, rows.counts)
        found = _surviving(Evidence(rows, series[todo], observed, noise), fitted, limit)
        starts[todo] = found
        lone = _lone(rows, found)
        left = kept.present
        left[todo] &= ~lone
        kept = kept.only(left)
        starts = starts[:, : kept.values.shape[1]]
        todo = todo[lone.any(axis=1)]
    return kept, starts


def _lone(rows: Observations, starts: Flags) -> Flags:
    """Which observations are of one version, a segment of their own, and return.

    They pass the nearer one of their neighbours by more than half of what these differ.
    """
    lone = np.zeros(starts.shape, dtype=np.bool_)
    if starts.shape[1] < 3:
        return lone
    values = rows.values
    low, high = np.minimum(values[:, :-2], values[:, 2:]), np.maximum(values[:, :-2], values[:, 2:])
    passed = np.maximum(low - values[:, 1:-1], values[:, 1:-1] - high)
    lone[:, 1:-1] = starts[:, 1:-1] & starts[:, 2:] & (passed > (high - low) / 2.0)
    lone &= rows.first == rows.last
    return lone


def _surviving(evidence: Evidence, starts: Flags, limit: float) -> Flags:
    """Drop the least likely step of each series that fails its test, and test again, until all that are left pass.

    A dropped step joins two segments, so that the levels beside it have more values to stand on.
    """
    starts = starts.copy()
    chances = np.zeros(starts.shape)
    rows, places = np.nonzero(starts)
    while rows.size:
        chances[rows, places] = evidence.test(starts, rows, places).p
        open_rows = np.unique(rows)
        worst = chances[open_rows].argmax(axis=1)
        fails = chances[open_rows, worst] > limit
        dropped, at = open_rows[fails], worst[fails]
        starts[dropped, at] = False
        chances[dropped, at] = 0.0
        begins, ends = segments(starts[dropped], evidence.counts[dropped])
        each = np.arange(len(dropped))
        beside = np.zeros((len(dropped), starts.shape[1] + 1), dtype=np.bool_)
        beside[each, begins[each, at]] = beside[each, ends[each, at]] = True
        row, places = np.nonzero(beside[:, :-1] & starts[dropped])
        rows = dropped[row]
    return starts


def _places(
    tested: Tested, kept: Observations, series: Integers, observed: Observations
) -> tuple[Integers, Integers, Integers]:
    """The first version after each step, the last one before it, and which observation is the first after it.

    A value between two levels that was set aside, as it lay beyond the one or the other, belongs to the nearer one.
    """
    at, previous = kept.first[tested.row, tested.place], kept.last[tested.row, tested.place - 1]
    leads = np.zeros_like(at)
    for step, own in enumerate(series[tested.row]):
        count = observed.counts[own]
        first, last, values = observed.first[own, :count], observed.last[own, :count], observed.values[own, :count]
        between = np.flatnonzero((first > previous[step]) & (last < at[step]))
        nearer_after = np.abs(values[between] - tested.after[step]) < np.abs(values[between] - tested.before[step])
        leads[step] = [*between[nearer_after], np.searchsorted(first, at[step])][0]
        at[step], previous[step] = first[leads[step]], last[leads[step] - 1]
    return at, previous, leads


def _told(
    tested: Tested,
    at: Integers,
    previous: Integers,
    trend: Floats,
    series: Integers,
    exponents: npt.NDArray[np.int32],
    tests: int,
    limit: float,
) -> tuple[Step, ...]:
    """Steps in units of the values; the ``trend`` that was taken off is that of the first version after each."""
    from scipy.special import stdtrit

    own = series[tested.row]
    back = exponents[own]
    before, after = np.ldexp(tested.before + trend, back), np.ldexp(tested.after + trend, back)
    change, uncertainty = after - before, np.ldexp(tested.uncertainty, back)
    with np.errstate(divide="ignore"):  # where no noise is known the evidence is infinite
        evidence = np.abs(tested.after - tested.before) / tested.uncertainty
    columns = (
        own,
        at,
        previous,
        before,
        after,
        change,
        uncertainty,
        evidence,
        -stdtrit(tested.freedom, limit / 2.0),
        np.minimum(1.0, tested.p * tests),
        np.full(len(own), tests),
        tested.n_before,
        tested.n_after,
    )
    return tuple(Step(*entries) for entries in zip(*(column.tolist() for column in columns), strict=True))
