"""Which model is best by a metric, as ``ww leaderboard`` ranks them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import ww_core as ww
from ww_plugins.pages.server.asked import Asked, Form, address
from ww_plugins.pages.server.page import Page, Part, sentence, table
from ww_plugins.pages.server.suggested import PROFILE, few_resamples, resamples, suggested_columns
from ww_plugins.pages.tables import Cell

if TYPE_CHECKING:
    from ww_core.domain.leaderboard import RankedModel
    from ww_core.domain.statistic import Agreement, Statistic

AGREEMENT_HEADS = ("of", "models", "tau", "by luck", "rho")


def _ask(store: ww.Store, asked: Asked) -> ww.Leaderboard:
    return ww.leaderboard(
        asked.text("metric"),
        store=store,
        score=asked.text("score"),
        dataset=asked.text("dataset"),
        source=asked.text("source"),
        better=asked.text("better"),
        replicates=resamples(asked),
        series=asked.texts("series"),
        models=asked.texts("models"),
        where=asked.given.get("where", ()),
        every_version=asked.is_set("all-versions"),
        profile=asked.text("profile"),
    )


def _shown(_: ww.Store, asked: Asked, answer: ww.Leaderboard) -> Mapping[str, Any]:
    part = Part.of(answer.models, asked)
    score = "" if answer.score is None else answer.score.name
    profile = (asked.text("profile") or PROFILE) if answer.origin.startswith("profile ") else ""
    agreements = [
        *((series or "(no series)", own) for series, own in answer.by_series.items()),
        *(
            (name, own)
            for name, own in (
                ("inside series", answer.inside),
                ("between series", answer.between),
                ("all together", answer.overall),
            )
            if own is not None
        ),
    ]
    heads = ["model", "version", "series", "rank", answer.metric, *([score, "its rank"] if score else []), "not ranked"]
    return {
        "answer": answer,
        "warnings": [*map(sentence, answer.warnings)],
        "part": part,
        "ranking": table(
            "Models, the best by the metric first",
            heads,
            (_row(own, profile, has_score=bool(score)) for own in part.rows),
        ),
        "agreements": table(
            "Agreement of metric and score", AGREEMENT_HEADS, (_agreement(name, own) for name, own in agreements)
        ),
    }


def _row(own: RankedModel, profile: str, *, has_score: bool) -> list[Cell]:
    name = f"{own.model}@{own.version}" if own.version else own.model
    tied = "equal to another" if own.is_tied else ""
    score = [Cell(own.score if math.isfinite(own.score) else None), Cell(own.score_rank)] if has_score else []
    return [
        Cell(own.model, href=address("history", {"model": own.model, "profile": profile}) if own.digest else ""),
        Cell(own.version, href=address("show", {"model": name, "profile": profile}) if own.digest else ""),
        Cell(own.series),
        Cell(own.rank, note=tied),
        Cell(own.value if math.isfinite(own.value) else None),
        *score,
        Cell(own.reason),
    ]


def _agreement(name: str, own: Agreement) -> list[Cell]:
    chance = own.chance if math.isfinite(own.chance) else None
    return [Cell(name), Cell(own.tau.n), statistic(own.tau), Cell(chance), statistic(own.rho)]


def statistic(own: Statistic) -> Cell:
    """Return a statistic, with its interval, or why there is none."""
    if not math.isfinite(own.value):
        return Cell(None, note=own.reason)
    if math.isfinite(own.low) and math.isfinite(own.high):
        return Cell(own.value, text=f"{own.value:.4g} [{own.low:.4g}, {own.high:.4g}]")
    return Cell(own.value, note=own.reason)


PAGE = Page(
    "Leaderboard",
    Form(
        "leaderboard",
        "leaderboard",
        (),
        ("metric", "score", "dataset", "source", "better", "profile", "bootstrap"),
        ("series", "models", "where"),
        ("all-versions",),
        ("metric",),
    ),
    _ask,
    lambda answer: answer.to_dict(),
    _shown,
    lambda store: {"columns": suggested_columns(store, "leaderboard", {})},
    few_resamples,
)
