"""``ww trend``: how well metrics predict reported scores."""

from __future__ import annotations

import math
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from ww_core.cli.statistics import shown_chance, shown_statistic
from ww_core.command import Output, options, store_location, warn
from ww_core.command.examples import examples
from ww_core.domain.text import shortened
from ww_core.domain.trend import group_name

if TYPE_CHECKING:
    from ww_core.domain.trend import Trend, TrendLine


class Reading(StrEnum):
    """How a score is read."""

    REPORTED = "reported"
    ERROR = "error"
    ACCURACY = "accuracy"

    @property
    def how(self) -> Literal["reported", "error", "accuracy"]:
        """The choice in the words of the question."""
        return self.value


@examples("ww trend --metric log_norm --score top1_error --by none")
def trend(
    metric: Annotated[
        list[str],
        typer.Option(
            "--metric",
            metavar="A,B",
            help="Columns, or arithmetic over columns; repeatable, or separated by commas.",
            show_default=False,
        ),
    ],
    score: Annotated[
        str, typer.Option("--score", metavar="NAME", help="The reported score.", callback=options.not_empty)
    ],
    by: Annotated[
        list[str] | None,
        typer.Option(
            "--by", metavar="series|dataset|none", help="What defines a group; both: dataset,series.  [default: series]"
        ),
    ] = None,
    dataset: options.Dataset = "",
    source: options.ScoreSource = "",
    reading: Annotated[
        Reading, typer.Option("--as", help="Convert the score to an error or an accuracy.")
    ] = Reading.REPORTED,
    min_models: Annotated[
        int, typer.Option("--min-models", min=2, metavar="N", help="Only groups of at least this many models.")
    ] = 3,
    ddof: Annotated[int, typer.Option("--ddof", min=0, metavar="N", help="Subtracted from n in RMSE and MSE.")] = 0,
    series: options.Series = None,
    models: options.Models = None,
    without: options.WithoutModels = None,
    where: options.Where = None,
    every_version: Annotated[
        bool, typer.Option("--all-versions", help="Take all versions, not only the newest of each model.")
    ] = False,
    layers: options.Layers = None,
    without_layers: options.WithoutLayers = None,
    leave_out: options.LeaveOutRows = "",
    min_m: options.MinM = 0,
    over: options.Over = options.MeanOver.MATRICES,
    reported: options.Reported = "",
    profile: options.OwnProfile = "",
    bootstrap: options.Bootstrap = None,
    plot: options.Plot = None,
    store: options.Store = None,
    as_json: options.AsJson = False,
    as_csv: options.AsCsv = False,
    raw: options.Raw = False,
) -> None:
    """Fit a line from a metric of models to their scores.

    The line is score = slope x metric + intercept in each group of models; the table shows how well it fits. Tau is
    Kendall's tau-b of the values: it is negative if a lower metric goes with a higher score. Brackets hold 95 %
    intervals; "by luck" is the probability that a random order has a tau this far from 0. No weight is read.
    """
    from ww_core.use_cases.trend import trend as ask

    output = Output(as_json=as_json, as_csv=as_csv, raw=raw)
    if plot is not None:
        from ww_core.command.picture import check_plot

        check_plot(plot)
    answer = ask(
        metric,
        score,
        store=store_location(store),
        by=options.listed(by, "--by") or ("series",),
        dataset=dataset,
        source=source,
        reading=reading.how,
        min_models=min_models,
        ddof=ddof,
        replicates=bootstrap,
        series=options.listed(series, "--series"),
        models=options.listed(models, "--models"),
        without=options.listed(without, "--without"),
        where=where or (),
        every_version=every_version,
        layers=options.listed(layers, "--layers"),
        without_layers=options.listed(without_layers, "--without-layers"),
        leave_out=leave_out,
        min_m=min_m,
        over=over.rows,
        reported=reported,
        profile=profile,
    )
    if output.format == "json":
        output.json(answer.to_dict())
    elif output.format == "csv":
        output.csv(answer.rows())
    else:
        _print(answer, output)
    if output.format != "json":
        for warning in answer.warnings:
            warn(f"warning: {warning}")
    if plot is not None:  # last, so that a full disk does not cost the table
        from ww_core.cli.trend_plot import draw

        draw(answer, plot)


def _print(answer: Trend, output: Output) -> None:
    score = answer.score
    unit = f" ({score.unit})" if score.unit else ""
    output.line(f"{score.name}{unit} from {', '.join(score.sources)}, against values of {answer.origin}")
    output.line()
    output.table(
        [_row(own) for own in answer.lines],
        optional=["MSE", "intercept", "rho", "by luck", "slope", "RMSE"],
        if_any=["series", "dataset"],
    )
    if len({(own.series, own.dataset) for own in answer.lines}) > 1:
        output.line()
        output.table(_summary(answer), optional=["mean mse", "mean rmse", "mean r2"])
    output.line()
    counts = answer.counts
    output.line(f"{counts.models} models, {counts.with_score} with a score, {counts.in_groups} of them in a group")
    for sentence, metrics in _left_out(answer).items():
        output.line(f"{sentence}: {', '.join(metrics)}")


def _left_out(answer: Trend) -> dict[str, list[str]]:
    """Return what there is no line of and why, each with the metrics of which this is so."""
    found: dict[str, list[str]] = {}
    for metric in (own.name for own in answer.metrics):
        small = [f"{group_name(own.series, own.dataset)} ({own.n})" for own in answer.small if own.metric == metric]
        without = [f"{own.model} ({own.reason})" for own in answer.left_out if own.metric == metric]
        if small:
            found.setdefault(f"too few models in {shortened(small)}", []).append(metric)
        if without:
            found.setdefault(f"no value of {shortened(without, most=2)}", []).append(metric)
    return found


def _row(own: TrendLine) -> dict[str, Any]:
    return {
        "metric": own.metric,
        "dataset": own.dataset,
        "series": own.series,
        "models": own.n,
        "slope": shown_statistic(own.slope),
        "intercept": shown_statistic(own.intercept),
        "RMSE": shown_statistic(own.rmse),
        "MSE": own.mse.value,
        "R2": shown_statistic(own.r2),
        "tau": shown_statistic(own.tau),
        "by luck": shown_chance(own.chance),
        "rho": shown_statistic(own.rho),
    }


def _summary(answer: Trend) -> list[dict[str, Any]]:
    """Return mean and standard deviation over groups, a row for each metric."""
    rows: dict[str, dict[str, Any]] = {}
    for own in answer.summaries():
        if own.figure in {"rmse", "mse", "r2", "tau"}:
            row = rows.setdefault(own.metric, {"metric": own.metric, "groups": own.groups})
            std = f" +- {own.std:.3g}" if math.isfinite(own.std) else ""
            row[f"mean {own.figure}"] = f"{own.mean:.4g}{std}" if math.isfinite(own.mean) else ""
    return list(rows.values())
