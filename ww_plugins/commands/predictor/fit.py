"""``ww predictor fit``: learn from a zoo what its networks' weights say of their accuracy."""

from __future__ import annotations

from typing import Annotated

import typer

import ww_core as ww
from ww_core.command import Output, Session, options, say, store_location
from ww_core.command.examples import examples
from ww_plugins.commands.predictor.requests import (
    Calibration,
    Estimator,
    Features,
    Folds,
    HeldOut,
    PredictorOut,
    Seed,
    Target,
    Trials,
    ZooName,
)
from ww_plugins.commands.predictor.telling import begins_anew, lines_of_scores, scores_told


@examples(
    "ww predictor fit zoo --out zoo.predictor", "ww predictor fit zoo --estimator forest[trees=64] --out zoo.predictor"
)
def fit(
    ctx: typer.Context,
    zoo: ZooName,
    out: PredictorOut,
    features: Features = "statistics",
    estimator: Estimator = "gbm",
    target: Target = "test_accuracy",
    trials: Trials = 0,
    folds: Folds = 3,
    seed: Seed = 0,
    held_out: HeldOut = 0.5,
    calibration: Calibration = 0.2,
    families: Annotated[
        str,
        typer.Option(
            "--families",
            metavar="HYPERPARAMETER",
            callback=options.not_empty,
            help="Separate intervals for each value of this hyperparameter, as optimizer.",
        ),
    ] = "",
    profile: options.Profile = "default",
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
    store: options.Store = None,
    as_json: options.AsJson = False,
) -> None:
    """Fit a predictor on a zoo.

    Half of the networks are held out; the predictor's scores on them are printed.
    """
    from ww_core.command.progress import counter
    from ww_plugins.predictors.file import digest_of_predictor, write_predictor
    from ww_plugins.predictors.fitting import FitRequest, fit_predictor
    from ww_plugins.zoos.finding import find_zoo

    answer = Output(as_json=as_json)
    request = FitRequest(
        features=features,
        estimator=estimator,
        target=target,
        trials=trials,
        folds=folds,
        seed=seed,
        held_out=held_out,
        calibration=calibration,
        family_by=families,
    )
    request.check()
    ww.output_place(out, replace=force)
    session: Session = ctx.obj
    registry = session.registry()
    place = store_location(store)
    found = find_zoo(zoo, place)
    for note in found.notes:
        say(f"note: {note}")
    with begins_anew(), counter("fits") as show:
        predictor = fit_predictor(found, request, store=place, profile=profile, registry=registry, progress=show)
    used = len(predictor.training) + len(predictor.calibration) + len(predictor.held_out)
    if left_out := len(found.last()) - used:
        what = "network is" if left_out == 1 else "networks are"
        say(f"note: {left_out} {what} left out: without {target}, or without all features")
    for label, _ in predictor.feature_versions:
        name = label.rpartition(":")[2]
        if name == "hyperparameters" or name == label:  # a metric of the store has no plugin before its name
            say(f"note: {name} is not in the file of a network, so `ww predictor predict` cannot read files")
    size = write_predictor(predictor, out, replace=force)
    told = scores_told(predictor) | {"file": out, "bytes": size, "digest": digest_of_predictor(predictor)}
    if answer.format == "json":
        answer.json(told)
        return
    answer.line(
        f"{out}: {predictor.target} from {len(predictor.names)} features ({predictor.features}) by "
        f"{predictor.estimator.partition(':')[2]}, learned from {len(predictor.training)} networks of {predictor.zoo}"
    )
    for line in lines_of_scores(predictor):
        answer.line(line)
