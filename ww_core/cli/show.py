"""``ww show``: what is stored."""

from __future__ import annotations

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
    from ww_core.analysis.show import show as look
    from ww_core.analysis.show import versions
    from ww_core.cli.report import DIGEST_SHOWN, print_report

    output = Output(as_json=as_json, as_csv=as_csv)
    if model:
        print_report(look(model, store=store_location(store), profile=profile), output)
        return
    rows = versions(store=store_location(store))
    if output.format == "json":
        output.json(rows)
    elif output.format == "csv":
        output.csv([row | {"series": " ".join(row["series"])} for row in rows])
    else:
        shown = [row | {"digest": row["digest"][:DIGEST_SHOWN], "series": ", ".join(row["series"])} for row in rows]
        output.table(shown)
        if not rows:
            output.line("nothing is stored yet: `ww analyze SOURCE` makes a start")
