"""``ww compare-svd``: the ways to see a convolution as matrices, side by side."""

from __future__ import annotations

import contextlib
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ww_core.command import Output, Session, options, say, store_location

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ww_core.domain.comparison import ComparedLayer, Comparison, Tail

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


def compare_svd(
    ctx: typer.Context,
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="A file or folder; or a stored MODEL[@VERSION] compared before.")
    ],
    n: Annotated[int, typer.Option("--n", min=1, help="Length of the grid of the second Fourier transform.")] = 32,
    layers: options.Layers = None,
    groups: options.Groups = None,
    plot: Annotated[
        Path | None,
        typer.Option("--plot", metavar="FILE", help="Draw it too: .png, .svg or .pdf.", show_default=False),
    ] = None,
    name: options.Name = None,
    version: options.Version = None,
    loader: options.Loader = None,
    jobs: options.Jobs = 0,
    device: options.Device = "cpu",
    store: options.Store = None,
    as_json: options.AsJson = False,
    as_csv: options.AsCsv = False,
) -> None:
    """Compare slice, pool, stack and fft on the convolutions of MODEL; all of it is stored."""
    from ww_core.cli.svd_plot import check_plot, draw
    from ww_core.command.progress import progress_observers
    from ww_core.errors import LostResultsError
    from ww_core.use_cases.compare_svd import compare_svd as compare

    output = Output(as_json=as_json, as_csv=as_csv)
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
            groups=options.groups_of(groups),
            name=name,
            version=version,
            loader=loader,
            jobs=jobs,
            device=device,
            observers=observers,
            registry=registry,
        )
    for warning in comparison.warnings:
        say(f"warning: {warning}")
    if output.format == "json":
        output.json(comparison.to_dict())
    elif output.format == "csv":
        output.csv(comparison.rows())
    else:
        _print(comparison, output)
    if plot is not None:  # last, so that a full disk does not cost the table
        draw(comparison, plot)
    for failure in comparison.failures:
        say(f"failed: {failure.subject}: {failure.message} ({failure.stage}, {failure.plugin})")
    if comparison.broken:
        raise LostResultsError(f"{len(comparison.broken)} identities do not hold: these numbers are not to be trusted")
    lost = [failure for failure in comparison.failures if failure.stage != "observer"]
    if lost:
        raise LostResultsError(f"{len(lost)} of what was selected was lost to exceptions (above); the rest is stored")


def _print(comparison: Comparison, output: Output) -> None:
    output.line(f"{comparison.model}@{comparison.version}  {comparison.source}")
    output.line()
    rows = [{key: row.get(key) for key in (*COLUMNS, "warning", "note")} for row in comparison.rows()]
    output.table(rows, optional=("note", "shape", "warning", "matrices", "seconds"))
    _print_identities(comparison, output)
    _print_disagreements(comparison, output)


def _print_identities(comparison: Comparison, output: Output) -> None:
    found = [(layer.name, one) for layer in comparison.layers for one in layer.identities]
    if not found:
        return
    statements = dict.fromkeys(one.statement for _, one in found)
    output.line()
    output.line("what must hold, with P positions of the kernel:")
    for statement in statements:
        own = [(name, one) for name, one in found if one.statement == statement]
        name, worst = max(own, key=lambda pair: pair[1].deviation)
        broken = sum(not one.holds for _, one in own)
        layers = f"{len(own)} layer{'s' if len(own) > 1 else ''}"
        verdict = f"BROKEN in {broken} of {layers}" if broken else f"holds in {layers}"
        by = f", to {worst.deviation:.1g} ({name})" if worst.deviation else ""
        output.line(f"  {statement}: {verdict}{by}")


def _print_disagreements(comparison: Comparison, output: Output) -> None:
    if all(sum(view.tail is not None for view in layer.views) < 2 for layer in comparison.layers):
        return
    layers = [layer for layer in comparison.layers if layer.disagreements]
    pairs = [one for layer in layers for one in layer.disagreements]
    output.line()
    if not pairs:
        output.line("alphas agree within their joint sigma, and so do the warnings")
        return
    apart = sum(one.is_significant for one in pairs)
    warned = sum(one.first_warning != one.second_warning for one in pairs)
    of_all = f"{len(layers)} of {len(comparison.layers)} layers"
    output.line(f"alphas differ by more than their joint sigma in {apart} pairs, warnings in {warned}, in {of_all}")
    output.line(f"(--json has all pairs). Beside {REFERENCE}, in joint sigmas; ! where the warning is another one:")
    output.table([{"layer": layer.name, **_beside_reference(layer, comparison.extractors)} for layer in layers])


def _beside_reference(layer: ComparedLayer, extractors: Sequence[str]) -> dict[str, str]:
    tails = {view.extractor: view.tail for view in layer.views}
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
