"""``ww db``: the store itself."""

from __future__ import annotations

import typer

from ww_core.cli import options
from ww_core.command import Output, store_location

app = typer.Typer(help="The store itself.", no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def _group() -> None:
    """Look at the store, or bring it up to date."""


@app.command("info")
def info(store: options.Store = "", as_json: options.AsJson = False, as_csv: options.AsCsv = False) -> None:
    """Say where the store is, which schema it has, and how much is in it."""
    from ww_core.store.store import open_store

    output = Output(as_json=as_json, as_csv=as_csv)
    with open_store(store_location(store), mode="read") as opened:
        found = opened.info()
    row = {
        "location": found.location,
        "dialect": found.dialect,
        "revision": found.revision,
        "bytes": found.size,
        **found.counts,
    }
    if output.format == "json":
        output.json(row)
    elif output.format == "csv":
        output.csv([row])
    else:
        output.table([{"what": key, "value": "" if value is None else str(value)} for key, value in row.items()])


@app.command("upgrade")
def upgrade(store: options.Store = "") -> None:
    """Bring the store's schema up to date; a copy of a SQLite file is made first."""
    from ww_core.store.store import upgrade_store

    output = Output()
    before, after, backup = upgrade_store(store_location(store))
    if before == after:
        output.line(f"schema {after}: up to date")
    else:
        output.line(f"schema {before} > {after}" + (f", copy of the old one in {backup}" if backup else ""))
