"""``ww regressions``: which version introduced which regression."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ww_core.cli.changes import told_way
from ww_core.command import Output, options, say, store_location
from ww_core.command.examples import examples

if TYPE_CHECKING:
    from ww_core.domain.regression import Regression, Regressions

FEW = 3
"""Versions of which nothing small can be said."""

NO_STEP = "no step is larger than the noise"


@examples("ww regressions net")
def regressions(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Name of the model.", callback=options.not_empty)],
    metrics: options.Columns = None,
    layers: options.Layers = None,
    leave_out: options.LeaveOut = "",
    any_direction: Annotated[
        bool, typer.Option("--any", help="Report improvements too, and changes of columns without a direction.")
    ] = False,
    false_alarms: Annotated[
        float,
        typer.Option("--false-alarms", metavar="P", help="Chance of any false alarm in this answer, between 0 and 1."),
    ] = 0.01,
    top: options.Top = 0,
    profile: options.Profile = "default",
    store: options.Store = None,
    as_json: options.AsJson = False,
    as_csv: options.AsCsv = False,
    raw: options.Raw = False,
) -> None:
    """Find the regressions of MODEL and their versions.

    It shows the layer or summary, the size and the evidence of each. A column regresses if it steps to a worse level
    and stays there, by more than its standard error and the usual difference of neighbouring versions explain. A drift
    is not a regression, and a value that returns at once is not. The largest other changes are listed as possible
    noise. No weight is read.
    """
    from ww_core.use_cases.regressions import regressions as ask

    output = Output(as_json=as_json, as_csv=as_csv, raw=raw)
    answer = ask(
        model,
        store=store_location(store),
        metrics=options.listed(metrics, "--metrics"),
        layers=options.listed(layers, "--layers"),
        leave_out=leave_out,
        any_direction=any_direction,
        false_alarms=false_alarms,
        profile=profile,
    )
    if output.format == "json":
        output.json(answer.first(top or None).to_dict())
    elif output.format == "csv":
        output.csv(answer.first(top or None).rows())
        if not answer.steps:
            say(f"no row: {NO_STEP}")
    else:
        _print(answer, top, output)


def _print(answer: Regressions, top: int, output: Output) -> None:
    every, count = answer.steps, len(answer.versions)
    output.line(f"{answer.model}  {count} version{'' if count == 1 else 's'}  profile {answer.profile}")
    output.line()
    shown = every[: top or None]
    output.table([_row(own) for own in shown], optional=["needed", "previous", "extractor"])
    if shown:
        output.line()
    for version in dict.fromkeys(own.version for own in every):
        own = [step for step in every if step.version == version]
        layers = list(dict.fromkeys(step.layer for step in own if step.layer))
        summaries = list(dict.fromkeys(step.column for step in own if not step.layer))
        parts = [f"{len(layers)} layer{'' if len(layers) == 1 else 's'} ({_some(layers)})"] if layers else []
        parts += [f"summary of {_some(summaries)}"] if summaries else []
        output.line(f"{version}: {' and '.join(parts)}")
    if len(every) > len(shown):
        output.line(f"{len(every) - len(shown)} more: leave --top out")
    counted = f"{answer.series:,} histories, {answer.tests:,} possible steps"
    if not every:
        output.line(f"{NO_STEP}: {counted}")
        if len(answer.versions) <= FEW:
            output.line(
                "with so few versions only large changes can be separated from noise: `ww diff` shows all changes"
            )
    else:
        output.line(f"checked {counted}; the chance of any false alarm is {answer.false_alarms:g}")
    for suspect in answer.suspects:
        output.line(f"may be noise: {_suspect(suspect)}")
    for label, versions in answer.not_comparable.items():
        version, reason = next(iter(versions.items()))
        more = f" and {len(versions) - 1} more" if len(versions) > 1 else ""
        output.line(f"not comparable: {label} of {version}{more}: {reason}")


def _suspect(own: Regression) -> str:
    row = _row(own)
    place = f"{row['layer']} {row['column']}"
    return f"{own.version} {place} {row['change']}, evidence {row['evidence']} of {row['needed']}"


def _row(own: Regression) -> dict[str, Any]:
    layer = f"{own.layer}[{own.index}]" if own.index else own.layer
    return {
        "version": own.version,
        "previous": own.previous,
        "layer": layer or "(summary)",
        "extractor": own.extractor,
        "column": own.column,
        "change": told_way(own.before, own.after, own.verdict),
        "evidence": f"{own.evidence:.1f}",
        "needed": f"{own.needed:.1f}",
        "confirmed": "" if own.is_confirmed else "not yet",
    }


def _some(names: list[str], most: int = 4) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
