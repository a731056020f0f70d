"""``ww predictor compare``: feature sets and estimators on one zoo."""

from __future__ import annotations

from typing import Annotated, Any

import typer

import ww_core as ww
from ww_core.command import Output, Session, options, say, store_location
from ww_core.command.examples import examples
from ww_plugins.commands.predictor.requests import Calibration, Folds, HeldOut, Seed, Target, Trials, ZooName
from ww_plugins.commands.predictor.telling import begins_anew, finite
from ww_plugins.predictors.agreement import MEASURES

CONFIDENCE = 0.9
"""Confidence of the intervals."""


@examples("ww predictor compare zoo --features statistics --features norms")
def compare(
    ctx: typer.Context,
    zoo: ZooName,
    features: Annotated[
        list[str], typer.Option("--features", metavar="SPEC", help="Feature sets and metrics; repeatable.")
    ],
    estimators: Annotated[
        list[str] | None,
        typer.Option("--estimator", metavar="NAME", help="Estimators, with options; repeatable.  [default: gbm]"),
    ] = None,
    target: Target = "test_accuracy",
    trials: Trials = 0,
    folds: Folds = 3,
    seed: Seed = 0,
    seeds: Annotated[
        int, typer.Option("--seeds", min=1, metavar="N", help="Other splits, for deviations: seeds from --seed on.")
    ] = 1,
    held_out: HeldOut = 0.5,
    calibration: Calibration = 0.2,
    profile: options.Profile = "default",
    store: options.Store = None,
    as_json: options.AsJson = False,
    as_csv: options.AsCsv = False,
) -> None:
    """Compare feature sets and estimators on one zoo.

    All hold out the same networks and are measured on them; the deviations are over the seeds. JSON and CSV also have
    the share of 90 % intervals that hold, their mean width, and the share of networks unlike the training networks.
    """
    from ww_core.command.progress import counter
    from ww_plugins.predictors.comparing import OF_INTERVALS, compared
    from ww_plugins.predictors.fitting import FitRequest
    from ww_plugins.zoos.finding import find_zoo

    answer = Output(as_json=as_json, as_csv=as_csv)
    request = FitRequest(
        target=target, trials=trials, folds=folds, seed=seed, held_out=held_out, calibration=calibration
    )
    request.check()
    asked = estimators or ["gbm"]
    for what, texts in (("--features", features), ("--estimator", asked)):
        if "" in texts:
            raise ww.UsageError(f"{what} is empty: give one, or leave it out")
    session: Session = ctx.obj
    registry = session.registry()
    place = store_location(store)
    found = find_zoo(zoo, place)
    for note in found.notes:
        say(f"note: {note}")
    with begins_anew(), counter("predictors") as show:
        told = compared(
            found,
            features,
            asked,
            request,
            seeds=seeds,
            confidence=CONFIDENCE,
            store=place,
            profile=profile,
            registry=registry,
            progress=show,
        )
    rows: list[dict[str, Any]] = []
    for own in told:
        row: dict[str, Any] = {
            "features": own.features,
            "estimator": own.estimator,
            "count": len(own.predictors[0].names),
        }
        for measures in (MEASURES, OF_INTERVALS):
            row |= {measure: finite(own.mean(measure)) for measure in measures}
            row |= {f"{measure}_std": finite(own.deviation(measure)) for measure in measures}
        rows.append(row | {"confidence": CONFIDENCE})
    if answer.format == "json":
        answer.json(rows)
    elif answer.format == "csv":
        answer.csv(rows)
    else:
        deviations = tuple(f"{measure}_std" for measure in MEASURES)
        shown = ("features", "estimator", "count", *MEASURES, *deviations)
        answer.table([{name: row[name] for name in shown} for row in rows], if_any=deviations)
