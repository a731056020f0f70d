"""Draw spectra with their tails, and metrics over layers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

import ww_core as ww
from ww_core.command import Output, options, say, store_location
from ww_core.command.examples import examples
from ww_plugins.commands.plot.panels import Panels

if TYPE_CHECKING:
    from collections.abc import Callable

    from ww_plugins.commands.plot.by_layer import MetricByLayer
    from ww_plugins.commands.plot.grid import Look

MOST_LEFT_OUT = 5
"""Models that are left out of which each has a line."""

app = typer.Typer(
    help="Pictures of stored spectra and metrics.", no_args_is_help=True, add_completion=False, rich_markup_mode=None
)

Models = Annotated[
    list[str],
    typer.Argument(metavar="MODEL...", help="MODEL, MODEL@VERSION or a digest prefix.", callback=options.not_empty),
]
File = Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="The picture: .png, .svg or .pdf.")]


@app.callback()
def _group() -> None:
    """Draw what is stored."""


@app.command("esd")
@examples("ww plot esd net --layers first -o first.png", "ww plot esd net@1 net@2 -o spectra.svg")
def esd(
    models: Models,
    output: File,
    layers: options.Layers = None,
    extractor: Annotated[
        str | None,
        typer.Option(
            "--extractor",
            metavar="A",
            help="The extractor, as slice; default the one behind the means.",
            callback=options.not_empty,
        ),
    ] = None,
    profile: options.StoredProfile = None,
    store: options.Store = None,
) -> None:
    """Draw the spectra of layers (ESD) with their fitted tails.

    Versions are drawn over each other. A single layer has three panels: logarithmic axes, linear axes, and
    D and alpha for each start of the tail. Several layers have a panel each.
    """
    from ww_core.command.picture import check_plot
    from ww_plugins.commands.matrix_spectra import names_of
    from ww_plugins.commands.plot.esd_pictures import draw
    from ww_plugins.commands.plot.spectra import spectra_of_layers

    check_plot(output, "--output")
    with ww.open_store(store_location(store), mode="read") as opened:
        found, left_out = spectra_of_layers(
            opened, models, options.listed(layers, "--layers"), extractor=extractor, profile=profile
        )
    draw(found, output)
    Output().line(f"{len(found)} spectr{'um' if len(found) == 1 else 'a'} drawn in {output}")
    for reason in dict.fromkeys(own.reason for own in left_out):
        names = names_of(list(dict.fromkeys((own.layer, own.number) for own in left_out if own.reason == reason)))
        say(f"not drawn: {names}: {reason}")


Metric = Annotated[
    list[str],
    typer.Option(
        "--metric",
        metavar="A,B",
        help="The column, as alpha; several columns have a panel each.",
        callback=options.not_empty,
    ),
]
SomeModels = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[MODEL...]", help="MODEL, MODEL@VERSION, a digest prefix, or a glob over models, as 'GPT2/*'."
    ),
]
OfSeries = Annotated[list[str] | None, typer.Option("--series", metavar="A,B", help="Also the models of these series.")]
PanelsBy = Annotated[Panels, typer.Option("--panels", help="One panel for each series, or for each model.")]
Range = Annotated[
    str,
    typer.Option(
        "--range",
        metavar="LOW:HIGH",
        help="Limits of the first metric's axis, one or both; values outside are counted.",
        show_default=False,
        callback=options.not_empty,
    ),
]
Mark = Annotated[
    float | None,
    typer.Option(
        "--mark", metavar="X", help="A line at this value of the first metric; the legend counts what is above."
    ),
]
Log = Annotated[bool, typer.Option("--log", help="Logarithmic axes of the metrics.")]


@app.command("depth")
@examples("ww plot depth net --metric alpha -o depth.png")
def depth(
    metric: Metric,
    output: File,
    models: SomeModels = None,
    series: OfSeries = None,
    layers: options.Layers = None,
    without_layers: options.WithoutLayers = None,
    panels: PanelsBy = Panels.all,
    value_range: Range = "",
    mark: Mark = None,
    log: Log = False,
    relative: Annotated[bool, typer.Option("--relative", help="Depth from 0 to 1 in each model.")] = False,
    profile: options.StoredProfile = None,
    store: options.Store = None,
) -> None:
    """Draw a metric over the depth of networks.

    Each matrix is a point, in the order of the layers. If a layer has several matrices, the line follows their
    mean. Models of imported tables with rows for layers are drawn too.
    """
    from ww_plugins.commands.plot.metric_pictures import draw_depth

    look = _look(panels, value_range, mark, log=log, relative=relative)
    asked = _Asked(models or (), options.listed(series, "--series"), options.listed(metric, "--metric"))
    _draw_metrics(draw_depth, asked, output, look, (layers, without_layers), profile, store)


@app.command("histogram")
@examples("ww plot histogram 'ne*' --metric alpha,stable_rank -o histogram.png")
def histogram(
    metric: Metric,
    output: File,
    models: SomeModels = None,
    series: OfSeries = None,
    layers: options.Layers = None,
    without_layers: options.WithoutLayers = None,
    panels: PanelsBy = Panels.all,
    value_range: Range = "",
    mark: Mark = None,
    log: Log = False,
    profile: options.StoredProfile = None,
    store: options.Store = None,
) -> None:
    """Draw the distribution of a metric over matrices of networks.

    Each model has a histogram, with the same bins. Heights are shares of a model's matrices, so that models of any size
    can be compared.
    """
    from ww_plugins.commands.plot.metric_pictures import draw_histogram

    look = _look(panels, value_range, mark, log=log)
    asked = _Asked(models or (), options.listed(series, "--series"), options.listed(metric, "--metric"))
    _draw_metrics(draw_histogram, asked, output, look, (layers, without_layers), profile, store)


class _Asked(NamedTuple):
    """What a picture of metrics shows."""

    models: Sequence[str]
    series: Sequence[str]
    metrics: Sequence[str]


def _look(panels: Panels, value_range: str, mark: float | None, *, log: bool, relative: bool = False) -> Look:
    from ww_plugins.commands.plot.grid import Look

    low, high = _ends(value_range)
    if mark is not None and not math.isfinite(mark):
        raise ww.UsageError(f"--mark {mark:g}: a finite number is expected")
    if log and any(own is not None and own <= 0 for own in (low, high, mark)):
        raise ww.UsageError("--log: a logarithmic axis has positive numbers only, and so must --range and --mark")
    return Look(panels, low, high, mark, log, relative)


def _ends(text: str) -> tuple[float | None, float | None]:
    """Return the ends of a range, None for one that is left out.

    Raises:
        UsageError: It is no range.
    """
    low, colon, high = text.partition(":")
    try:
        ends = tuple(float(own) if own.strip() else None for own in (low, high))
    except ValueError:
        ends = ()
    numbers = [own for own in ends if own is not None]
    fits = colon and numbers and all(map(math.isfinite, numbers)) and sorted(set(numbers)) == numbers
    if text and not fits:
        raise ww.UsageError(f"--range {text}: two numbers are expected, the smaller first, as 1:8, or one, as :8")
    return (ends[0], ends[1]) if text else (None, None)


def _draw_metrics(
    draw: Callable[[Sequence[MetricByLayer], Path, Look], None],
    asked: _Asked,
    output: Path,
    look: Look,
    layers: tuple[list[str] | None, list[str] | None],
    profile: str | None,
    store: str | None,
) -> None:
    from ww_core.command.picture import check_plot
    from ww_plugins.commands.plot.by_layer import metrics_by_layer

    check_plot(output, "--output")
    some, without = options.listed(layers[0], "--layers"), options.listed(layers[1], "--without-layers")
    metrics = list(dict.fromkeys(asked.metrics))
    with ww.open_store(store_location(store), mode="read") as opened:
        found, left_out = metrics_by_layer(
            opened, asked.models, metrics, some, without=without, series=asked.series, profile=profile
        )
    draw(found, output, look)
    count = sum(own.values.size for own in found if own.metric == metrics[0])
    one, many = ("layer", "layers") if found[0].scope == "layer" else ("matrix", "matrices")
    Output().line(f"{', '.join(metrics)} of {count} {one if count == 1 else many} drawn in {output}")
    for own in left_out[:MOST_LEFT_OUT]:
        say(f"left out {own.name}: {own.reason}")
    if len(left_out) > MOST_LEFT_OUT:
        say(f"left out {len(left_out) - MOST_LEFT_OUT} more")
