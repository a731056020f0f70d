"""The matrices of a stored model with their spectra, as far as there are any, and why there are none of the others."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import ww_core as ww

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ww_core.domain.layer_spectrum import LayerSpectrum, MatrixSpectrum


MOST_NAMES = 3


class StoredMatrix(NamedTuple):
    """A matrix of a model, with what is stored of it.

    Attributes:
        row: The matrix, with its metrics.
        layer: The spectra of its layer; None where there are none.
        spectrum: Its own; None where there is none.
        reason: Why there is none.
    """

    row: ww.MatrixRow
    layer: LayerSpectrum | None
    spectrum: MatrixSpectrum | None
    reason: str


def stored_matrices(
    store: ww.Store,
    name: str,
    report: ww.AnalysisReport,
    layers: Sequence[str],
    extractor: str | None,
    seed: int | None = None,
) -> list[StoredMatrix]:
    """Return the matrices of a model that are asked for, in their order.

    Args:
        store: An open store.
        name: ``MODEL``, ``MODEL@VERSION`` or a digest prefix.
        report: What is stored of it.
        layers: Globs of layers; empty for all that were analysed.
        extractor: Label of the extractor; None for the one that summaries speak of.
        seed: Seed of permutations; None for the run's if there are any, else the newest stored one.

    Raises:
        UnknownNameError: A glob matches no layer that was analysed.
        NotStoredError: No layer was analysed by the extractor, or none of them has a spectrum.
        StoreError: The database could not be read.
    """
    rows = [row for row in report.layers if (row.is_primary if extractor is None else row.extractor == extractor)]
    chosen = ww.choose_layers(rows, layers)
    if not chosen:
        which = f"extractor {extractor}" if extractor else "the extractor behind the means"
        raise ww.NotStoredError(f"{name}: no layer has a spectrum of {which}")
    names = list(dict.fromkeys(row.name for row in chosen))
    answers = store.spectra(name, names, extractor, profile=report.run.profile, seed=seed)
    missing = {layer: own for layer, own in answers.items() if isinstance(own, ww.NotStoredError)}
    spectra = {layer: own for layer, own in answers.items() if not isinstance(own, ww.NotStoredError)}
    if not spectra:
        raise next(iter(missing.values()))
    found = []
    for row in chosen:
        layer_spectrum = spectra.get(row.name)
        matrices = () if layer_spectrum is None else layer_spectrum.matrices
        own = next((matrix for matrix in matrices if matrix.index == row.index), None)
        reason = "" if own is not None else _refusal(row) or str(missing.get(row.name, "its spectrum is not stored"))
        found.append(StoredMatrix(row, layer_spectrum, own, reason))
    return found


def names_of(matrices: Sequence[tuple[str, int]]) -> str:
    """Return the names of the first few matrices, given by layer and index, and how many more there are."""
    names = [f"{layer}[{index}]" if index else layer for layer, index in matrices]
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return ", ".join(names[:MOST_NAMES]) + more


def _refusal(row: ww.MatrixRow) -> str:
    """Return why metrics of a matrix were refused, as that its weights are NaN; empty for none or many reasons."""
    reasons = {outcome.reason for outcome in row.metrics.values() if outcome.state is ww.State.REFUSED}
    # A value that needs another one says its name before the reason.
    shortest = min(reasons, key=len, default="")
    return shortest if all(reason.endswith(shortest) for reason in reasons) else ""
