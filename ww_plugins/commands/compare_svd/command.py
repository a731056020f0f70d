"""Compare slice, pool, stack and fft on convolutions."""

from __future__ import annotations

import contextlib
import math
import sys
from typing import TYPE_CHECKING, Annotated

import typer

import ww_core as ww
from ww_core.command import Output, Session, options, store_location, warn
from ww_core.command.examples import examples
from ww_core.command.picture import check_plot
from ww_core.command.progress import progress_observers
from ww_plugins.commands.compare_svd.compare import compare_svd as compare
from ww_plugins.commands.compare_svd.picture import draw

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ww_plugins.commands.compare_svd.comparison import ComparedLayer, Comparison, Tail

app = typer.Typer(add_completion=False, rich_markup_mode=None)

REFERENCE = "pool"
"""The extractor of profile ``default``, beside which the others are put."""

COLUMNS = (
    "layer",
    "shape",
    "extractor",
    "matrices",
    "count",
    "alpha",
    "sigma",
    "spectral_norm",
    "stable_rank",
    "seconds",
)


@app.command()
@examples("ww compare-svd net.safetensors", "ww compare-svd net --layers conv --json")
def compare_svd(
    ctx: typer.Context,
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="A file or folder; or a stored MODEL[@VERSION] compared before.")
    ],
    n: Annotated[int, typer.Option("--n", min=1, help="Length of the grid of the second Fourier transform.")] = 32,
    layers: options.Layers = None,
    groups: options.Groups = None,
    plot: options.Plot = None,
    name: options.Name = None,
    version: options.Version = None,
    loader: options.Loader = None,
    jobs: options.Jobs = 0,
    memory: options.Memory = None,
    device: options.Device = "cpu",
    store: options.Store = None,
    as_json: options.AsJson = False,
    as_csv: options.AsCsv = False,
    raw: options.Raw = False,
) -> None:
    """Compare slice, pool, stack and fft on convolutions.

    It takes all convolutions of MODEL, and stores the results.
    """
    output = Output(as_json=as_json, as_csv=as_csv, raw=raw)
    session: Session = ctx.obj
    registry = session.registry()
    if plot is not None:
        check_plot(plot)
    with progress_observers() as observers, contextlib.redirect_stdout(sys.stderr):
        comparison = compare(
            model,
            n=n,
            store=store_location(store),
            layers=options.listed(layers, "--layers"),
            groups=options.counts_of(groups, "--groups"),
            name=name,
            version=version,
            loader=loader,
            jobs=jobs,
            memory=options.bytes_of(memory, "--memory"),
            device=device,
            observers=observers,
            registry=registry,
        )
    for warning in comparison.warnings:
        warn(f"warning: {warning}")
    if output.format == "json":
        output.json(comparison.to_dict())
    elif output.format == "csv":
        output.csv(comparison.rows())
    else:
        _print(comparison, output)
    if plot is not None:  # last, so that a full disk does not cost the table
        draw(comparison, plot)
    for failure in comparison.failures:
        warn(f"failed: {failure}")
    if comparison.broken:
        raise ww.LostResultsError(
            f"{len(comparison.broken)} identities do not hold: these numbers are not to be trusted"
        )
    lost = [failure for failure in comparison.failures if failure.stage != "observer"]
    if lost:
        raise ww.LostResultsError(
            f"{len(lost)} of the selected results failed with exceptions (above); the rest is stored"
        )


def _print(comparison: Comparison, output: Output) -> None:
    output.line(f"{comparison.model}@{comparison.version}  {comparison.source}")
    output.line()
    rows = [{key: row.get(key) for key in (*COLUMNS, "warning", "note")} for row in comparison.rows()]
    output.table(rows, optional=("note", "shape", "warning", "matrices", "seconds"))
    _print_laws(comparison, output)
    _print_disagreements(comparison, output)


def _print_laws(comparison: Comparison, output: Output) -> None:
    laws = [(layer.name, law) for layer in comparison.layers for law in layer.laws]
    if not laws:
        return
    output.line()
    output.line("what must hold, with P positions of the kernel:")
    for statement in dict.fromkeys(law.statement for _, law in laws):
        by_layer = [(name, law) for name, law in laws if law.statement == statement]
        name, worst = max(by_layer, key=lambda pair: pair[1].deviation)
        broken = sum(not law.holds for _, law in by_layer)
        layers = f"{len(by_layer)} layer{'s' if len(by_layer) > 1 else ''}"
        verdict = f"BROKEN in {broken} of {layers}" if broken else f"holds in {layers}"
        by = f", to {worst.deviation:.1g} ({name})" if worst.deviation else ""
        output.line(f"  {statement}: {verdict}{by}")


def _print_disagreements(comparison: Comparison, output: Output) -> None:
    if all(sum(result.tail is not None for result in layer.results) < 2 for layer in comparison.layers):
        return
    layers = [layer for layer in comparison.layers if layer.disagreements]
    pairs = [pair for layer in layers for pair in layer.disagreements]
    output.line()
    if not pairs:
        output.line("alpha agrees within the joint sigma in all pairs, and so do the warnings")
        return
    apart = sum(pair.is_significant for pair in pairs)
    warned = sum(pair.first_warning != pair.second_warning for pair in pairs)
    of_all = f"{len(layers)} of {len(comparison.layers)} layers"
    output.line(
        f"alpha differs by more than the joint sigma in {apart} pairs, the warning in {warned}, in {of_all}; "
        "--json has all pairs"
    )
    output.line(f"alpha of {REFERENCE}, and how far the others are from it in joint sigmas; ! marks another warning:")
    output.table([{"layer": layer.name, **_beside_reference(layer, comparison.extractors)} for layer in layers])


def _beside_reference(layer: ComparedLayer, extractors: Sequence[str]) -> dict[str, str]:
    tails = {result.extractor: result.tail for result in layer.results}
    reference = tails.get(REFERENCE)
    cells = {REFERENCE: f"{reference.alpha:.4g}" if reference else ""}
    for extractor in extractors:
        tail = tails.get(extractor)
        if extractor != REFERENCE:
            cells[extractor] = _distance(tail, reference) if tail and reference else ""
    return cells


def _distance(tail: Tail, reference: Tail) -> str:
    joint = math.hypot(tail.sigma, reference.sigma)
    distance = f"{(tail.alpha - reference.alpha) / joint:+.1f}" if joint else ""
    return f"{distance} {'!' if tail.warning != reference.warning else ' '}"
