"""``ww metrics``, ``ww extractors``, ``ww loaders``, ``ww importers``, ``ww plugins``: what is there."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING, Any

import typer

from ww_core.command import Output, Session, options

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def metrics(
    ctx: typer.Context, as_json: options.AsJson = False, as_csv: options.AsCsv = False, raw: options.Raw = False
) -> None:
    """List every column of every metric: scope, direction, unit, version, needs, parameters, what to install."""
    from ww_core.use_cases.listings import list_metrics

    session: Session = ctx.obj
    optional = ("key", "needs", "metric", "type", "version", "parameters", "extra", "on_request", "unit")
    output = Output(as_json=as_json, as_csv=as_csv, raw=raw)
    rows = list_metrics(session.registry())
    if output.format != "table":
        _print(rows, output)
        return
    caveats = {row["column"]: row.pop("caveat") for row in rows}
    _print(rows, output, optional=optional, if_any=["install"])
    for column, caveat in caveats.items():
        if caveat:
            output.line()
            output.line(f"{column}: {caveat}")


def extractors(
    ctx: typer.Context, as_json: options.AsJson = False, as_csv: options.AsCsv = False, raw: options.Raw = False
) -> None:
    """List the ways to make matrices of a layer."""
    from ww_core.use_cases.listings import list_extractors

    session: Session = ctx.obj
    _print(list_extractors(session.registry()), Output(as_json=as_json, as_csv=as_csv, raw=raw))


def loaders(
    ctx: typer.Context, as_json: options.AsJson = False, as_csv: options.AsCsv = False, raw: options.Raw = False
) -> None:
    """List the formats that can be read, and what to install for those that need more."""
    from ww_core.use_cases.listings import list_loaders

    session: Session = ctx.obj
    _print(list_loaders(session.registry()), Output(as_json=as_json, as_csv=as_csv, raw=raw), if_any=["install"])


def importers(
    ctx: typer.Context, as_json: options.AsJson = False, as_csv: options.AsCsv = False, raw: options.Raw = False
) -> None:
    """List the forms of tables of results that can be imported, and what to install for those that need more."""
    from ww_core.use_cases.listings import list_importers

    session: Session = ctx.obj
    _print(list_importers(session.registry()), Output(as_json=as_json, as_csv=as_csv, raw=raw), if_any=["install"])


def plugins(
    ctx: typer.Context, as_json: options.AsJson = False, as_csv: options.AsCsv = False, raw: options.Raw = False
) -> None:
    """List plugins and what is wrong with them; `new` writes one.

    Of each it tells distribution, version, hooks and objects.
    """
    if ctx.invoked_subcommand:
        return
    from ww_core.use_cases.listings import list_commands, list_plugins

    session: Session = ctx.obj
    output = Output(as_json=as_json, as_csv=as_csv, raw=raw)
    registry = session.unreported_registry()
    rows = list_plugins(registry)
    with contextlib.redirect_stdout(sys.stderr):
        rows += list_commands(registry, session.own_commands)
    if output.format != "table":
        _print(rows, output)
        return
    for row in rows:
        origin = " ".join(filter(None, [row["distribution"], row["version"]]))
        if not origin or row["state"] == "blocked":
            origin = f"{origin} {row['origin']}".strip()
        output.line(f"{row['name']}  {row['state']}  {origin}")
        for title, items in (("hooks", row["hooks"]), ("objects", row["objects"])):
            if items:
                output.line(f"  {title}: {', '.join(items)}")
        for problem in row["problems"]:
            output.line(f"  problem: {problem}")


def _print(
    rows: Sequence[Mapping[str, Any]], output: Output, *, optional: Sequence[str] = (), if_any: Sequence[str] = ()
) -> None:
    if output.format == "json":
        output.json(list(rows))
        return
    flat = [{key: _flat(value) for key, value in row.items()} for row in rows]
    if output.format == "csv":
        output.csv(flat)
    else:
        output.table(flat, optional=optional, if_any=if_any)


def _flat(value: Any) -> Any:
    if isinstance(value, dict):
        return ", ".join(f"{key}={item}" for key, item in value.items())
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else value
