"""The spectrum of a layer, as ``ww spectrum`` prints it, beside those of the other versions."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

import ww_core as ww
from ww_plugins.pages.charts import Tail, spectrum_chart
from ww_plugins.pages.server.asked import Asked, Form, address
from ww_plugins.pages.server.page import Cell, Page

MATRICES = 4
"""Matrices of the layer that are drawn."""

VERSIONS = 12
"""Versions of the model that are drawn, the last ones up to the one that is shown."""

HEADS = ("index", "N", "M", "singular values", "above noise", "largest", "smallest", "noise floor")


def _ask(store: ww.Store, asked: Asked) -> Any:
    model, layer = asked.text("model"), asked.text("layer")
    return store.spectrum(model, layer, asked.text("extractor") or None, profile=asked.text("profile") or None)


def _shown(store: ww.Store, asked: Asked, answer: Any) -> Mapping[str, Any]:
    name = f"{answer.model}@{answer.version}" if answer.model else answer.digest
    tails = _tails(store, answer) if answer.model else {}
    return {
        "answer": answer,
        "name": name,
        "heads": HEADS,
        "rows": [_row(own) for own in answer.matrices[:100]],
        "matrix_count": len(answer.matrices),
        "charts": [
            _chart(f"{name} {answer.layer}[{own.index}]", own, tails.get((answer.version, own.index)))
            for own in answer.matrices[:MATRICES]
        ],
        "versions": _other_versions(store, asked, answer, tails) if answer.model else [],
        "show": address("show", {"model": name}),
        "history": address("history", {"model": answer.model, "layers": answer.layer}) if answer.model else "",
    }


def _row(own: Any) -> list[Cell]:
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
