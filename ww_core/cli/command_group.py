"""The group of ww's commands: its own, those of plugins, and the global options that stand after them too."""

from __future__ import annotations

import contextlib
import traceback
from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperGroup

from ww_core.command import OutputClosed, Session
from ww_core.command.examples import add_examples
from ww_core.command.output import explained
from ww_core.errors import CommandFailedError, PluginError, UnknownNameError, WWError, near_names
from ww_core.plugins.command_summary import summary_of
from ww_core.plugins.entry_points import command_entry_points, distribution_of
from ww_core.plugins.isolation import all_but_interrupts, sentence_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from importlib.metadata import EntryPoint

FROM_PLUGIN = "ww.from_plugin"
"""Where a context keeps whose command runs: what people call it, and the plugin or the name of its module."""

EVERYWHERE = ("ww_plugin_files", "ww_strict_plugins", "ww_verbose", "ww_quiet")
"""Parameters of the program whose options stand after every command too: no command has a parameter of such a name."""

FLAGS_EVERYWHERE = frozenset({"--strict-plugins", "-v", "--verbose", "-q", "--quiet"})
"""Those of their options that take no value; the other is ``--plugin FILE``."""


MEANT = {
    **dict.fromkeys(("list", "ls", "model", "models", "versions"), "show"),
    **dict.fromkeys(("info", "inspect", "layers"), "describe"),
    **dict.fromkeys(("compare", "cmp"), "diff"),
    **dict.fromkeys(("delete", "remove", "rm"), "forget"),
    "help": "--help",
    "version": "--version",
}
"""What newcomers type for a command that has another name; it is answered only where no plugin has such a command."""


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
        with _echo_explained():
            return super().parse_args(ctx, _global_options_first(args, self))

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

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command that the arguments name; of an unknown one say which may be meant, plugins' too."""
        self.suggest_commands = False  # typer's suggestions know no command of a plugin, nor what newcomers mean
        try:
            return super().resolve_command(ctx, args)
        except typer.TyperException as error:
            word = args[0]
            if near := [MEANT[word]] if word in MEANT else near_names(word, self._listed(ctx)):
                error.message = f"{error.message.rstrip('.')}. Did you mean {', '.join(map(repr, near))}?"
            raise

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
            with _echo_explained():
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


@contextlib.contextmanager
def _echo_explained() -> Iterator[None]:
    """Say why stdout cannot be written where it is typer that writes, as help: typer would show a traceback.

    Raises:
        OutputClosed: Nobody reads it any more.
        OutputError: It is full, or gone.
    """
    try:
        yield
    except OSError as error:
        if all(frame.f_code is not typer.echo.__code__ for frame, _ in traceback.walk_tb(error.__traceback__)):
            raise
        with explained():
            raise


def _global_options_first(args: Sequence[str], program: Any) -> list[str]:
    """Move ``--plugin FILE`` and ``FLAGS_EVERYWHERE`` to the front, from wherever they stand before a ``--``.

    What follows an option that takes a value is its value, whatever it looks like.
    """
    first: list[str] = []
    rest: list[str] = []
    left: Iterator[str] = iter(args)
    for argument in left:
        is_flag = argument in FLAGS_EVERYWHERE or argument.startswith("--plugin=")
        if argument == "--":
            rest += [argument, *left]
        elif not (is_flag or argument == "--plugin") or _lacks_its_value(rest, program):
            rest.append(argument)
        elif is_flag:
            first.append(argument)
        else:
            file = next(left, None)
            if file is None:
                return [*first, argument]  # which says that it lacks its FILE
            first += [argument, file]
    return first + rest


def _lacks_its_value(args: Sequence[str], program: Any) -> bool:
    """Tell whether arguments end with an option of their command that takes a value.

    A command that is known only once plugins are loaded is not looked for: what is moved says how to load them.
    """
    if not args or not args[-1].startswith("-"):
        return False
    command = program
    for name in args:
        command = _command_below(command, name) or command
    return any(args[-1] in option.opts and not (option.is_flag or option.count) for option in command.params)


def _command_below(command: Any, name: str) -> Any:
    point = command_entry_points().get(name) if isinstance(command, CommandGroup) else None
    found = getattr(command, "commands", {}).get(name)
    if found is None and point:
        with contextlib.suppress(PluginError):  # which is told when the command is to run
            found = _loaded(point)
    return found


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
