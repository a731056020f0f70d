"""The program ``ww``: its global options, its commands, and the commands of plugins."""

from __future__ import annotations

import gc
import os
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

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
from ww_core.cli.endings import heeded
from ww_core.command import INTERRUPTED, OutputClosed, Session, run_app
from ww_core.command.examples import add_examples
from ww_core.errors import CommandFailedError, PluginError, UnknownNameError, UsageError, WWError
from ww_core.plugins.command_summary import summary_of
from ww_core.plugins.entry_points import command_entry_points, distribution_of
from ww_core.plugins.isolation import all_but_interrupts, sentence_of
from ww_core.plugins.verbosity import VERBOSITY_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from importlib.metadata import EntryPoint

FROM_PLUGIN = "ww.from_plugin"
"""Where a context keeps whose command runs: what people call it, and the plugin or the name of its module."""

EVERYWHERE = ("ww_plugin_files", "ww_strict_plugins", "ww_verbose", "ww_quiet")
"""Parameters of the program whose options stand after every command too: no command has a parameter of such a name."""

FLAGS_EVERYWHERE = frozenset({"--strict-plugins", "-v", "--verbose", "-q", "--quiet"})
"""Those of their options that take no value."""


class CommandGroup(TyperGroup):
    """Lists ww's own commands, those of ``--plugin`` files, and by name only those that are installed.

    An installed command is listed by its entry point in group ``ww.commands`` and imported when it is run. A name that
    nothing is listed under is looked for in all plugins before it is given up.
    """

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """Make the context with the session in it: options fill it in while they are read."""
        extra.setdefault("obj", Session(own_commands=tuple(self.commands)))
        return super().make_context(info_name, args, parent, **extra)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the arguments; options that may stand after the command too are read first."""
        return super().parse_args(ctx, _global_options_first(args))

    def list_commands(self, ctx: Any) -> list[str]:
        """Name all commands: ww's own in their order, then plugins'."""
        return list(self._listed(ctx))

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the list of commands; nothing of an installed plugin is imported for it."""
        listed = self._listed(ctx)
        room = formatter.width - 6 - max(map(len, listed))
        with formatter.section("Commands"):
            formatter.write_dl([(name, command.get_short_help_str(room)) for name, command in listed.items()])

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a command that can run, with the global options; None if nothing has the name.

        Raises:
            PluginError: It is a plugin's and cannot be loaded.
        """
        command = super().get_command(ctx, cmd_name)
        if command is None and (point := command_entry_points().get(cmd_name)):
            command = _loaded(point)
            ctx.meta[FROM_PLUGIN] = f"{cmd_name} of {_origin(point)}", point.module
        elif command is None:
            command = _registered(ctx, cmd_name)
        if command is not None:
            _add_options(command, [option for option in self.params if option.name in EVERYWHERE])
            add_examples(command)
            if ctx.resilient_parsing:  # a shell asks what may stand there
                from ww_core.cli.candidates import offer_names

                offer_names(command)
        return command

    def shell_complete(self, ctx: Any, incomplete: str) -> list[Any]:
        """Return the commands that begin so, of which none is imported, or the options."""
        from ww_core.cli.candidates import Candidate

        if incomplete.startswith("-"):
            return super().shell_complete(ctx, incomplete)
        return [Candidate(name) for name in self._listed(ctx) if name.startswith(incomplete)]

    def invoke(self, ctx: Any) -> Any:
        """Run the command; what a plugin's raises, and does not expect itself, is one sentence with file and line.

        Raises:
            CommandFailedError: A plugin's command failed.
        """
        try:
            return super().invoke(ctx)
        except (WWError, OutputClosed, typer.TyperException, typer.Exit, typer.Abort, SystemExit):
            raise
        except all_but_interrupts() as error:
            if FROM_PLUGIN not in ctx.meta:
                raise
            name, culprit = ctx.meta[FROM_PLUGIN]
            raise CommandFailedError(f"command {name} failed: {sentence_of(error, culprit)}") from error

    def _listed(self, ctx: Any) -> dict[str, Any]:
        listed = dict(self.commands)
        for name, point in command_entry_points().items():
            listed.setdefault(name, TyperGroup(name=name, help=summary_of(point) or f"From {_origin(point)}."))
        session: Session = ctx.obj
        if session.plugin_files:
            commands = session.unreported_registry().commands
            for owned in commands:
                name = commands.display(owned, owned.name)
                try:
                    command = _runnable(owned.object.app, name)
                except all_but_interrupts() as error:  # it is listed all the same, and says more when it is called
                    command = TyperGroup(name=name, help=f"cannot be used: {sentence_of(error)}")
                listed.setdefault(owned.qualified if name in listed else name, command)
        return {name: command for name, command in listed.items() if not command.hidden}


def _global_options_first(args: Sequence[str]) -> list[str]:
    """Move ``--plugin FILE`` and ``FLAGS_EVERYWHERE`` to the front, from wherever they stand before a ``--``."""
    first: list[str] = []
    rest: list[str] = []
    left: Iterator[str] = iter(args)
    for argument in left:
        if argument == "--":
            rest += [argument, *left]
        elif argument in FLAGS_EVERYWHERE or argument.startswith("--plugin="):
            first.append(argument)
        elif argument == "--plugin":
            file = next(left, None)
            if file is None:
                return [*first, argument]  # which says that it lacks its FILE
            first += [argument, file]
        else:
            rest.append(argument)
    return first + rest


def _add_options(command: Any, options: Sequence[Any]) -> None:
    """Let a command, and those below it, show options that are the program's, so that its help tells of them."""
    taken = {name for option in command.params for name in option.opts}
    command.params += [option for option in options if not taken & set(option.opts)]
    for below in getattr(command, "commands", {}).values():
        _add_options(below, options)


def _loaded(point: EntryPoint) -> Any:
    """Return the command behind an entry point.

    Raises:
        PluginError: It cannot be loaded.
    """
    try:
        app = point.load()
        if not isinstance(app, typer.Typer):
            raise PluginError(f"{point.value} is not a typer.Typer")
        return _runnable(app, point.name)
    except all_but_interrupts() as error:
        cause = sentence_of(error, point.module)
        raise PluginError(f"command {point.name} of {_origin(point)} cannot be used: {cause}") from error


def _registered(ctx: Any, name: str) -> Any:
    """Return the command that a plugin registered under a name; None if none did.

    Raises:
        UsageError: Several did.
    """
    session: Session = ctx.obj
    registry = session.registry()
    try:
        owned = registry.commands.find(name)
    except UnknownNameError:
        return None
    ctx.meta[FROM_PLUGIN] = f"{owned.name} of {owned.plugin}", registry.loaded[owned.plugin]
    try:
        return _runnable(owned.object.app, name)
    except all_but_interrupts() as error:
        cause = sentence_of(error, registry.loaded[owned.plugin])
        raise PluginError(f"command {owned.name} of {owned.plugin} cannot be used: {cause}") from error


def _runnable(app: typer.Typer, name: str) -> Any:
    command = typer.main.get_command(app)
    command.name = name
    return command


def _origin(point: EntryPoint) -> str:
    return distribution_of(point) or point.value


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
