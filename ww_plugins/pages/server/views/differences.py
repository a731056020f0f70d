"""Two stored checkpoints side by side, as ``ww diff`` compares them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import groupby
from typing import TYPE_CHECKING, Any, NoReturn

import ww_core as ww
from ww_core.command import cell
from ww_plugins.pages.server.asked import Asked, Form, address
from ww_plugins.pages.server.page import Page, Part, table
from ww_plugins.pages.tables import Cell, change_cell

if TYPE_CHECKING:
    from ww_core.domain.difference import Difference, LayerDifference


SUGGESTED = 10
"""Pairs of versions that are suggested where none was named."""


def _ask(store: ww.Store, asked: Asked) -> ww.CheckpointDifference:
    names = asked.text("first"), asked.text("other")
    for name in names:
        store.runs(name)  # raises unless it is stored: to `diff` anything else is a path, or an address
    return ww.diff(
        *names,
        store=store,
        profile=asked.text("profile") or None,
        metrics=asked.texts("metrics"),
        layers=asked.texts("layers"),
        sort=asked.text("sort") or "importance",
        registry=_refuse,
    )


def _refuse() -> NoReturn:
    """Refuse to open files and addresses for a reader: only what is stored is shown.

    Raises:
        NotStoredError: Always.
    """
    raise ww.NotStoredError("one of the two is not stored any more: /models lists what is stored")


def _shown(_: ww.Store, asked: Asked, answer: ww.CheckpointDifference) -> Mapping[str, Any]:
    listed = answer.listed()
    part = Part.of(listed, asked)
    known = {label for own in listed for label in own.difference.labels}
    labels = [label for label in answer.headline if label in known]
    return {
        "answer": answer,
        "part": part,
        "layers": table(
            "Layers of other content", ["layer", "status", *labels], (_row(answer, own, labels) for own in part.rows)
        ),
        "means": table("Means over layers", ("column", "first", "second", "change"), _means(answer)),
        "whole": table(
            "The model",
            ("column", "change"),
            ([Cell(label), _change(answer.model_metrics, label)] for label in answer.model_metrics.change),
        ),
        "counts": ", ".join(f"{count} {status}" for status, count in answer.counts.items() if count) or "none",
        "tensors": ", ".join(f"{count} {status}" for status, count in answer.tensor_counts.items() if count),
        "first_href": address("show", {"model": asked.text("first"), "profile": answer.profile}),
        "second_href": address("show", {"model": asked.text("other"), "profile": answer.profile}),
    }


def _means(answer: ww.CheckpointDifference) -> list[list[Cell]]:
    return [
        [Cell(label), Cell(own.first), Cell(own.second), change_cell(own.change, own.verdict)]
        for label, own in answer.summary.items()
        if label in answer.headline and own.first is not None and own.second is not None
    ]


def _row(answer: ww.CheckpointDifference, own: LayerDifference, labels: list[str]) -> list[Cell]:
    was = f" (was {own.first_name})" if own.first_name else ""
    given = {"model": answer.second_name, "layer": own.name, "extractor": own.extractor, "profile": answer.profile}
    href = address("spectrum", given) if own.extractor and own.status != "removed" else ""
    index = f"[{own.index}]" if own.index else ""
    return [
        Cell(f"{own.name}{index}{was}", href=href),
        Cell(own.status),
        *(_change(own.difference, label) for label in labels),
    ]


def _change(difference: Difference, label: str) -> Cell:
    """Return what a column was and is, and the change that it is sorted by; or why nothing may be subtracted."""
    sides = [_told(own.get(label)) for own in (difference.first, difference.second)]
    both = sides[0] if sides[0] == sides[1] else " → ".join(sides)
    change = difference.change.get(label)
    if change is None:
        reason = difference.not_comparable.get(label, "")
        return Cell(None, note=f"not comparable: {reason}" if reason else "", text=both)
    changed = change_cell(change, difference.verdict[label])
    return replace(changed, text=f"{both} ({changed.text})" if change else both)


def _told(value: Any) -> str:
    if value is None:
        return "-"
    if value is False:
        return "no"
    return value if isinstance(value, str) else cell(value)


def _blank(store: ww.Store) -> Mapping[str, Any]:
    """Suggest the newest version of models beside the one before it."""
    pairs = []
    for _, own in groupby(store.versions(), key=lambda own: own.model):
        *_, before, newest = [None, *(f"{version.model}@{version.version}" for version in own)]
        if before:
            pairs.append((before, newest, address("diff", {"first": before, "other": newest})))
    return {"pairs": pairs[:SUGGESTED]}


PAGE = Page(
    "Compare",
    Form("diff", "diff", ("first", "other"), ("profile", "sort"), ("metrics", "layers"), (), ("first", "other")),
    _ask,
    lambda answer: answer.to_dict(),
    _shown,
    _blank,
)
