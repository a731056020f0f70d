"""``ww plugins``: list what is there, and begin a new one."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ww_core.command import Output, Session, options
from ww_core.command.examples import examples
from ww_core.command.listing import print_data, print_wrapped
from ww_core.errors import UnknownNameError, UsageError
from ww_core.use_cases.plugin_kinds import PluginKind

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

KINDS = f"What it registers: {', '.join(PluginKind)}."

app = typer.Typer(rich_markup_mode=None)


@app.callback(invoke_without_command=True)
@examples("ww plugins", "ww plugins --json")
def plugins(
    ctx: typer.Context, as_json: options.AsJson = False, as_csv: options.AsCsv = False, raw: options.Raw = False
) -> None:
    """List the plugins, what each registers, and their problems."""
    if below := ctx.invoked_subcommand:
        for option, given in (("--json", as_json), ("--csv", as_csv), ("--raw", raw)):
            if given:
                raise UsageError(
                    f"{option} before `{below}` is for the list of plugins: give it after `{below}`, or leave it out"
                )
        return
    _print_plugins(_rows(ctx.obj), Output(as_json=as_json, as_csv=as_csv, raw=raw))


@app.command("show")
@examples("ww plugins show ww.metrics")
def show(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", callback=options.not_empty)],
    as_json: options.AsJson = False,
    as_csv: options.AsCsv = False,
    raw: options.Raw = False,
) -> None:
    """Show one plugin."""
    rows = _rows(ctx.obj)
    chosen = [row for row in rows if row["name"] == name]
    if not chosen:
        raise UnknownNameError("plugin", name, {row["name"] for row in rows}, "ww plugins")
    _print_plugins(chosen, Output(as_json=as_json, as_csv=as_csv, raw=raw))


def _rows(session: Session) -> list[dict[str, Any]]:
    from ww_core.use_cases.listings import list_commands, list_plugins

    registry = session.unreported_registry()
    rows = list_plugins(registry)
    with contextlib.redirect_stdout(sys.stderr):
        return rows + list_commands(registry, session.own_commands)


def _print_plugins(rows: Sequence[dict[str, Any]], output: Output) -> None:
    if output.format != "table":
        print_data(output, rows)
        return
    for row in rows:
        _print_plugin(output, row)


def _print_plugin(output: Output, row: Mapping[str, Any]) -> None:
    origin = " ".join(filter(None, [row["distribution"], row["version"]]))
    if not origin or row["state"] == "blocked":
        origin = f"{origin} {row['origin']}".strip()
    output.line(f"{row['name']}  {row['state']}  {origin}")
    for title, items in (("hooks", row["hooks"]), ("objects", row["objects"])):
        if items:
            print_wrapped(output, ", ".join(items), f"  {title}: ")
    for problem in row["problems"]:
        print_wrapped(output, problem, "  problem: ")


@app.command("new")
@examples("ww plugins new ww-gini --kind metric")
def new(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the package for pip, as ww-gini.")],
    kind: Annotated[PluginKind, typer.Option("--kind", metavar="KIND", help=KINDS)],
    out: Annotated[
        str | None,
        typer.Option(
            "--out",
            metavar="FOLDER",
            help="The folder to write.  [default: NAME]",
            show_default=False,
            callback=options.not_empty,
        ),
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Write a package with a new plugin and its tests.

    The package works as written; change it into your own plugin. Its code is one module with a small real example. Its
    tests are the contract tests of this kind of plugin and a few more. No existing file is overwritten.
    """
    from ww_core.use_cases.new_plugin import new_plugin

    session: Session = ctx.obj
    output = Output(as_json=as_json)
    written = new_plugin(name, kind, out, own_commands=session.own_commands)
    if output.format == "json":
        output.json(
            {
                "folder": str(written.folder),
                "kind": kind.value,
                "registers": written.registers,
                "files": [str(file) for file in written.files],
            }
        )
        return
    output.line(f"{written.folder}: {kind.words} {written.registers}")
    for file in written.files:
        output.line(f"  {file}")
    output.line("README.md says how to install it, test it and see it listed.")
