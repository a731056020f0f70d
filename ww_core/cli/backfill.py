"""``ww backfill``: what the metrics of today say of everything stored."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from ww_core.command import Output, Session, options, printable, store_location, warn
from ww_core.command.examples import examples

if TYPE_CHECKING:
    from ww_core.domain.backfill import BackfillReport, WeightsNeeded

SHOWN = 6
"""Metrics that are named of one version; beyond that they are counted."""


@examples("ww backfill", "ww backfill net --profile default")
def backfill(
    ctx: typer.Context,
    models: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="MODEL",
            help="MODEL for all its versions, MODEL@VERSION or a digest prefix.  [default: everything]",
            show_default=False,
        ),
    ] = None,
    metrics: options.Metrics = None,
    profile: Annotated[
        str | None,
        typer.Option("--profile", metavar="NAME", help="Only analyses under this profile.", callback=options.not_empty),
    ] = None,
    jobs: options.Jobs = 0,
    memory: options.Memory = None,
    store: options.Store = None,
    as_json: options.AsJson = False,
) -> None:
    """Compute new metrics from stored results, without the weights.

    Every stored analysis is repeated with the present metrics, from stored values and spectra. Metrics that need the
    weights are listed with the command that computes them.
    """
    from ww_core.command.progress import version_counter
    from ww_core.errors import LostResultsError
    from ww_core.use_cases.backfill import backfill as fill

    output = Output(as_json=as_json)
    session: Session = ctx.obj
    registry = session.registry()
    # What a plugin prints while it computes must not stand in the data.
    with version_counter() as on_version, contextlib.redirect_stdout(sys.stderr):
        report = fill(
            store_location(store),
            models=tuple(models or ()),
            metrics=options.listed(metrics, "--metrics"),
            profile=profile,
            jobs=jobs,
            memory=options.bytes_of(memory, "--memory"),
            registry=registry,
            on_version=on_version,
        )
    for warning in report.warnings:
        warn(f"warning: {warning}")
    if output.format == "json":
        output.json(report.to_dict())
    else:
        _print_sentences(report, output)
    failures = [(refill, failure) for refill in report.filled for failure in refill.failures]
    for refill, failure in failures:
        name = f"{refill.model}@{refill.version}" if refill.model else "unnamed"
        warn(f"failed: {name} {failure}")
    lost = [failure for _, failure in failures if failure.stage != "observer"]
    if lost:
        raise LostResultsError(f"{len(lost)} of the missing results failed with exceptions (above)")


def _print_sentences(report: BackfillReport, output: Output) -> None:
    versions = f"{report.versions} version{'s' if report.versions != 1 else ''}"
    if not report.versions:
        output.line("nothing is stored yet: `ww analyze SOURCE` stores a first model")
    elif report.filled:
        values = f"{report.values} value{'s' if report.values != 1 else ''}"
        output.line(f"{values} filled in, for {report.versions_filled} of {versions}")
    elif report.needs_weights or report.not_repeatable:
        output.line(f"nothing could be filled in, for {versions}")
    else:
        output.line(f"everything is up to date, for {versions}")
    for cause in report.not_repeatable:
        output.line(f"cannot be repeated, for {cause.versions} of {versions}: {cause.reason}")
    if report.needs_weights:
        output.line("the rest needs the weights:")
        for needed in report.needs_weights:
            output.text(printable(f"  {needed.command}  # {_metrics(needed)}") + "\n")  # to be copied in one piece


def _metrics(needed: WeightsNeeded) -> str:
    if len(needed.metrics) > SHOWN:
        return f"{len(needed.metrics)} metrics of up to {_layers(max(needed.metrics.values()))}"
    return ", ".join(f"{metric} ({_layers(layers)})" if layers else metric for metric, layers in needed.metrics.items())


def _layers(count: int) -> str:
    return f"{count} layer{'s' if count != 1 else ''}"
