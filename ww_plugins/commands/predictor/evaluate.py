"""``ww predictor evaluate``: how well a predictor does."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import ww_core as ww
from ww_core.command import Output, Session, options, say, store_location
from ww_core.command.examples import examples
from ww_plugins.commands.predictor.telling import agreement_told, finite, lines_of_scores, say_notes, scores_told

PredictorFile = Annotated[Path, typer.Argument(metavar="FILE", help="A predictor, as `ww predictor fit` writes it.")]
Confidence = Annotated[float, typer.Option("--confidence", metavar="SHARE", help="Confidence of the intervals.")]


@examples("ww predictor evaluate zoo.predictor", "ww predictor evaluate zoo.predictor --on other-zoo")
def evaluate(
    ctx: typer.Context,
    file: PredictorFile,
    on: Annotated[
        str | None,
        typer.Option(
            "--on",
            metavar="ZOO",
            callback=options.not_empty,
            help="Another zoo.  [default: the held-out networks]",
            show_default=False,
        ),
    ] = None,
    epoch: Annotated[
        int | None,
        typer.Option(
            "--epoch",
            min=0,
            metavar="N",
            help="With --on: epoch of the checkpoints.  [default: the last]",
            show_default=False,
        ),
    ] = None,
    confidence: Confidence = 0.9,
    plot: Annotated[
        Path | None,
        typer.Option("--plot", metavar="FILE", help="With --on, draw predictions into FILE: .png, .svg or .pdf."),
    ] = None,
    profile: options.Profile = "default",
    store: options.Store = None,
    as_json: options.AsJson = False,
    as_csv: options.AsCsv = False,
) -> None:
    """Measure how well a predictor predicts.

    Without --on the result is that of the held-out networks, computed at the fit.
    """
    from ww_core.command.picture import check_plot
    from ww_plugins.predictors.evaluating import evaluated
    from ww_plugins.predictors.file import read_predictor
    from ww_plugins.predictors.intervals import networks_needed
    from ww_plugins.zoos.finding import find_zoo

    answer = Output(as_json=as_json, as_csv=as_csv)
    networks_needed(confidence)  # it raises if that is none
    if epoch is not None and on is None:
        raise ww.UsageError(f"--epoch {epoch} needs a zoo: name it by --on")
    if plot is not None and on is None:
        raise ww.UsageError(f"--plot {plot} draws the networks of a zoo: name it by --on")
    if plot is not None:
        check_plot(plot)
    session: Session = ctx.obj
    registry = session.registry()
    predictor = read_predictor(file, registry)
    if on is None:
        if answer.format == "json":
            answer.json(scores_told(predictor))
        elif answer.format == "csv":
            answer.csv([scores_told(predictor)])
        else:
            for line in lines_of_scores(predictor):
                answer.line(line)
        return
    place = store_location(store)
    found = find_zoo(on, place)
    say_notes(found, predictor)
    told = evaluated(
        predictor, found, epoch=epoch, confidence=confidence, store=place, profile=profile, registry=registry
    )
    if told.seen:
        say(f"note: {told.seen} networks that the predictor has seen are left out")
    if plot is not None:
        from ww_plugins.commands.predictor.picture import draw

        draw(predictor, told, confidence, plot)
    row = {
        "zoo": found.name,
        "target": predictor.target,
        **agreement_told(told.agreement),
        "confidence": confidence,
        "coverage": told.coverage,
        "mean_width": finite(told.mean_width),
        "outside": told.outside,
        "seen": told.seen,
    }
    if answer.format == "json":
        answer.json(row)
        return
    if answer.format == "csv":
        answer.csv([row])
        return
    own = told.agreement
    answer.line(
        f"on {own.networks} networks of {found.name}: r2 {own.r2:.4g}, mse {own.mse:.4g}, mad {own.mad:.4g}, "
        f"kendall_tau {own.kendall_tau:.4g}"
    )
    answer.line(
        f"intervals of {100 * confidence:g}% hold for {told.coverage:.1%}, mean width {told.mean_width:.3g}; "
        f"{told.outside:.1%} are unlike the training networks"
    )
