"""Draw what is stored: spectra with their tails, and metrics over the layers of models."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import ww_core as ww
from ww_core.command import Output, options, store_location

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ww_plugins.commands.plot.by_layer import MetricByLayer

app = typer.Typer(help="Pictures of what is stored.", no_args_is_help=True, add_completion=False, rich_markup_mode=None)

Models = Annotated[
    list[str],
    typer.Argument(metavar="MODEL...", help="MODEL, MODEL@VERSION or a digest prefix.", callback=options.not_empty),
]
File = Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="The picture: .png, .svg or .pdf.")]


@app.callback()
def _group() -> None:
    """Draw what is stored."""


@app.command("esd")
def esd(
    models: Models,
    output: File,
    layers: options.Layers = None,
    extractor: Annotated[
        str | None,
        typer.Option(
            "--extractor",
            metavar="A",
            help="The extractor, as slice; default the one that summaries speak of.",
            callback=options.not_empty,
        ),
    ] = None,
    profile: options.StoredProfile = None,
    store: options.Store = None,
) -> None:
    """Draw the spectra of layers (ESD) with the tails that were fitted, versions over each other.

    One layer has a panel with logarithmic axes, one with linear axes, and one with D and alpha for each start of the
    tail; several have a panel each.
    """
    from ww_core.command.picture import check_plot
    from ww_plugins.commands.plot.esd_pictures import draw
    from ww_plugins.commands.plot.spectra import spectra_of_layers

    check_plot(output, "--output")
    with ww.open_store(store_location(store), mode="read") as opened:
        found = spectra_of_layers(
            opened, models, options.listed(layers, "--layers"), extractor=extractor, profile=profile
        )
    draw(found, output)
    Output().line(f"{len(found)} spectr{'um' if len(found) == 1 else 'a'} drawn in {output}")


@app.command("depth")
def depth(
    models: Models,
    metric: Annotated[
        str, typer.Option("--metric", metavar="M", help="The column, as alpha.", callback=options.not_empty)
    ],
    output: File,
    layers: options.Layers = None,
    profile: options.StoredProfile = None,
    store: options.Store = None,
) -> None:
    """Draw a metric over the depth of a network: a point for each matrix, in the order of the layers."""
    from ww_plugins.commands.plot.metric_pictures import draw_depth

    _draw_metric(draw_depth, models, metric, output, options.listed(layers, "--layers"), profile, store)


@app.command("histogram")
def histogram(
    models: Models,
    metric: Annotated[
        str, typer.Option("--metric", metavar="M", help="The column, as alpha.", callback=options.not_empty)
    ],
    output: File,
    layers: options.Layers = None,
    profile: options.StoredProfile = None,
    store: options.Store = None,
) -> None:
    """Draw how a metric is spread over the layers of a network: a histogram for each model."""
    from ww_plugins.commands.plot.metric_pictures import draw_histogram

    _draw_metric(draw_histogram, models, metric, output, options.listed(layers, "--layers"), profile, store)


def _draw_metric(
    draw: Callable[[Sequence[MetricByLayer], str, Path], None],
    models: list[str],
    metric: str,
    output: Path,
    layers: Sequence[str],
    profile: str | None,
    store: str | None,
) -> None:
    from ww_core.command.picture import check_plot
    from ww_plugins.commands.plot.by_layer import metric_by_layer

    check_plot(output, "--output")
    with ww.open_store(store_location(store), mode="read") as opened:
        found = metric_by_layer(opened, models, metric, layers, profile=profile)
    draw(found, metric, output)
    count = sum(own.values.size for own in found)
    Output().line(f"{metric} of {count} matri{'x' if count == 1 else 'ces'} drawn in {output}")
