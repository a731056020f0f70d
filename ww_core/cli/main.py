"""The program ``ww``: its global options, its commands, and the commands of plugins."""

from __future__ import annotations

import gc
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from ww_core.cli import (
    analyze,
    backfill,
    db,
    describe,
    diff,
    forget,
    label,
    listings,
    rename,
    show,
    spectrum,
)
from ww_core.command import INTERRUPTED, Session, run_guarded, say
from ww_core.errors import UsageError
from ww_core.plugins.command_summary import summary_of
from ww_core.plugins.entry_points import command_entry_points

if TYPE_CHECKING:
    from collections.abc import Callable
    from importlib.metadata import EntryPoint


class CommandGroup(TyperGroup):
    """Lists ww's own commands and those of plugins; a plugin's is imported when it is run."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Name all commands: ww's own in their order, then plugins'."""
        own = super().list_commands(ctx)
        return [*own, *(name for name in command_entry_points() if name not in own)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a command; one of a plugin that cannot be loaded says why instead of running."""
        own = super().get_command(ctx, cmd_name)
        if own is not None:
            return own
        point = command_entry_points().get(cmd_name)
        return None if point is None else _plugin_command(point)


def _plugin_command(point: EntryPoint) -> Any:
    origin = point.dist.name if point.dist else point.value
    if sys.argv[1:2] in ([], ["-h"], ["--help"]):
        return TyperGroup(name=point.name, help=summary_of(point) or f"From {origin}.")  # nothing of it is imported
    try:
        app = point.load()
        if not isinstance(app, typer.Typer):
            raise TypeError(f"{point.value} is no typer.Typer")
        command = typer.main.get_command(app)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a stranger's import may raise anything
        say(f"warning: command {point.name} of {origin} cannot be used: {type(error).__name__}: {error}")
        return None
    command.name = point.name
    return command


app = typer.Typer(
    name="ww",
    cls=CommandGroup,
    help="Judge trained neural networks from their weights alone.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(asked: bool) -> None:
    if asked:
        from ww_core import __version__

        typer.echo(f"ww {__version__}")
        raise typer.Exit


@app.callback()
def global_options(
    ctx: typer.Context,
    plugin: Annotated[
        list[str] | None, typer.Option("--plugin", metavar="FILE", help="Load a plugin from a Python file; repeatable.")
    ] = None,
    strict_plugins: Annotated[
        bool, typer.Option("--strict-plugins", help="Stop if anything is wrong with any plugin.")
    ] = False,
    version: Annotated[  # noqa: ARG001 - its callback has done the work
        bool, typer.Option("--version", help="Print the version and stop.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    """Judge trained neural networks from their weights alone."""
    ctx.obj = Session(plugin_files=tuple(plugin or ()), strict_plugins=strict_plugins)


app.command("analyze")(analyze.analyze)
app.command("backfill")(backfill.backfill)
app.command("describe")(describe.describe)
app.command("show")(show.show)
app.command("spectrum")(spectrum.spectrum)
app.command("diff")(diff.diff)
app.command("forget")(forget.forget)
app.command("rename")(rename.rename)
app.command("label")(label.label)
app.command("metrics")(listings.metrics)
app.command("extractors")(listings.extractors)
app.command("loaders")(listings.loaders)
app.command("plugins")(listings.plugins)
app.add_typer(db.app, name="db")


def main() -> int:
    """Run ``ww`` on the process's arguments, and return its exit code."""
    try:
        return run_guarded(_run)
    finally:
        # The process ends: looking for garbage once more would take a seventh of a short command's time.
        gc.freeze()


def _run() -> int:
    try:
        code = app(standalone_mode=False, prog_name="ww")
    except typer.TyperException as error:
        show: Callable[[], None] | None = getattr(error, "show", None)
        if show is None:
            raise
        show()  # wrong usage: typer has the sentence, the usage line and the code
        return int(getattr(error, "exit_code", UsageError.exit_code))
    if code == INTERRUPTED:
        raise KeyboardInterrupt
    return code if isinstance(code, int) else 0
