"""``ww plugins``: list what is there, and begin a new one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ww_core.cli import listings
from ww_core.command import Output, Session
from ww_core.use_cases.plugin_kinds import PluginKind

KINDS = f"What it registers: {', '.join(PluginKind)}."

app = typer.Typer(rich_markup_mode=None)
app.callback(invoke_without_command=True)(listings.plugins)


@app.command("new")
def new(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="What pip will call it, as ww-gini.")],
    kind: Annotated[PluginKind, typer.Option("--kind", metavar="KIND", help=KINDS)],
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FOLDER", help="The folder to write.  [default: NAME]", show_default=False),
    ] = None,
) -> None:
    """Write a new plugin: a package that works, with its tests, to change into your own.

    Its code is one module that does something real. Its tests are those that ww's own plugins of this kind pass, and
    some of its own. Nothing is overwritten.
    """
    from ww_core.use_cases.new_plugin import new_plugin

    session: Session = ctx.obj
    written = new_plugin(name, kind, out, own_commands=session.own_commands)
    output = Output()
    output.line(f"{written.folder}: {kind.words} {written.registers}")
    for file in written.files:
        output.line(f"  {file}")
    output.line("README.md says how to install it, test it and see it listed.")
