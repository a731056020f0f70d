"""The spectra of layers with the tails that were fitted to them, as pictures show them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import ww_core as ww
from ww_plugins.commands.matrix_spectra import stored_matrices
from ww_plugins.commands.plot.esd import Tail


@dataclass(frozen=True, slots=True, eq=False)
class FittedSpectrum:
    """The spectrum of a matrix, and its tail.

    Attributes:
        model: Name of the model; empty for weights without a name.
        version: Its version.
        profile: Name of the profile.
        row: The matrix, with its metrics.
        spectrum: Its spectrum.
        permuted: That of the matrix with its elements permuted; None where it is not stored.
        tail: The tail that was fitted; None if there is none.
        reason: Why there is none.
        edge: Upper edge of the Marchenko-Pastur bulk that was fitted; None where none was.
    """

    model: str
    version: str
    profile: str
    row: ww.MatrixRow
    spectrum: ww.Spectrum
    permuted: ww.Spectrum | None
    tail: Tail | None
    reason: str = ""
    edge: float | None = None

    @property
    def title(self) -> str:
        """The layer, and the number of the matrix where it is not the first one."""
        return f"{self.row.name}[{self.row.index}]" if self.row.index else self.row.name


class LeftOut(NamedTuple):
    """A matrix that has nothing to draw, and why."""

    layer: str
    number: int
    reason: str


class Spectra(NamedTuple):
    """Spectra that can be drawn, and the matrices that have none."""

    found: list[FittedSpectrum]
    left_out: list[LeftOut]


def spectra_of_layers(
    store: ww.Store,
    models: Sequence[str],
    layers: Sequence[str] = (),
    *,
    extractor: str | None = None,
    profile: str | None = None,
) -> Spectra:
    """Return the stored spectra of layers of one or several versions, each once, a version after the other.

    Args:
        store: An open store.
        models: ``MODEL``, ``MODEL@VERSION`` or digest prefixes.
        layers: Globs of layers; empty for all that have a spectrum.
        extractor: Label of the extractor; None for the one that summaries speak of.
        profile: Name of the profile; None for the newest run's.

    Raises:
        UsageError: No model is named, or a name is empty.
        UnknownNameError: A glob matches no layer that has a spectrum.
        NotStoredError: Nothing carries a name, no spectrum is stored, or none has an eigenvalue above its noise floor.
        StoreError: The database could not be read.
    """
    if not models:
        raise ww.UsageError("name one model or more")
    found: list[FittedSpectrum] = []
    left_out: list[LeftOut] = []
    seen: set[tuple[str, str, str]] = set()
    for name in models:
        report = store.report(name, profile)
        version = (report.digest, report.model, report.version)
        if version in seen:
            continue
        seen.add(version)
        own = fitted_spectra(store, name, report, layers, extractor)
        found += own.found
        left_out += own.left_out
    if not found:
        raise ww.NotStoredError(nothing_to_draw(left_out))
    return Spectra(found, left_out)


def nothing_to_draw(left_out: Sequence[LeftOut]) -> str:
    """Say that there is nothing to draw, with each reason once."""
    return f"there is nothing to draw: {'; '.join(dict.fromkeys(own.reason for own in left_out))}"


def fitted_spectra(
    store: ww.Store, name: str, report: ww.AnalysisReport, layers: Sequence[str] = (), extractor: str | None = None
) -> Spectra:
    """Return the stored spectra of layers of one version, of which the report is there already.

    Args:
        store: An open store.
        name: ``MODEL``, ``MODEL@VERSION`` or a digest prefix.
        report: What is stored of it.
        layers: As of `spectra_of_layers`, as is the extractor.
        extractor: Label of the extractor.

    Raises:
        UnknownNameError: A glob matches no layer that has a spectrum.
        NotStoredError: No spectrum is stored.
        StoreError: The database could not be read.
    """
    found: list[FittedSpectrum] = []
    left_out: list[LeftOut] = []
    edges = _edges(store, name, report)
    for row, _, own, reason in stored_matrices(store, name, report, layers, extractor):
        if own is None:
            left_out.append(LeftOut(row.name, row.index, reason))
        elif not own.spectrum.noise_floor < own.spectrum.singular_values[0]:
            left_out.append(LeftOut(row.name, row.index, "no eigenvalue is above its noise floor"))
        else:
            tail, why = _tail(row)
            place = (row.name, row.extractor, row.index)
            found.append(
                FittedSpectrum(
                    model=report.model,
                    version=report.version,
                    profile=report.run.profile,
                    row=row,
                    spectrum=own.spectrum,
                    permuted=own.permuted,
                    tail=tail,
                    reason=why,
                    edge=edges.get(place),
                )
            )
    return Spectra(found, left_out)


_EDGE = ("lambda_plus", "bulk_max")


def _edges(store: ww.Store, name: str, report: ww.AnalysisReport) -> dict[tuple[str, str, int], float]:
    """Return the edges of bulks by layer, extractor and index: of this analysis, else of another that has them."""
    if not any(own.name in _EDGE for own in report.columns):
        try:
            report = store.report(name, report.run.profile, variant=_EDGE[0])
        except ww.NotStoredError:
            return {}
    outcomes = {
        (row.name, row.extractor, row.index): row.metrics.get(_EDGE[0]) or row.metrics.get(_EDGE[1])
        for row in report.layers
    }
    return {place: float(own.number) for place, own in outcomes.items() if own is not None and own.number is not None}


_NEEDED = ("alpha", "xmin", "D", "sigma", "n_tail")


def _tail(row: ww.MatrixRow) -> tuple[Tail | None, str]:
    """Return the tail that was fitted to a matrix, or why there is none."""
    outcomes = {name: row.metrics.get(name) for name in _NEEDED}
    if outcomes["n_tail"] is None:  # as the peer calls it
        outcomes["n_tail"] = row.metrics.get("num_pl_spikes")
    numbers = {}
    for name, outcome in outcomes.items():
        if outcome is None:
            return None, f"no {name} is stored"
        if outcome.state is not ww.State.OK or outcome.number is None:
            return None, outcome.reason or str(outcome.state)
        numbers[name] = float(outcome.number)
    n_tail = int(numbers.pop("n_tail"))
    return Tail(**numbers, n_tail=n_tail), ""
