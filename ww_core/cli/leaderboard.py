"""``ww leaderboard``: which model is best by a metric."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ww_core.cli.statistics import shown_chance, shown_statistic
from ww_core.command import Output, options, store_location, warn
from ww_core.command.examples import examples

if TYPE_CHECKING:
    from ww_core.domain.leaderboard import Leaderboard, RankedModel
    from ww_core.domain.statistic import Agreement


@examples("ww leaderboard --metric alpha_weighted", "ww leaderboard --metric alpha_weighted --score top1_error")
def leaderboard(
    metric: Annotated[
        str,
        typer.Option(
            "--metric", metavar="EXPRESSION", help="A column, or arithmetic over columns.", callback=options.not_empty
        ),
    ],
    series: options.Series = None,
    score: Annotated[
        str,
        typer.Option(
            "--score",
            metavar="NAME",
            help="The reported score to compare with.  [default: the only one]",
            show_default=False,
            callback=options.not_empty,
        ),
    ] = "",
    dataset: options.Dataset = "",
    source: options.ScoreSource = "",
    better: Annotated[
        str,
        typer.Option(
            "--better",
            metavar="lower|higher",
            help="The better direction.  [default: that of the column]",
            show_default=False,
            callback=options.not_empty,
        ),
    ] = "",
    models: options.Models = None,
    without: options.WithoutModels = None,
    where: options.Where = None,
    every_version: Annotated[
        bool, typer.Option("--all-versions", help="Rank all versions, not only the newest of each model.")
    ] = False,
    layers: options.Layers = None,
    without_layers: options.WithoutLayers = None,
    leave_out: options.LeaveOutRows = "",
    min_m: options.MinM = 0,
    over: options.Over = options.MeanOver.MATRICES,
    reported: options.Reported = "",
    profile: options.OwnProfile = "",
    bootstrap: options.Bootstrap = None,
    top: Annotated[
        int,
        typer.Option(
            "--top", min=0, metavar="N", help="Only the first N of each series.  [default: all]", show_default=False
        ),
    ] = 0,
    store: options.Store = None,
    as_json: options.AsJson = False,
    as_csv: options.AsCsv = False,
    raw: options.Raw = False,
) -> None:
    """Rank models by a metric, beside their reported scores.

    Each series has its own ranking. Kendall's tau and Spearman's rho measure how well metric and score agree, both from
    best to worst: 1 is the same order, -1 the reverse. Brackets hold 95 % intervals; "by luck" is the probability that
    a random order has a tau this far from 0. No weight is read.
    """
    from ww_core.use_cases.leaderboard import leaderboard as ask

    output = Output(as_json=as_json, as_csv=as_csv, raw=raw)
    answer = ask(
        metric,
        store=store_location(store),
        score=score,
        dataset=dataset,
        source=source,
        better=better,
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
    shown = answer.first(top or None)
    if output.format == "json":
        output.json(shown.to_dict())
    elif output.format == "csv":
        output.csv(shown.rows())
    else:
        _print(answer, shown, output)
    if output.format != "json":
        for warning in answer.warnings:
            warn(f"warning: {warning}")


def _print(answer: Leaderboard, shown: Leaderboard, output: Output) -> None:
    output.line(f"{answer.metric}{_unit(answer.unit)}, {answer.better} is better, {answer.origin}")
    if answer.score is not None:
        where = f" on {answer.dataset}" if answer.dataset else ""
        score = answer.score
        output.line(
            f"{score.name}{_unit(score.unit)}{where}, {score.better} is better, from {', '.join(score.sources)}"
        )
    output.line()
    heads = _heads(answer)
    output.table(
        [_row(own, *heads) for own in shown.models],
        optional=["of", "missing"],
        if_any=["series", "version", "of", "missing", "not ranked"],
    )
    if len(shown.models) < len(answer.models):
        output.line(f"({len(answer.models) - len(shown.models)} more: leave --top out)")
    output.line()
    output.line(_counts(answer))
    if answer.by_series:
        output.line()
        rows = [_agreement(series or "(no series)", own) for series, own in answer.by_series.items()]
        for name, own in (
            ("inside series", answer.inside),
            ("between series", answer.between),
            ("all together", answer.overall),
        ):
            rows += [_agreement(name, own)] if own is not None else []
        output.table(rows, optional=["rho"])


def _counts(answer: Leaderboard) -> str:
    """Say how many models there are, and how many of them have what."""
    counts = answer.counts
    told = f"{counts.models} model{'' if counts.models == 1 else 's'}, {counts.ranked} ranked"
    if answer.score is None:
        return told
    return f"{told}, {counts.with_score} with {answer.score.name}, {counts.with_both} with both"


def _heads(answer: Leaderboard) -> tuple[str, str]:
    """Return headers of metric and score, which no other column has; that of the score is empty for none."""
    metric = f"metric {answer.metric}" if answer.metric in _OTHER_HEADS else answer.metric
    score = "" if answer.score is None else answer.score.name
    return metric, f"score {score}" if score in {metric, *_OTHER_HEADS} else score


_OTHER_HEADS = {"series", "rank", "model", "version", "of", "missing", "its rank", "not ranked"}


def _row(own: RankedModel, metric: str, score: str) -> dict[str, Any]:
    rank = "" if own.rank is None else f"{own.rank}{'=' if own.is_tied else ''}"
    row: dict[str, Any] = {"series": own.series, "rank": rank, "model": own.model, "version": own.version}
    row[metric] = own.value if math.isfinite(own.value) else None
    row |= {"of": own.present if own.present > 1 else None, "missing": own.missing or None}
    if score:
        row[score] = own.score if math.isfinite(own.score) else None
        row["its rank"] = own.score_rank
    return row | {"not ranked": own.reason}


def _agreement(name: str, own: Agreement) -> dict[str, Any]:
    return {
        "agreement": name,
        "models": own.tau.n,
        "tau": shown_statistic(own.tau),
        "by luck": shown_chance(own.chance),
        "rho": shown_statistic(own.rho),
    }


def _unit(unit: str) -> str:
    return f" ({unit})" if unit else ""
