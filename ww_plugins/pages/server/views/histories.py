"""A model over its versions, as ``ww history`` tells it, with its regressions marked."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

import ww_core as ww
from ww_plugins.pages.charts import history_chart
from ww_plugins.pages.server.asked import Asked, Form, address
from ww_plugins.pages.server.page import Page, Part, sentence, table
from ww_plugins.pages.server.suggested import PROFILE, stored_profile
from ww_plugins.pages.tables import Cell

if TYPE_CHECKING:
    from ww_core.domain.history_score import ScoreOfVersion

VALUES = 10_000
"""Values that a page reads unless its columns were named: a history of more takes long."""

CHARTS = 10
"""Columns that are drawn; the table has them all."""

MOVED = 10
"""Layers that are listed as those that moved most."""

MOVE_HEADS = ("layer", "first version", "last version", "change", "standard errors")


def _ask(store: ww.Store, asked: Asked) -> ww.History:
    return ww.history(
        asked.text("model"),
        store=store,
        metrics=asked.texts("metrics"),
        layers=asked.texts("layers"),
        leave_out=asked.text("leave-out"),
        profile=asked.text("profile") or PROFILE,
        scores=asked.texts("score"),
    )


def _completed(store: ww.Store, asked: Asked) -> Asked:
    """Choose the profile, and the columns of the headline, as many as there is room for; the first one at least."""
    asked = stored_profile(store, asked)
    if "metrics" in asked.given:
        return asked
    columns = _columns(store, asked)
    with store.reading() as reader:
        versions = reader.find_versions(asked.text("model"))
        layers = len(reader.layers(versions[-1].structure))
    most = max(1, VALUES // max(1, len(versions) * layers))
    return asked.with_value("metrics", ",".join(columns[:most])) if columns else asked


def _columns(store: ww.Store, asked: Asked) -> list[str]:
    """Return the columns of numbers that have a place in the headline, in its order; all of them where none has."""
    with store.reading() as reader:
        columns = reader.history_columns(asked.text("model"), asked.text("profile") or PROFILE)
    ordered = sorted(columns, key=lambda own: math.inf if own.headline is None else own.headline)
    headline = [own.name for own in ordered if own.type != "text" and own.headline is not None]
    return headline or [own.name for own in ordered if own.type != "text"]


def _shown(store: ww.Store, asked: Asked, history: ww.History) -> Mapping[str, Any]:
    steps = _steps(history)
    part = Part.of(range(len(history.versions)), asked)
    labels = list(history.tracks)
    first = labels[0] if labels else ""
    means = [(track.means, track.mean_changes) for track in history.tracks.values()]
    return {
        "history": history,
        "part": part,
        "versions": table(
            "Versions, in their order; of a column the mean over layers",
            ["version", "step", "regressions", *labels, *history.scores, "compared"],
            (_row(history, at, steps, means) for at in part.rows),
        ),
        "columns": [(own, asked.with_value("metrics", own).address()) for own in _columns(store, asked)],
        "charts": [*(_chart(history, label, steps) for label in labels[:CHARTS]), *_score_charts(history)],
        "first": first,
        "moves": table(
            f"Moved most in {first}",
            MOVE_HEADS,
            (_move(history, move) for move in (history.moves(first)[:MOVED] if first else [])),
        ),
        "best": history.told_best(first) if first else "",
        "regressions": address("regressions", {"model": history.model, "profile": history.profile}),
        "not_comparable": [
            sentence(f"{label} of {version}: {reason}")
            for label, track in history.tracks.items()
            for version, reason in list(track.not_comparable.items())[:1]
        ],
    }


def _steps(history: ww.History) -> Mapping[str, Sequence[ww.Regression]]:
    """Return the regressions of the columns that are shown, by version."""
    found: dict[str, list[ww.Regression]] = {}
    for step in ww.regressions_of(history).steps:
        found.setdefault(step.version, []).append(step)
    return found


def _row(
    history: ww.History, at: int, steps: Mapping[str, Sequence[ww.Regression]], means: Sequence[tuple[Any, Any]]
) -> list[Cell]:
    version = history.versions[at]
    name = f"{history.model}@{version.version}"
    own = steps.get(version.version, ())
    layers = list(dict.fromkeys(step.layer or "(summary)" for step in own))
    told = _some(layers) if layers else "" if version.is_analyzed else f"not analysed under {history.profile}"
    columns = ", ".join(dict.fromkeys(step.column for step in own))
    previous = history.versions[at - 1] if at else None
    before = f"{history.model}@{previous.version}" if previous and previous.is_analyzed and version.is_analyzed else ""
    pair = address("diff", {"first": before, "other": name, "profile": history.profile})
    return [
        Cell(
            version.version,
            href=address("show", {"model": name, "profile": history.profile}) if version.is_analyzed else "",
        ),
        Cell(version.step),
        Cell(told, note=columns, verdict="worse" if layers else ""),
        *(_mean(float(values[at]), float(changes[at])) for values, changes in means),
        *(_score(score.numbers[at]) for score in history.scores.values()),
        Cell("with the one before", href=pair) if before else Cell(""),
    ]


def _some(names: Sequence[str], most: int = 3) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _score(number: ScoreOfVersion | None) -> Cell:
    if number is None:
        return Cell(None)
    ends = "" if number.low is None or number.high is None else f"{number.low:.4g} to {number.high:.4g}"
    return Cell(number.value, note=ends)


def _mean(value: float, change: float) -> Cell:
    note = f"{change:+.4g} since the version before" if change and math.isfinite(change) else ""
    return Cell(value if math.isfinite(value) else None, note=note)


def _chart(history: ww.History, label: str, steps: Mapping[str, Sequence[ww.Regression]]) -> Any:
    track = history.tracks[label]
    places = {own.version: at for at, own in enumerate(history.versions)}
    marked = [places[version] for version, own in steps.items() if any(step.column == label for step in own)]
    names = [own.version for own in history.versions]
    title = label if track.column.scope == "model" else f"mean {label}"
    return history_chart(title, names, {title: track.means}, marked=marked, unit=track.column.unit)


def _score_charts(history: ww.History) -> list[Any]:
    names = [own.version for own in history.versions]
    return [
        history_chart(
            label,
            names,
            {label: np.array([math.nan if number is None else number.value for number in score.numbers])},
            unit=score.unit,
        )
        for label, score in list(history.scores.items())[:CHARTS]
    ]


def _move(history: ww.History, move: Any) -> list[Cell]:
    given = {"model": history.model, "layer": move.place.name, "extractor": move.place.extractor}
    spectrum = address("spectrum", given | {"profile": history.profile}) if move.place.extractor else ""
    return [
        Cell(str(move.place), href=spectrum),
        Cell(move.before),
        Cell(move.after),
        Cell(move.change),
        Cell(move.weight if move.error else None),
    ]


PAGE = Page(
    "History",
    Form("history", "history", ("model",), ("leave-out", "profile"), ("metrics", "layers", "score"), (), ("model",)),
    _ask,
    lambda history: history.to_dict(),
    _shown,
    completed=_completed,
)
