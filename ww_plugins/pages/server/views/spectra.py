"""The spectrum of a layer, as ``ww spectrum`` prints it, and how it went over the versions of its model."""

from __future__ import annotations

import glob
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import ww_core as ww
from ww_plugins.commands.plot.spectra import FittedSpectrum, spectra_of_layers
from ww_plugins.pages.fitted import fitted_chart
from ww_plugins.pages.server.asked import Asked, Form, address
from ww_plugins.pages.server.page import Page, Part, shortened
from ww_plugins.pages.tables import Cell

if TYPE_CHECKING:
    from ww_core.domain.layer_spectrum import LayerSpectrum, MatrixSpectrum

MATRICES = 4
"""Matrices of the layer that are drawn."""

VERSIONS = 6
"""Versions whose spectra a page draws beside that of the one that was asked for."""

HEADS = ("index", "N", "M", "singular values", "above noise", "largest", "smallest", "noise floor")


def _ask(store: ww.Store, asked: Asked) -> LayerSpectrum:
    model, layer = asked.text("model"), asked.text("layer")
    return store.spectrum(model, layer, asked.text("extractor") or None, profile=asked.text("profile") or None)


def _shown(store: ww.Store, asked: Asked, answer: LayerSpectrum) -> Mapping[str, Any]:
    name = f"{answer.model}@{answer.version}" if answer.model else answer.digest
    others = _other_versions(store, answer)
    part = Part.of(others, asked, VERSIONS)
    fitted = _fitted(store, name, answer)
    drawn = {answer.version: fitted}
    return {
        "answer": answer,
        "name": name,
        "matrices": shortened("Matrices of the layer", HEADS, answer.matrices, _row),
        "charts": [fitted_chart(own) for own in fitted[:MATRICES]],
        "part": part,
        "versions": [_of_version(store, answer, version, drawn) for version in part.rows],
        "whole": address("history", {"model": answer.model, "profile": answer.profile}),
        "show": address("show", {"model": name, "profile": answer.profile}),
        "history": address(
            "history", {"model": answer.model, "layers": glob.escape(answer.layer), "profile": answer.profile}
        ),
    }


def _row(own: MatrixSpectrum) -> list[Cell]:
    values = own.spectrum.singular_values
    return [
        Cell(own.index),
        Cell(max(own.rows, own.cols)),
        Cell(min(own.rows, own.cols)),
        Cell(int(values.size)),
        Cell(int((values > own.spectrum.noise_floor).sum())),
        Cell(float(values[0])),
        Cell(float(values[-1])),
        Cell(float(own.spectrum.noise_floor)),
    ]


def _fitted(store: ww.Store, name: str, answer: LayerSpectrum) -> list[FittedSpectrum]:
    """Return the spectra of the layer in one version, with their tails; none where there is nothing to draw."""
    layer = glob.escape(answer.layer)
    try:
        return spectra_of_layers(store, [name], [layer], extractor=answer.extractor, profile=answer.profile).found
    except (ww.NotStoredError, ww.UnknownNameError):
        return []


def _other_versions(store: ww.Store, answer: LayerSpectrum) -> Sequence[str]:
    """Return the labels of the versions that have such a layer, the newest first."""
    if not answer.model:
        return ()
    with store.reading() as reader:
        contents = reader.layer_contents(answer.model, answer.layer)
    return [own.version for own in reversed(contents) if own.content is not None]


def _of_version(
    store: ww.Store,
    answer: LayerSpectrum,
    version: str,
    drawn: Mapping[str, Sequence[FittedSpectrum]],
) -> tuple[str, str, Any]:
    """Return the label of a version, where its spectrum leads, and its chart; that is empty where there is none."""
    name = f"{answer.model}@{version}"
    fitted = drawn[version] if version in drawn else _fitted(store, name, answer)
    profile = answer.profile if fitted else ""  # a version without a spectrum may have another profile only
    given = {"model": name, "layer": answer.layer, "extractor": answer.extractor, "profile": profile}
    chart = fitted_chart(fitted[0], f"{answer.layer} of {version}") if fitted else ""
    return version, address("spectrum", given), chart


PAGE = Page(
    "Spectrum",
    Form("spectrum", "spectrum", ("model", "layer"), ("extractor", "profile"), required=("model", "layer")),
    _ask,
    lambda answer: answer.to_dict(),
    _shown,
)
