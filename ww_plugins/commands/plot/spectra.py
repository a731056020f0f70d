"""The spectra of layers with the tails that were fitted to them, as pictures show them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import ww_core as ww
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
    """

    model: str
    version: str
    profile: str
    row: ww.MatrixRow
    spectrum: ww.Spectrum
    permuted: ww.Spectrum | None
    tail: Tail | None
    reason: str = ""

    @property
    def edge(self) -> float | None:
        """Upper edge of the Marchenko-Pastur bulk that was fitted; None where none was."""
        outcome = self.row.metrics.get("lambda_plus") or self.row.metrics.get("bulk_max")
        return None if outcome is None or outcome.number is None else float(outcome.number)

    @property
    def title(self) -> str:
        """The layer, and the number of the matrix where it is not the first one."""
        return f"{self.row.name}[{self.row.index}]" if self.row.index else self.row.name


def spectra_of_layers(
    store: ww.Store,
    models: Sequence[str],
    layers: Sequence[str] = (),
    *,
    extractor: str | None = None,
    profile: str | None = None,
) -> list[FittedSpectrum]:
    """Return the stored spectra of layers of one or several versions, a version after the other.

    Args:
        store: An open store.
        models: ``MODEL``, ``MODEL@VERSION`` or digest prefixes.
        layers: Globs of layers; empty for all that have a spectrum.
        extractor: Label of the extractor; None for the one that summaries speak of.
        profile: Name of the profile; None for the newest run's.

    Raises:
        UsageError: No model is named, or a name is empty.
        UnknownNameError: A glob matches no layer that has a spectrum.
        NotStoredError: Nothing carries a name, or no spectrum is stored.
        StoreError: The database could not be read.
    """
    if not models:
        raise ww.UsageError("name one model or more")
    found: list[FittedSpectrum] = []
    for name in models:
        report = store.report(name, profile)
        rows = [row for row in report.layers if (row.is_primary if extractor is None else row.extractor == extractor)]
        chosen = ww.choose_layers(rows, layers)
        if not chosen:
            raise ww.NotStoredError(
                f"{name}: no layer has a spectrum of extractor {extractor or 'that summaries speak of'}"
            )
        spectra = {
            layer: store.spectrum(name, layer, extractor, profile=report.run.profile)
            for layer in dict.fromkeys(row.name for row in chosen)
        }
        for row in chosen:
            own = next(matrix for matrix in spectra[row.name].matrices if matrix.index == row.index)
            tail, reason = _tail(row)
            found.append(
                FittedSpectrum(
                    report.model, report.version, report.run.profile, row, own.spectrum, own.permuted, tail, reason
                )
            )
    return found


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
