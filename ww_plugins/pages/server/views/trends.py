"""How well metrics predict reported scores, as ``ww trend`` fits lines."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

import ww_core as ww
from ww_plugins.pages.charts import trend_chart
from ww_plugins.pages.server.asked import Asked, Form
from ww_plugins.pages.server.page import Page, Part, sentence, shortened, table
from ww_plugins.pages.server.suggested import few_resamples, resamples, suggested_columns, suggested_scores
from ww_plugins.pages.server.views.leaderboards import statistic
from ww_plugins.pages.tables import Cell

if TYPE_CHECKING:
    from ww_core.domain.trend import TrendLine

MIN_MODELS = 3
"""Models that a group needs for a line unless another number is given, as the command has it."""

CHARTS = 12
"""Lines that are drawn; the table has them all."""

HEADS = ("metric", "group", "models", "slope", "intercept", "RMSE", "R2", "tau", "by luck", "rho")


def _ask(store: ww.Store, asked: Asked) -> ww.Trend:
    return ww.trend(
        asked.texts("metric"),
        asked.text("score"),
        store=store,
        by=asked.texts("by") or ("series",),
        min_models=MIN_MODELS if (least := asked.count("min-models")) is None else least,
        dataset=asked.text("dataset"),
        source=asked.text("source"),
        replicates=resamples(asked),
        series=asked.texts("series"),
        models=asked.texts("models"),
        where=asked.given.get("where", ()),
        every_version=asked.is_set("all-versions"),
        profile=asked.text("profile"),
    )


def _shown(_: ww.Store, asked: Asked, answer: ww.Trend) -> Mapping[str, Any]:
    part = Part.of(answer.lines, asked)
    return {
        "answer": answer,
        "warnings": [*map(sentence, answer.warnings)],
        "part": part,
        "lines": table("Straight lines, one for each metric and group", HEADS, (_row(line) for line in part.rows)),
        "charts": [_chart(answer, line) for line in part.rows[:CHARTS]],
        "small": shortened(
            "Groups with too few models",
            ("metric", "group", "models"),
            answer.small,
            lambda own: [Cell(own.metric), Cell(_group(own.series, own.dataset)), Cell(own.n)],
        ),
        "left_out": shortened(
            "Models without a value",
            ("metric", "model", "version", "reason"),
            answer.left_out,
            lambda own: [*map(Cell, own)],
        ),
    }


def _row(line: TrendLine) -> list[Cell]:
    chance = line.chance if math.isfinite(line.chance) else None
    return [
        Cell(line.metric),
        Cell(_group(line.series, line.dataset)),
        Cell(line.n),
        *map(statistic, (line.slope, line.intercept, line.rmse, line.r2, line.tau)),
        Cell(chance),
        statistic(line.rho),
    ]


def _group(series: str, dataset: str) -> str:
    return " on ".join(filter(None, (series, dataset))) or "all models"


def _axis(answer: ww.Trend) -> str:
    unit = answer.score.unit
    return f"{answer.score.name} ({unit})" if unit else answer.score.name


def _chart(answer: ww.Trend, line: TrendLine) -> Any:
    group = line.metric, line.series, line.dataset
    points = [own for own in answer.points if (own.metric, own.series, own.dataset) == group]
    return trend_chart(
        f"{answer.score.name} over {line.metric}, {_group(line.series, line.dataset)}",
        [f"{own.model}@{own.version}" if own.version else own.model for own in points],
        np.array([own.x for own in points]),
        np.array([own.y for own in points]),
        labels=(line.metric, _axis(answer)),
        line=(line.intercept.value, line.slope.value) if math.isfinite(line.slope.value) else None,
    )


def _blank(store: ww.Store) -> Mapping[str, Any]:
    by = {} if store.series() else {"by": "none"}  # without a series there is no group to ask for
    scores = suggested_scores(store)
    return {"scores": [(score, suggested_columns(store, "trend", {"score": score, **by})) for score in scores]}


PAGE = Page(
    "Trend",
    Form(
        "trend",
        "trend",
        (),
        ("score", "dataset", "source", "profile", "bootstrap", "min-models"),
        ("metric", "by", "series", "models", "where"),
        ("all-versions",),
        ("metric", "score"),
    ),
    _ask,
    lambda answer: answer.to_dict(),
    _shown,
    _blank,
    few_resamples,
)
