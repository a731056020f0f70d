"""Which version introduced which regression, as ``ww regressions`` tells it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import ww_core as ww
from ww_plugins.pages.server.asked import Asked, Form, address
from ww_plugins.pages.server.page import Page, Part, shortened, table
from ww_plugins.pages.server.suggested import PROFILE, stored_profile
from ww_plugins.pages.tables import Cell

HEADS = ("version", "previous", "layer", "column", "before", "after", "change", "evidence", "needed", "confirmed")


def _ask(store: ww.Store, asked: Asked) -> ww.Regressions:
    return ww.regressions(
        asked.text("model"),
        store=store,
        metrics=asked.texts("metrics"),
        layers=asked.texts("layers"),
        leave_out=asked.text("leave-out"),
        profile=asked.text("profile") or PROFILE,
    )


def _shown(_: ww.Store, asked: Asked, answer: ww.Regressions) -> Mapping[str, Any]:
    part = Part.of(answer.steps, asked)
    return {
        "answer": answer,
        "part": part,
        "steps": table(
            "Steps to a worse level, those with the strongest evidence first",
            HEADS,
            (_row(answer, step) for step in part.rows),
        ),
        "suspects": shortened(
            "Steps that the noise of the history may explain", HEADS, answer.suspects, lambda step: _row(answer, step)
        ),
        "history": address("history", {"model": answer.model, "profile": answer.profile}),
    }


def _row(answer: ww.Regressions, step: ww.Regression) -> list[Cell]:
    name, profile = f"{answer.model}@{step.version}", answer.profile
    given = {"model": name, "layer": step.layer, "extractor": step.extractor, "profile": profile}
    before = {"first": f"{answer.model}@{step.previous}", "other": name, "profile": profile}
    layer = f"{step.layer}[{step.index}]" if step.index else step.layer
    return [
        Cell(step.version, href=address("show", {"model": name, "profile": profile})),
        Cell(step.previous, href=address("diff", before)),
        Cell(layer or "(summary)", href=address("spectrum", given) if step.extractor else ""),
        Cell(step.column),
        Cell(step.before),
        Cell(step.after),
        Cell(step.change, verdict="" if step.verdict == "none" else step.verdict, text=f"{step.change:+.4g}"),
        Cell(step.evidence if math.isfinite(step.evidence) else None),
        Cell(step.needed),
        Cell("yes" if step.is_confirmed else "not yet"),
    ]


PAGE = Page(
    "Regressions",
    Form("regressions", "regressions", ("model",), ("leave-out", "profile"), ("metrics", "layers"), (), ("model",)),
    _ask,
    lambda answer: answer.to_dict(),
    _shown,
    completed=stored_profile,
)
