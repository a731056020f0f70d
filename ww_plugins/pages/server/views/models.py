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


def _ask(store: ww.Store, _: Asked) -> ww.Store:
    return store  # of which the JSON tells every version, and a page those of some models


def _content(store: ww.Store) -> list[dict[str, Any]]:
    return [own._asdict() for own in store.versions()]


def _shown(_: ww.Store, asked: Asked, store: ww.Store) -> Mapping[str, Any]:
    with store.reading() as reader:
        counts = reader.counted_versions()
        part = Part.of(list(counts), asked)
        versions = reader.versions(part.rows) if part.rows else []
    by_model = groupby(versions, key=lambda own: own.model)
    return {
        "part": part,
        "models": table(
            "Each model with its newest version; times in UTC", HEADS, (_row(name, [*own]) for name, own in by_model)
        ),
        "count": sum(counts.values()),
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


PAGE = Page("Models", Form("show", "models"), _ask, _content, _shown)
