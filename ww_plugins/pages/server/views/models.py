"""The models of a store, as ``ww show`` lists their versions."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any

import ww_core as ww
from ww_plugins.pages.server.asked import Asked, Form, address
from ww_plugins.pages.server.page import Page, Part, table
from ww_plugins.pages.tables import Cell, time_cell

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ww_core.store.records import StoredVersion

HEADS = ("model", "versions", "newest", "since", "parameters", "format", "series", "regressions")


def _ask(store: ww.Store, _: Asked) -> Sequence[StoredVersion]:
    return store.versions()


def _shown(_: ww.Store, asked: Asked, answer: Sequence[StoredVersion]) -> Mapping[str, Any]:
    by_model = [(name, [*own]) for name, own in groupby(answer, key=lambda own: own.model)]
    part = Part.of(by_model, asked)
    return {
        "part": part,
        "models": table(
            "Each model with its newest version; times in UTC", HEADS, (_row(name, own) for name, own in part.rows)
        ),
        "count": len(answer),
    }


def _row(name: str, versions: Sequence[StoredVersion]) -> list[Cell]:
    newest = versions[-1]
    return [
        Cell(name, href=address("history", {"model": name})),
        Cell(len(versions)),
        Cell(newest.version, href=address("show", {"model": f"{name}@{newest.version}"})),
        time_cell(newest.created_at),
        Cell(newest.parameters, text=f"{newest.parameters:,}"),
        Cell(newest.format),
        Cell(", ".join(newest.series)),
        Cell("find regressions", href=address("regressions", {"model": name})) if len(versions) > 1 else Cell(""),
    ]


PAGE = Page("Models", Form("show", "models"), _ask, lambda answer: [own._asdict() for own in answer], _shown)
