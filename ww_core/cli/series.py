"""``ww series``: models of one family."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ww_core.command import Output, options, say, store_location
from ww_core.command.examples import examples

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ww_core.store.records import SeriesMember

app = typer.Typer(help="Families of models.", no_args_is_help=True, rich_markup_mode=None)

Series = Annotated[str, typer.Argument(metavar="SERIES", help="Name of the series.", callback=options.not_empty)]


@app.callback()
def _group() -> None:
    """Group models of one family, and list the groups."""


@app.command("add")
@examples("ww series add vision net other")
def add(
    series: Series,
    models: Annotated[list[str], typer.Argument(metavar="MODEL...", help="Stored models, or reported ones.")],
    store: options.Store = None,
    as_json: options.AsJson = False,
) -> None:
    """Add models to SERIES; a new SERIES is created."""
    from ww_core.store.store import open_existing_store

    output = Output(as_json=as_json)
    with open_existing_store(store_location(store)) as opened:
        opened.add_to_series(series, models)
        members = opened.series(series)
    if output.format == "json":
        output.json(_rows(members))
        return
    output.line(f"{series}: {len(members)} model{'' if len(members) == 1 else 's'}")


@app.command("remove")
@examples("ww series remove vision net", "ww series remove vision")
def remove(
    series: Series,
    models: Annotated[
        list[str] | None, typer.Argument(metavar="[MODEL]...", help="Members.  [default: all]", show_default=False)
    ] = None,
    store: options.Store = None,
    as_json: options.AsJson = False,
) -> None:
    """Remove models from SERIES.

    The models stay in the store. Without MODEL all are removed, and the series too.
    """
    from ww_core.store.store import open_existing_store

    output = Output(as_json=as_json)
    with open_existing_store(store_location(store)) as opened:
        removed = opened.remove_from_series(series, models or ())
    if output.format == "json":
        output.json(_rows(removed))
        return
    for own in removed:
        output.line(f"removed from {series}: {own.model}{f'@{own.version}' if own.version else ''}")
    if not removed:
        output.line(f"nothing was removed from {series}: none of these is a member")


@app.command("list")
@examples("ww series list", "ww series list vision --json")
def list_series(
    series: Annotated[
        str | None,
        typer.Argument(metavar="[SERIES]", help="Only this one.", show_default=False, callback=options.not_empty),
    ] = None,
    store: options.Store = None,
    as_json: options.AsJson = False,
    as_csv: options.AsCsv = False,
    raw: options.Raw = False,
) -> None:
    """List series and their members."""
    from ww_core.store.store import open_store

    output = Output(as_json=as_json, as_csv=as_csv, raw=raw)
    with open_store(store_location(store), mode="read") as opened:
        rows = _rows(opened.series(series or ""))
    if output.format == "json":
        output.json(rows)
    elif output.format == "csv":
        output.csv(rows)
    else:
        output.table(rows, if_any=("version", "is_reported"))
    if output.format != "json" and not rows:
        say("no series is stored: `ww series add SERIES MODEL` makes one")


def _rows(members: Iterable[SeriesMember]) -> list[dict[str, Any]]:
    return [own._asdict() | {"version": own.version or None} for own in members]
