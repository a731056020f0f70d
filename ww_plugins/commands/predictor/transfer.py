"""``ww predictor transfer``: predictors of several zoos, each on every other one."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any

import typer

from ww_core.command import Output, Session, options, say, store_location
from ww_core.command.examples import examples
from ww_plugins.commands.predictor.requests import (
    Calibration,
    Estimator,
    Features,
    Folds,
    HeldOut,
    Seed,
    Target,
    Trials,
)
from ww_plugins.commands.predictor.telling import agreement_told, begins_anew


@examples("ww predictor transfer zoo other-zoo --estimator forest")
def transfer(
    ctx: typer.Context,
    zoos: Annotated[list[str], typer.Argument(metavar="ZOO...", help="Folders, or names of zoos in the store.")],
    features: Features = "statistics",
    estimator: Estimator = "gbm",
    target: Target = "test_accuracy",
    trials: Trials = 0,
    folds: Folds = 3,
    seed: Seed = 0,
    held_out: HeldOut = 0.5,
    calibration: Calibration = 0.2,
    profile: options.Profile = "default",
    store: options.Store = None,
    as_json: options.AsJson = False,
    as_csv: options.AsCsv = False,
) -> None:
    """Fit a predictor on each of several zoos, and test it on all.

    The tests use the held-out networks of each zoo. The table has Kendall's tau, with a row for each training zoo; JSON
    and CSV have all measures.
    """
    from ww_core.command.progress import counter
    from ww_plugins.predictors.fitting import FitRequest
    from ww_plugins.predictors.transferring import transferred
    from ww_plugins.zoos.finding import find_zoo

    answer = Output(as_json=as_json, as_csv=as_csv)
    request = FitRequest(features, estimator, target, trials, folds, seed, held_out, calibration)
    request.check()
    session: Session = ctx.obj
    registry = session.registry()
    place = store_location(store)
    found = [find_zoo(own, place) for own in zoos]
    for zoo in found:
        for note in zoo.notes:
            say(f"note: {zoo.name}: {note}")
    names = [own.name for own in found]
    named = [
        replace(own, name=text) if names.count(own.name) > 1 else own for own, text in zip(found, zoos, strict=True)
    ]
    with begins_anew(), counter("predictors") as show:
        pairs = transferred(named, request, store=place, profile=profile, registry=registry, progress=show)
    rows: list[dict[str, Any]] = [
        {"fitted_on": own.fitted_on, "tested_on": own.tested_on, **agreement_told(own.agreement)} for own in pairs
    ]
    if answer.format == "json":
        answer.json(rows)
    elif answer.format == "csv":
        answer.csv(rows)
    else:
        by_zoo: dict[str, dict[str, Any]] = {}
        for row in rows:
            by_zoo.setdefault(row["fitted_on"], {"fitted on": row["fitted_on"]})[row["tested_on"]] = row["kendall_tau"]
        answer.table(list(by_zoo.values()))
