"""``ww zoo analyze``: spectra and metrics of a zoo's networks."""

from __future__ import annotations

import contextlib
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import ww_core as ww
from ww_core.command import Output, Session, options, say, store_location, warn
from ww_core.command.examples import examples
from ww_plugins.commands.zoo.import_zoo import Epochs, EpochsOption
from ww_plugins.commands.zoo.show import ZooName

if TYPE_CHECKING:
    from ww_plugins.zoos.analyzing import Analyses

SHOWN = 8
"""Failures that are told one by one."""


@examples("ww zoo analyze zoo --metrics alpha,stable_rank")
def analyze(
    ctx: typer.Context,
    zoo: ZooName,
    networks: Annotated[
        str | None,
        typer.Option(
            "--networks",
            metavar="A:B",
            help="Only networks with numbers from A to below B: 0:100, 500:, :20, or one number.  [default: all]",
            show_default=False,
            callback=options.not_empty,
        ),
    ] = None,
    epochs: EpochsOption = Epochs.LAST,
    profile: options.Profile = "default",
    metrics: options.Metrics = None,
    jobs: options.Jobs = 0,
    store: options.Store = None,
    as_json: options.AsJson = False,
) -> None:
    """Analyse the networks of a zoo like any model.

    Their names are like NAME/00042; the epoch is the version.

    Stored results are not computed again: the same command continues an interrupted one.
    """
    from ww_core.command.progress import counter
    from ww_plugins.zoos.analyzing import Asked, analyze_zoo
    from ww_plugins.zoos.finding import find_zoo, zoo_folder
    from ww_plugins.zoos.importing import about_zoo

    output = Output(as_json=as_json)
    session: Session = ctx.obj
    wanted = _range(networks)
    place = store_location(store)
    folder = zoo_folder(zoo, place)
    if not isinstance(folder, Path):
        raise ww.SourceError(f"zoo {folder.name}: its weights are not on this machine: name the folder that has them")
    whole = find_zoo(zoo, place)
    chosen = whole if wanted is None else whole.chosen((whole.networks >= wanted[0]) & (whole.networks < wanted[1]))
    if not len(chosen):
        raise ww.UsageError(f"--networks {networks}: zoo {whole.name} has no network with this number")
    asked = Asked(
        folder=str(folder.resolve()),
        name=whole.name,
        store=str(place),
        profile=profile,
        metrics=options.listed(metrics, "--metrics"),
        plugin_files=session.plugin_files,
    )
    with counter("networks") as show, contextlib.redirect_stdout(sys.stderr):
        analyses = analyze_zoo(
            chosen.last() if epochs is Epochs.LAST else chosen,
            asked,
            about_zoo(folder),
            jobs=jobs,
            registry=session.registry(),
            progress=show,
        )
    for note in analyses.notes:
        say(f"note: {note}")
    _report(analyses, output)


def _report(analyses: Analyses, output: Output) -> None:
    if output.format == "json":
        output.json(analyses.to_dict())
    else:
        corrected = f", {analyses.corrected:,} corrected" if analyses.corrected else ""
        what = "checkpoint" if analyses.analyzed == 1 else "checkpoints"
        output.line(
            f"{analyses.name}: {analyses.analyzed:,} {what} analysed, {analyses.stored:,} were analysed before, "
            f"{analyses.scores:,} scores added{corrected}"
        )
    for failure in analyses.failures[:SHOWN]:
        warn(f"failed: {failure}")
    if analyses.failures:
        raise ww.LostResultsError(
            f"{len(analyses.failures)} of the selected results failed with exceptions (above); the rest is stored"
        )


def _range(text: str | None) -> tuple[int, int] | None:
    """Read ``A:B``, ``A:``, ``:B`` or a number.

    Raises:
        UsageError: It is none of these.
    """
    if text is None:
        return None
    found = re.fullmatch(r"(\d{0,15})(?::(\d{0,15}))?", text, re.ASCII)
    if found is None or text == ":":
        raise ww.UsageError(f"--networks {text!r}: give numbers as 0:100, 500:, :20, or one number")
    low = int(found[1] or 0)
    return low, (low + 1 if found[2] is None else int(found[2] or 2**62))
