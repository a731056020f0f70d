"""Correlation traps of a stored model, from the spectra of its permuted weights."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

import ww_core as ww
from ww_plugins.commands.matrix_spectra import stored_matrices
from ww_plugins.metrics.randomization import PermutedBulk
from ww_plugins.metrics.scaled import in_weight2

if TYPE_CHECKING:
    import numpy.typing as npt

    from ww_core.domain.layer_spectrum import MatrixSpectrum, PermutedSpectrum
    from ww_core.domain.report import ReportColumn

    Floats = npt.NDArray[np.float64]

METRIC = "correlation_traps"
"""The metric whose analysis stores the spectra."""

COLUMN = "num_traps"
"""Its column that counts them."""

LEVEL = 0.01
"""Its level unless another was asked for."""


@dataclass(frozen=True, slots=True)
class Trap:
    """An eigenvalue of permuted weights that is above the bulk in one permutation or more.

    Attributes:
        layer: Name of the layer.
        extractor: Label of the extractor variant.
        index: Number of the matrix among those of the layer.
        rank: It is the rank-th largest eigenvalue of each permutation, from 1.
        eigenvalue: Its mean over the permutations, in weight^2; None where float64 cannot hold it.
        lambda_plus: Mean of the upper edge of the bulk; same unit.
        excess: Mean of eigenvalue / lambda_plus - 1.
        excess_se: Standard error of that mean, standard deviation (n - 1) over sqrt(n); None of one permutation.
        margin: Mean of the excess that noise reaches with the probability of the level: above it is a trap.
        above: In how many of the permutations it is above the margin.
        permutations: How many permutations there are.
        permutation: Number of that in which the excess is the largest.
        seed: Seed of the permutations.
        digest: Key of that permutation, 32 hex digits: ``ww_core.spectral.permuted(entries, bytes.fromhex(digest))``
            makes it again.
    """

    layer: str
    extractor: str
    index: int
    rank: int
    eigenvalue: float | None
    lambda_plus: float | None
    excess: float
    excess_se: float | None
    margin: float
    above: int
    permutations: int
    permutation: int
    seed: int
    digest: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """A matrix of which nothing can be said, and why."""

    layer: str
    index: int
    reason: str


@dataclass(frozen=True, slots=True)
class Traps:
    """The traps of a model.

    Attributes:
        model: Name of the model; empty for weights without a name.
        version: Its version.
        profile: Name of the profile.
        run_seed: Seed of the run that is shown.
        seeds: Seeds of the permutations that were looked at: more than one only if no one seed has them of all.
        other_seeds: Other seeds of which permutations are stored.
        level: Probability that Gaussian weights have a trap, of each matrix and permutation.
        matrices: How many matrices were looked at.
        traps: The traps, in the order of the layers, the largest of each matrix first.
        unknown: Matrices of which nothing can be said.
    """

    model: str
    version: str
    profile: str
    run_seed: int
    seeds: tuple[int, ...]
    other_seeds: tuple[int, ...]
    level: float
    matrices: int
    traps: tuple[Trap, ...]
    unknown: tuple[Unknown, ...]

    def rows(self) -> list[dict[str, Any]]:
        """Return one flat dict per trap."""
        return [dataclasses.asdict(trap) for trap in self.traps]


def correlation_traps_of(
    store: ww.Store,
    model: str,
    layers: Sequence[str] = (),
    *,
    extractor: str | None = None,
    profile: str | None = None,
    level: float | None = None,
    seed: int | None = None,
) -> Traps:
    """Return the traps of a stored model, as metric ``correlation_traps`` counts them.

    A Marchenko-Pastur law is fitted to the spectrum of each permutation that is stored. The k-th row of a matrix is
    about its k-th largest eigenvalue in each of them; there are as many rows as the permutation with most traps has.

    Args:
        store: An open store.
        model: ``MODEL``, ``MODEL@VERSION`` or a digest prefix.
        layers: Globs of layers; empty for all that have a spectrum.
        extractor: Label of the extractor; None for the one that summaries speak of.
        profile: Name of the profile; None for the newest run's.
        level: Probability that Gaussian weights have a trap, of each matrix and permutation; above 0, below 1; None for
            that of the stored metric, 0.01 where it is not stored.
        seed: Seed of the permutations; None for the run's, or the newest that is stored of a layer if the run has none.

    Raises:
        UsageError: The level is no such probability.
        UnknownNameError: A glob matches no layer that has a spectrum.
        NotStoredError: Nothing carries the name, or no spectrum of permuted weights is stored.
        StoreError: The database could not be read.
    """
    if level is not None and not 0.0 < level < 1.0:
        raise ww.UsageError(f"level {level:g}: a probability above 0 and below 1 is needed")
    report = store.report(model, profile)
    chosen = stored_matrices(store, model, report, layers, extractor, seed)
    counted = next((own for own in report.columns if own.column == COLUMN and own.scope == "matrix"), None)
    if level is None:
        level = LEVEL if counted is None else _level_of(store, counted)
    seeds: dict[int, None] = {}
    stored_seeds = dict.fromkeys(own for each in chosen if each.layer is not None for own in each.layer.stored_seeds)
    traps: list[Trap] = []
    unknown: list[Unknown] = []
    lacking: list[Unknown] = []
    for row, _, matrix, reason in chosen:
        if matrix is None:
            unknown.append(Unknown(row.name, row.index, reason))
            continue
        if not matrix.permutations:
            of_seed = "" if seed is None else f" of seed {seed}"
            why = _why_there_is_none(row, counted) or f"its permuted spectrum{of_seed} is not stored"
            lacking.append(Unknown(row.name, row.index, why))
            continue
        seeds |= dict.fromkeys(each.seed for each in matrix.permutations)
        try:
            traps += _traps_of(matrix, row, level)
        except ww.NoValue as missing:
            unknown.append(Unknown(row.name, row.index, str(missing)))
    if not seeds:
        rows = [each.row for each in chosen if each.spectrum is not None]
        why = _none_stored(store, model, report, rows, extractor, counted, seed, tuple(stored_seeds))
        raise ww.NotStoredError(why)
    return Traps(
        model=report.model,
        version=report.version,
        profile=report.run.profile,
        run_seed=next(each.layer.run_seed for each in chosen if each.layer is not None),
        seeds=tuple(seeds),
        other_seeds=tuple(own for own in stored_seeds if own not in seeds),
        level=level,
        matrices=len(chosen),
        traps=tuple(traps),
        unknown=(*unknown, *lacking),
    )


def _traps_of(matrix: MatrixSpectrum, row: ww.MatrixRow, level: float) -> list[Trap]:
    """Fit each permutation, and say what is above its bulk.

    Raises:
        NoValue: One of them has no bulk.
    """
    floor = matrix.spectrum.noise_floor
    bulks = [
        PermutedBulk.of(each.spectrum.singular_values, floor, matrix.rows, matrix.cols, level)
        for each in matrix.permutations
    ]
    return [_trap(rank, bulks, matrix.permutations, row) for rank in range(max(bulk.num_spikes for bulk in bulks))]


def _trap(
    rank: int, bulks: Sequence[PermutedBulk], permutations: Sequence[PermutedSpectrum], row: ww.MatrixRow
) -> Trap:
    # All permutations have the same sum of squares, but not the same power of two as their unit.
    unit = max(bulk.exponent for bulk in bulks)
    scales = [math.ldexp(1.0, 2 * (bulk.exponent - unit)) for bulk in bulks]
    values = np.array([bulk.eigenvalues[rank] * scale for bulk, scale in zip(bulks, scales, strict=True)])
    edges = np.array([bulk.lambda_plus * scale for bulk, scale in zip(bulks, scales, strict=True)])
    excesses: Floats = values / edges - 1.0
    farthest = permutations[int(excesses.argmax())]
    count = len(bulks)
    return Trap(
        layer=row.name,
        extractor=row.extractor,
        index=row.index,
        rank=rank + 1,
        eigenvalue=_finite(in_weight2(float(values.mean()), unit)),
        lambda_plus=_finite(in_weight2(float(edges.mean()), unit)),
        excess=float(excesses.mean()),
        excess_se=float(excesses.std(ddof=1)) / math.sqrt(count) if count > 1 else None,
        margin=sum(bulk.threshold / bulk.lambda_plus for bulk in bulks) / count - 1.0,
        above=sum(bulk.num_spikes > rank for bulk in bulks),
        permutations=count,
        permutation=farthest.number,
        seed=farthest.seed,
        digest=farthest.digest,
    )


def _finite(value: Any) -> float | None:
    return None if isinstance(value, ww.NoValue) else float(value)


def _level_of(store: ww.Store, counted: ReportColumn) -> float:
    """Return the level at which the stored metric counts."""
    chosen = f"identity = '{counted.identity}' AND column_name = '{COLUMN}'"
    rows = store.sql(f"SELECT parameters FROM v_values WHERE {chosen} LIMIT 1").rows  # noqa: S608 - quoted
    return float(json.loads(str(rows[0][0])).get("level", LEVEL)) if rows else LEVEL


def _why_there_is_none(row: ww.MatrixRow, counted: ReportColumn | None) -> str:
    """What the metric said of a matrix whose permuted spectra are not stored; empty if it was not asked."""
    outcome = None if counted is None else row.metrics.get(counted.name)
    return outcome.reason if outcome is not None else ""


def _none_stored(
    store: ww.Store,
    model: str,
    report: ww.AnalysisReport,
    rows: Sequence[ww.MatrixRow],
    extractor: str | None,
    counted: ReportColumn | None,
    seed: int | None,
    stored_seeds: Sequence[int],
) -> str:
    reasons = dict.fromkeys(_why_there_is_none(row, counted) for row in rows)
    if all(reasons) and not stored_seeds:
        return f"{model}: no spectrum of permuted weights can be made: {'; '.join(reasons)}"
    extractors = [extractor] if extractor is not None and not any(row.is_primary for row in rows) else None
    profile = report.run.profile
    command = ww.analysis_command(store, model, [METRIC], profile=profile, extractors=extractors, seed=seed)
    of_seed = "" if seed is None else f" of seed {seed}"
    others = f"; of {_seeds(stored_seeds)} there are some" if stored_seeds else ""
    return (
        f"{model}: no spectrum of permuted weights{of_seed} is stored{others}: `{command}` makes them from the weights"
    )


def _seeds(seeds: Sequence[int]) -> str:
    return f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, sorted(seeds)))}"
