"""Print the median of a column over the layers of each stored model.

`ww --help` shows the line above, which it reads from this file; nothing is imported until the command is run.
"""

from __future__ import annotations

from typing import Annotated

import typer
import ww_core as ww
from ww_core.command import Output, options, store_location

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def median(
    metric: Annotated[str, typer.Argument(metavar="COLUMN", help="A column of numbers, such as alpha.")],
    profile: options.Profile = "default",
    store: options.Store = None,
    as_json: options.AsJson = False,
    as_csv: options.AsCsv = False,
    raw: options.Raw = False,
) -> None:
    """Print the median of COLUMN over the layers of each stored version of each model."""
    import numpy as np  # here, so that `--help` need not wait for it

    output = Output(as_json=as_json, as_csv=as_csv, raw=raw)
    with ww.open_store(store_location(store), mode="read") as opened:
        found = opened.values([metric], profile=profile)
    if metric not in found.numbers:
        raise ww.UsageError(f"{metric!r} is a column of texts: name one of numbers")
    values: dict[tuple[str, str], list[float]] = {}
    places = zip(found.places["model"], found.places["version"], strict=True)
    for place, value in zip(places, found.numbers[metric], strict=True):
        values.setdefault(place, []).append(value)
    rows = []
    for (model, version), own in values.items():
        known = [value for value in own if not np.isnan(value)]  # NaN stands for a layer without a value
        middle = float(np.median(known)) if known else None
        rows.append({"model": model, "version": version, "layers": len(known), "median": middle})
    {"json": output.json, "csv": output.csv, "table": output.table}[output.format](rows)


@ww.hookimpl
def ww_register_commands() -> list[ww.Command]:
    """The commands of this plugin."""
    return [ww.Command("object-name", app)]
