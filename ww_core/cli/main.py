"""The program ``ww``: its global options and its commands; how commands are found is in ``command_group``."""

from __future__ import annotations

import gc
import os
from typing import Annotated

import typer

from ww_core.cli import (
    analyze,
    backfill,
    blame,
    check,
    completion,
    db,
    describe,
    diff,
    export,
    forget,
    history,
    import_table,
    label,
    leaderboard,
    listings,
    plugins,
    regressions,
    rename,
    scores,
    series,
    show,
    spectrum,
    sql,
    trend,
)
from ww_core.cli.command_group import CommandGroup
from ww_core.cli.endings import heeded
from ww_core.command import INTERRUPTED, Session, run_app
from ww_core.errors import UsageError
from ww_core.plugins.verbosity import VERBOSITY_VARIABLE

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


def _name_plugins(ctx: typer.Context, files: list[str] | None) -> None:
    session: Session = ctx.obj
    session.plugin_files += tuple(files or ())


def _be_strict(ctx: typer.Context, asked: bool) -> None:
    session: Session = ctx.obj
    session.strict_plugins |= asked


def _speak(ctx: typer.Context, param: typer.CallbackParam, asked: bool) -> None:
    """Let the process, and those that it starts, say more or less.

    Raises:
        UsageError: Both were asked for.
    """
    session: Session = ctx.obj
    if asked:
        verbosity = str(param.name).removeprefix("ww_")
        if session.verbosity not in {"", verbosity}:
            raise UsageError("--verbose and --quiet exclude each other: give one")
        session.verbosity = os.environ[VERBOSITY_VARIABLE] = verbosity


@app.callback()
def global_options(
    ctx: typer.Context,
    ww_plugin_files: Annotated[  # noqa: ARG001 - as with those below, its callback has done the work
        list[str] | None,
        typer.Option(
            "--plugin",
            metavar="FILE",
            help="Load a plugin from a Python file; repeatable.",
            is_eager=True,  # `--help` lists the commands of the files before it
            expose_value=False,
            callback=_name_plugins,
        ),
    ] = None,
    ww_strict_plugins: Annotated[  # noqa: ARG001
        bool,
        typer.Option(
            "--strict-plugins",
            help="Stop if anything is wrong with any plugin.",
            is_eager=True,
            expose_value=False,
            callback=_be_strict,
        ),
    ] = False,
    ww_verbose: Annotated[  # noqa: ARG001
        bool,
        typer.Option(
            "-v",
            "--verbose",
            help="Print the files read, times, and tracebacks of plugins.",
            is_eager=True,
            expose_value=False,
            callback=_speak,
        ),
    ] = False,
    ww_quiet: Annotated[  # noqa: ARG001
        bool,
        typer.Option(
            "-q",
            "--quiet",
            help="Print warnings and errors only: no notes, no progress.",
            is_eager=True,
            expose_value=False,
            callback=_speak,
        ),
    ] = False,
    version: Annotated[  # noqa: ARG001
        bool, typer.Option("--version", help="Print the version and stop.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    """Judge trained neural networks from their weights alone."""
    session: Session = ctx.obj
    if session.plugin_files:
        session.registry()  # now, whatever the command: a file that was named and cannot be used ends the program


app.command("analyze")(analyze.analyze)
app.command("backfill")(backfill.backfill)
app.command("describe")(describe.describe)
app.command("show")(show.show)
app.command("spectrum")(spectrum.spectrum)
app.command("diff")(diff.diff)
app.command("check")(check.check)
app.command("history")(history.history)
app.command("regressions")(regressions.regressions)
app.command("blame")(blame.blame)
app.command("leaderboard")(leaderboard.leaderboard)
app.command("trend")(trend.trend)
app.command("sql")(sql.sql)
app.command("forget")(forget.forget)
app.command("rename")(rename.rename)
app.command("label")(label.label)
app.command("export")(export.export)
app.command("import")(import_table.import_table)
app.command("metrics")(listings.metrics)
app.command("extractors")(listings.extractors)
app.command("profiles")(listings.profiles)
app.command("loaders")(listings.loaders)
app.command("importers")(listings.importers)
app.add_typer(plugins.app, name="plugins")
app.command("completion")(completion.completion)
app.add_typer(scores.app, name="scores")
app.add_typer(series.app, name="series")
app.add_typer(db.app, name="db")


def main() -> int:
    """Run ``ww`` on the process's arguments, and return its exit code."""
    if completion.VARIABLE in os.environ:
        from ww_core.cli.candidates import answer

        return answer(app)
    # Importing makes many objects and no garbage: to look for some as often as usual takes a tenth of a short command.
    gc.set_threshold(50_000, *gc.get_threshold()[1:])
    try:
        with heeded() as codes:
            code = run_app(app)
            return codes[0] if codes and code == INTERRUPTED else code
    finally:
        # The process ends: looking for garbage once more would take a seventh of a short command's time.
        gc.freeze()
