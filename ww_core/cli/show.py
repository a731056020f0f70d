"""``ww show``: what is stored."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from ww_core.cli import options
from ww_core.command import Output, store_location


def show(
    model: Annotated[
        str, typer.Argument(metavar="[MODEL]", help="MODEL, MODEL@VERSION or a digest prefix.", show_default=False)
    ] = "",
    profile: Annotated[str, typer.Option("--profile", metavar="NAME", help="[default: the newest run's]")] = "",
    store: options.Store = "",
    as_json: options.AsJson = False,
    as_csv: options.AsCsv = False,
) -> None:
    """Show the stored analysis of MODEL; without MODEL, list every version of every model."""
    from ww_core.cli.report import DIGEST_SHOWN, print_report
    from ww_core.store.store import open_store

    output = Output(as_json=as_json, as_csv=as_csv)
    with open_store(store_location(store), mode="read") as opened:
        if model:
            print_report(opened.report(model, profile), output)
            return
        rows = [asdict(version) for version in opened.versions()]
    if output.format == "json":
        output.json(rows)
    elif output.format == "csv":
        output.csv([row | {"series": " ".join(row["series"])} for row in rows])
    else:
        shown = [row | {"digest": row["digest"][:DIGEST_SHOWN], "series": ", ".join(row["series"])} for row in rows]
        output.table(shown, optional=("format", "created_at", "source", "series", "parameters", "digest"))
        if not rows:
            output.line("nothing is stored yet: `ww analyze SOURCE` makes a start")
