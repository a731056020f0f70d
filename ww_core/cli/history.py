"""``ww history``: a model over its versions."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ww_core.cli.changes import told_change, told_way
from ww_core.command import Output, arrow, cell, options, shows, store_location
from ww_core.command.examples import examples

if TYPE_CHECKING:
    from ww_core.domain.history import History, Move
    from ww_core.domain.history_score import ScoreOfVersion, ScoreTrack

MOVED = 5
"""Layers that are shown as those that moved most."""

BLOCKS = "▁▂▃▄▅▆▇█"


@examples("ww history net", "ww history net --metrics alpha,stable_rank --json")
def history(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Name of the model.", callback=options.not_empty)],
    metrics: options.Columns = None,
    layers: options.Layers = None,
    leave_out: options.LeaveOut = "",
    scores: Annotated[
        list[str] | None,
        typer.Option(
            "--score",
            metavar="NAME",
            help="Only reported scores of this name; repeatable.  [default: all]",
            show_default=False,
            callback=options.none_empty,
        ),
    ] = None,
    plot: options.Plot = None,
    profile: options.Profile = "default",
    store: options.Store = None,
    as_json: options.AsJson = False,
    as_csv: options.AsCsv = False,
    raw: options.Raw = False,
) -> None:
    """Show columns and scores over the versions of MODEL.

    The table has means over the layers, each with its change since the version before. "Moved most" names the layer
    with the largest change of the first column, in units of its standard error if it has one. No weight is read.
    """
    from ww_core.use_cases.history import history as ask

    output = Output(as_json=as_json, as_csv=as_csv, raw=raw)
    if plot is not None:
        from ww_core.command.picture import check_plot

        check_plot(plot)
    found = ask(
        model,
        store=store_location(store),
        metrics=options.listed(metrics, "--metrics"),
        layers=options.listed(layers, "--layers"),
        leave_out=leave_out,
        profile=profile,
        scores=tuple(scores or ()),
    )
    if output.format == "json":
        output.json(found.to_dict())
    elif output.format == "csv":
        output.csv(found.rows())
    else:
        _print(found, output)
    if plot is not None:  # last, so that a full disk does not cost the table
        from ww_core.cli.history_plot import draw

        draw(found, plot)


def _print(history: History, output: Output) -> None:
    versions = len(history.versions)
    output.line(f"{history.model}  {versions} version{'' if versions == 1 else 's'}  profile {history.profile}")
    output.line()
    labels = list(history.tracks)
    scores = list(history.scores)
    output.table(_rows(history), optional=["step", *reversed(labels[1:]), *reversed(scores)], if_any=["step"])
    output.line()
    for label in labels:
        _print_mean(history, label, output)
    for score in history.scores.values():
        _print_score(score, output)
    if labels:
        _print_moves(history, labels[0], output)
        _print_best(history, labels, output)
    if history.left_out:
        names = ", ".join(str(place) for place in history.left_out[:MOVED])
        more = f" and {len(history.left_out) - MOVED} more" if len(history.left_out) > MOVED else ""
        output.line(f"left out: {len(history.left_out)} matrices: {names}{more}")
    for label, track in history.tracks.items():
        for version, reason in list(track.not_comparable.items())[:1]:
            more = f" and {len(track.not_comparable) - 1} more" if len(track.not_comparable) > 1 else ""
            output.line(f"not comparable: {label} of {version}{more}: {reason}")


def _rows(history: History) -> list[dict[str, Any]]:
    rows = []
    means = {label: (track.means, track.mean_changes, track.present) for label, track in history.tracks.items()}
    # How many values a mean is of is told where it is not the same in all versions.
    counted = {label for label, (_, _, counts) in means.items() if len({int(count) for count in counts if count}) > 1}
    for at, version in enumerate(history.versions):
        row: dict[str, Any] = {"version": version.version, "step": version.step}
        for label, (values, changes, counts) in means.items():
            row[label] = _with_change(values[at], changes[at]) if math.isfinite(values[at]) else ""
            if label in counted:
                row[f"{label} from"] = int(counts[at])
        for label, score in history.scores.items():
            row[label] = _with_interval(score.numbers[at])
        moves = history.moves(next(iter(history.tracks)), at) if history.tracks else []
        row["moved most"] = f"{moves[0].place} {told_change(moves[0].change)}" if moves else ""
        if not version.is_analyzed:
            row["moved most"] = f"not analysed under {history.profile}"
        rows.append(row)
    return rows


def _with_change(value: float, change: float) -> str:
    return f"{cell(float(value))} ({told_change(change)})" if change and math.isfinite(change) else cell(float(value))


def _with_interval(number: ScoreOfVersion | None) -> str:
    if number is None:
        return ""
    ends = "" if number.low is None or number.high is None else f" ({number.low:.4g} to {number.high:.4g})"
    return f"{cell(number.value)}{ends}"


def _print_mean(history: History, label: str, output: Output) -> None:
    track = history.tracks[label]
    if not any(map(math.isfinite, track.means.tolist())):
        output.line(f"{_mean(track.column.scope)} {label}: no version has a value")
        return
    _print_way(f"{_mean(track.column.scope)} {label}", track.means.tolist(), track.column.better, output)


def _print_score(score: ScoreTrack, output: Output) -> None:
    numbers = [math.nan if own is None else own.value for own in score.numbers]
    _print_way(str(score), numbers, score.better, output)


def _print_way(name: str, numbers: list[float], better: str, output: Output) -> None:
    """Tell how numbers went, of which one at least is finite: their line, the first and the last."""
    from ww_core.domain.difference import verdict_on

    known = [number for number in numbers if math.isfinite(number)]
    verdict = verdict_on(known[-1] - known[0], better)
    line = sparkline(numbers)
    ends = told_way(known[0], known[-1], verdict) if len(known) > 1 else f"{known[0]:.4g}"
    output.line(f"{name}: {f'{line}  ' if line else ''}{ends}")


def _mean(scope: str) -> str:
    return "model" if scope == "model" else "mean"


def _print_moves(history: History, label: str, output: Output) -> None:
    moves = history.moves(label)
    if moves:
        output.items(f"moved most in {label}", [_move(move) for move in moves[:MOVED]])


def _move(move: Move) -> str:
    errors = f", {move.weight:.1f} standard errors" if move.error else ""
    return f"{move.place} {move.before:.4g} {arrow()} {move.after:.4g} ({told_change(move.change)}{errors})"


def _print_best(history: History, labels: list[str], output: Output) -> None:
    """Read the first column as a sign to stop early, with its caveat."""
    if told := history.told_best(labels[0]):
        output.line(
            f"{told}. It speaks of the weights only: look at held-out data before you stop a training by it, or go on"
        )


def sparkline(values: list[float]) -> str:
    """Draw numbers as blocks of eight heights, a blank for none; nothing where stdout cannot show them."""
    known = [value for value in values if math.isfinite(value)]
    if len(known) < 2 or not shows(BLOCKS):
        return ""
    low, high = min(known), max(known)
    # Halved, so that no difference is beyond what a number can be.
    span = high / 2 - low / 2
    heights = [(value / 2 - low / 2) / (span or 1.0) for value in values]
    return "".join(BLOCKS[round(height * 7)] if math.isfinite(height) else " " for height in heights)
