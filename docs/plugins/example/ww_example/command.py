"""List the layers whose value of a column lies far from those of the others.

`ww --help` shows the line above, which it reads from this file; nothing is imported until `ww outliers` is run.
"""

from typing import Annotated

import typer

import ww_core as ww
from ww_core.command import Output, options, store_location

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def outliers(
    metric: Annotated[str, typer.Argument(help="A column, such as stable_rank.")],
    least: Annotated[float, typer.Option(min=0, help="How many standard deviations make an outlier.")] = 5.0,
    profile: Annotated[str, typer.Option(help="The profile of the analyses.")] = "default",
    store: options.Store = None,
    as_json: options.AsJson = False,
    as_csv: options.AsCsv = False,
    raw: options.Raw = False,
) -> None:
    """List the layers whose METRIC lies far from that of the other layers of their model."""
    output = Output(as_json=as_json, as_csv=as_csv, raw=raw)
    with ww.open_store(store_location(store), mode="read") as opened:
        found = opened.values([metric], profile=profile)
    if metric not in found.numbers:
        raise ww.UsageError(f"{metric!r} is a column of texts: an outlier is a number")
    places = list(zip(*(found.places[name] for name in ("model", "version", "layer")), strict=True))
    rows = []
    for model in dict.fromkeys(place[:2] for place in places):
        chosen = [number for number, place in enumerate(places) if place[:2] == model]
        values = found.numbers[metric][chosen]
        for number, value, deviation in zip(chosen, values, deviations(values), strict=True):
            if deviation >= least:  # never so for NaN, which stands for a layer without a value
                named = dict(zip(("model", "version", "layer"), places[number], strict=True))
                rows.append({**named, metric: float(value), "deviations": float(deviation)})
    {"json": output.json, "csv": output.csv, "table": output.table}[output.format](rows)


def deviations(values):
    """Return the distance of each number from the median, in standard deviations; zero where most are equal.

    The standard deviation is that of a Gaussian with the same median distance, which outliers do not move.
    """
    import numpy as np  # here, so that `ww outliers --help` need not wait for it

    if np.isnan(values).all():
        return np.zeros_like(values)
    distance = np.abs(values - np.nanmedian(values))
    spread = 1.4826 * np.nanmedian(distance)
    return distance / spread if spread else np.zeros_like(values)


@ww.hookimpl
def ww_register_commands():
    return [ww.Command("outliers", app)]
