"""Correlation traps of a stored model, from the spectra of its permuted weights."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

import ww_core as ww
from ww_plugins.metrics.randomization import PermutedBulk
from ww_plugins.metrics.scaled import in_weight2

if TYPE_CHECKING:
    import numpy.typing as npt

    from ww_core.domain.layer_spectrum import MatrixSpectrum, PermutedSpectrum

    Floats = npt.NDArray[np.float64]

METRIC = "correlation_traps"
"""The metric whose analysis stores the spectra."""


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
        level: Probability that Gaussian weights have a trap, of each matrix and permutation.
        matrices: How many matrices were looked at.
        traps: The traps, in the order of the layers, the largest of each matrix first.
        unknown: Matrices of which nothing can be said.
    """

    model: str
    version: str
    profile: str
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
    level: float = 0.01,
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
        level: Probability that Gaussian weights have a trap, of each matrix and permutation; above 0, below 1.

    Raises:
        UsageError: The level is no such probability.
        UnknownNameError: A glob matches no layer that has a spectrum.
        NotStoredError: Nothing carries the name, or no spectrum of permuted weights is stored.
        StoreError: The database could not be read.
    """
    if not 0.0 < level < 1.0:
        raise ww.UsageError(f"level {level:g}: a probability above 0 and below 1 is needed")
    report = store.report(model, profile)
    rows = [row for row in report.layers if (row.is_primary if extractor is None else row.extractor == extractor)]
    chosen = ww.choose_layers(rows, layers)
    if not chosen:
        raise ww.NotStoredError(
            f"{model}: no layer has a spectrum of extractor {extractor or 'that summaries speak of'}"
        )
    spectra = {
        layer: store.spectrum(model, layer, extractor, profile=report.run.profile)
        for layer in dict.fromkeys(row.name for row in chosen)
    }
    traps: list[Trap] = []
    unknown: list[Unknown] = []
    lacking: list[Unknown] = []
    for row in chosen:
        matrix = next(each for each in spectra[row.name].matrices if each.index == row.index)
        if not matrix.permutations:
            lacking.append(
                Unknown(row.name, row.index, _why_there_is_none(row) or "its permuted spectrum is not stored")
            )
            continue
        try:
            traps += _traps_of(matrix, row, level)
        except ww.NoValue as missing:
            unknown.append(Unknown(row.name, row.index, str(missing)))
    if len(lacking) == len(chosen):
        raise ww.NotStoredError(_none_stored(store, model, report, chosen, extractor))
    return Traps(
        model=report.model,
        version=report.version,
        profile=report.run.profile,
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


def _why_there_is_none(row: ww.MatrixRow) -> str:
    """What the metric said of a matrix whose permuted spectra are not stored; empty if it was not asked."""
    outcome = row.metrics.get("num_traps")
    return outcome.reason if outcome is not None else ""


def _none_stored(
    store: ww.Store, model: str, report: ww.AnalysisReport, rows: Sequence[ww.MatrixRow], extractor: str | None
) -> str:
    reasons = dict.fromkeys(map(_why_there_is_none, rows))
    if all(reasons):
        return f"{model}: no spectrum of permuted weights can be made: {'; '.join(reasons)}"
    others = [extractor] if extractor is not None and not any(row.is_primary for row in rows) else None
    command = ww.analysis_command(store, model, [METRIC], profile=report.run.profile, extractors=others)
    return f"{model}: no spectrum of permuted weights is stored: `{command}` makes them from the weights"
