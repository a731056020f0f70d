"""Public: what a command needs, ww's own and those of command plugins.

A command plugin is a ``typer.Typer`` that hook ``ww_register_commands`` returns or an entry point in group
``ww.commands`` names. Its functions parse, make one call and render through an ``Output``; errors of ww's tree become
one sentence and the right exit code by themselves, because the program's error boundary lies around every command.

``ww_core.command.options`` has the options that several commands share, ``ww_core.command.progress`` the observers that
show how far a run is.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shutil
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TextIO

from ww_core.command.table import Marked as Marked  # public here: cells of tables
from ww_core.command.table import Table
from ww_core.command.table import cell as cell
from ww_core.domain.address import has_password, has_scheme, is_of_a_server
from ww_core.domain.csv_text import CsvLines, cell_of_value, raw_cell
from ww_core.domain.text import json_escaped
from ww_core.domain.text import printable as printable  # public here: commands print names of strangers too
from ww_core.errors import OutputError, SourceError, UsageError, WWError
from ww_core.plugins.isolation import DEBUG_VARIABLE
from ww_core.plugins.verbosity import is_quiet, is_verbose, verbosity_kept

if TYPE_CHECKING:
    import typer

    from ww_core.plugins.registry import Registry

INTERRUPTED = 130
TERMINATED = 143

Format = Literal["table", "json", "csv"]

COLOURS = {"warning": "\x1b[33m", "failed": "\x1b[31m", "error": "\x1b[31m"}
"""What a terminal shows the first word of a message in, by that word: yellow and red."""

INDENT = "  "
"""Before what goes on in the next line."""


@dataclass(slots=True)
class Session:
    """What the global options said; a command finds it as ``typer.Context.obj``.

    Attributes:
        own_commands: Names of ww's own commands.
        plugin_files: Files given by ``--plugin``, before or after the command.
        strict_plugins: Whether ``--strict-plugins`` was given.
        verbosity: ``verbose`` or ``quiet``, as was given; empty for neither.
    """

    own_commands: tuple[str, ...] = ()
    plugin_files: tuple[str, ...] = ()
    strict_plugins: bool = False
    verbosity: str = ""
    _registry: Registry | None = field(default=None, repr=False)
    _reported: bool = field(default=False, repr=False)

    def registry(self) -> Registry:
        """Load plugins once, and report what is wrong with them on stderr, once.

        Raises:
            PluginError: A plugin file cannot be used; or something is wrong, and ``--strict-plugins`` was given.
        """
        registry = self.unreported_registry()
        if not self._reported:
            self._reported = True
            for info, problem in registry.problems():
                warn(f"warning: plugin {info.name}: {problem.message}")
                if problem.picture and (is_verbose() or os.environ.get(DEBUG_VARIABLE)):
                    warn_lines(problem.picture)
        return registry

    def unreported_registry(self) -> Registry:
        """Load plugins once; for a command that tells by itself what is wrong with them.

        Raises:
            PluginError: As for ``registry``.
        """
        if self._registry is None:
            from ww_core.plugins.discovery import load_plugins

            begin = time.perf_counter()
            with contextlib.redirect_stdout(sys.stderr):  # what a plugin prints is no data of ours
                self._registry = load_plugins(
                    files=self.plugin_files, strict=self.strict_plugins, own_commands=self.own_commands
                )
            say_more(f"plugins: {len(self._registry.plugins)} in {time.perf_counter() - begin:.2f} s")
        return self._registry


class Output:
    """Where a command's data goes: stdout, as a table, as JSON or as CSV. Messages go to stderr by ``say``."""

    def __init__(self, *, as_json: bool = False, as_csv: bool = False, raw: bool = False) -> None:
        if as_json and as_csv:
            raise UsageError("--json and --csv exclude each other: give one")
        if raw and not as_csv:
            raise UsageError("--raw is for CSV: give --csv too, or leave it out")
        self._cell = raw_cell if raw else cell_of_value
        self.format: Format = "json" if as_json else "csv" if as_csv else "table"

    def json(self, content: Any) -> None:
        """Print one JSON value, as `json_text` writes it; all of it in ASCII where stdout has not every letter."""
        text = json_text(content)
        try:
            if not text.isascii():
                text.encode(sys.stdout.encoding)
        except UnicodeEncodeError:
            text = json.dumps(content, indent=2, allow_nan=False) + "\n"
        _write(text)

    def csv(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Print rows with one header; what is None is an empty field. Without rows there is no line.

        Texts are as `ww_core.domain.csv_text` writes them, unless ``--raw`` was given.
        """
        if not rows:
            return
        headers = list(dict.fromkeys(key for row in rows for key in row))
        text = io.StringIO()
        lines = CsvLines(text.write, self._cell)
        lines.rows([headers])
        lines.rows([row.get(header) for header in headers] for row in rows)
        _write(text.getvalue())

    def line(self, text: str = "") -> None:
        """Print one line of text for people; a terminal that is too narrow breaks it between words."""
        _write(_broken(printable(text), terminal_width()))

    def items(self, head: str, items: Sequence[str]) -> None:
        """Print a line as ``mean: alpha 5.684, D 0.1334``; a terminal that is too narrow breaks it between items."""
        room = (terminal_width() or 0) - len(INDENT) - 1
        told = [item if len(item) > room else item.replace(" ", _NO_BREAK) for item in map(printable, items)]
        _write(_broken(f"{printable(head)}: {', '.join(told)}", terminal_width()))

    def text(self, text: str) -> None:
        """Print a text as it is, as a command to copy; what names of strangers hold must be printable in it already."""
        _write(text)

    def table(
        self, rows: Sequence[Mapping[str, Any]], *, optional: Sequence[str] = (), if_any: Sequence[str] = ()
    ) -> None:
        """Print rows as a table: on a terminal fitted to its width, anywhere else never cut, wrapped or coloured.

        Args:
            rows: One mapping per row, by header.
            optional: Headers that a terminal too narrow may leave out, the first one first; it is told what was.
            if_any: Headers that are left out where every row has nothing there, or the whole number 0.
        """
        if not rows:
            return
        table = Table.of(rows, [header for header in if_any if not any(_is_there(row.get(header)) for row in rows)])
        room = terminal_width()
        if room is None:
            for line in table.lines():
                _write(line + "\n")
            return
        left_out = table.beyond(room, optional)
        table.without(left_out).print_fitted(room)
        if left_out:
            self.line(f"(no room for {', '.join(left_out)}: see a wider terminal, --csv or --json)")


def _is_there(value: object) -> bool:
    return isinstance(value, float) or bool(value)


def json_text(content: Any) -> str:
    """Return what ``--json`` prints of one JSON value: full precision, no NaN; what cannot be printed is escaped."""
    pieces = io.StringIO()  # json.dumps would hold millions of them in a list
    json.dump(content, pieces, indent=2, ensure_ascii=False, allow_nan=False)
    pieces.write("\n")
    text = json_escaped(pieces.getvalue())
    pieces.close()
    return text


def terminal_width() -> int | None:
    """Return the columns of the terminal that stdout leads to; None if it leads elsewhere."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


_NO_BREAK = "\0"  # no text that is printed has it
_TO_COPY = re.compile(r"`[^`]*`|pip install \S+")


def _broken(text: str, room: int | None) -> str:
    """Return a line, or the lines that have room for it: broken between words, and a command to copy stays whole."""
    if room is None or len(text) <= room:
        return text.replace(_NO_BREAK, " ") + "\n"
    import textwrap

    whole = _TO_COPY.sub(lambda command: command[0].replace(" ", _NO_BREAK), text)
    start = text[: len(text) - len(text.lstrip(" "))]
    lines = textwrap.wrap(
        whole,
        room,
        subsequent_indent=start + INDENT,
        break_long_words=False,
        break_on_hyphens=False,
        replace_whitespace=False,
        expand_tabs=False,
    )
    return "".join(line.replace(_NO_BREAK, " ") + "\n" for line in lines)


def _write(text: str) -> None:
    with _explained():
        sys.stdout.write(text)


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise OutputClosed from None
    except OSError as error:
        raise OutputError(f"the output could not be written: {error.strerror or error}") from None


class OutputClosed(Exception):  # noqa: N818 - no error: who reads the output has seen enough
    """Nobody reads the output any more."""


def arrow() -> str:
    """Return what points from an old value to a new one, as far as stdout can show it."""
    return "→" if shows("→") else "->"


def shows(text: str) -> bool:
    """Tell whether stdout has every letter of a text."""
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def say(text: str) -> None:
    """Print a note, one line on stderr, unless ``--quiet`` was given."""
    if not is_quiet():
        warn(text)


def say_more(text: str) -> None:
    """Print one line on stderr if ``--verbose`` was given."""
    if is_verbose():
        warn(text)


def warn(text: str) -> None:
    """Print a line on stderr whatever was given: a warning, a failure, an error; a narrow terminal breaks it.

    It is printed if it can be written there: the exit code does not depend on it.
    """
    line = _broken(printable(text), _stderr_width())
    word, colon, rest = line.partition(":")
    if colon and word in COLOURS and _has_colours(sys.stderr):
        line = f"{COLOURS[word]}{word}\x1b[0m:{rest}"
    with _unheard():
        sys.stderr.write(line)


def _stderr_width() -> int | None:
    """Return the columns of the terminal that stderr leads to; None if it leads elsewhere or that has no size."""
    try:
        own = os.get_terminal_size(sys.stderr.fileno())
    except (OSError, ValueError):  # no terminal; or none of the system's files
        return None
    return shutil.get_terminal_size(fallback=own).columns or None


def _has_colours(stream: TextIO) -> bool:
    dumb = os.environ.get("TERM", "").lower() in {"dumb", "unknown"}
    return stream.isatty() and not dumb and not os.environ.get("NO_COLOR")


@contextlib.contextmanager
def _unheard() -> Iterator[None]:
    try:
        yield
    except OSError:
        _give_up(sys.stderr)


def warn_lines(text: str) -> None:
    """Print a text of several lines on stderr, as ``warn`` does."""
    for line in text.splitlines():
        warn(line)


def run_app(app: typer.Typer, arguments: Sequence[str] | None = None, *, name: str = "ww") -> int:
    """Run a Typer app inside the error boundary, as ww runs a command, and return its exit code.

    Args:
        app: The app.
        arguments: Its arguments; None for those of the process.
        name: What the usage line calls it.
    """
    import typer

    def run() -> int:
        _refuse_misplaced_addresses(sys.argv[1:] if arguments is None else arguments)
        try:
            code = app(arguments, standalone_mode=False, prog_name=name)
        except typer.Abort as error:
            raise KeyboardInterrupt(*error.args) from None  # with what a command says of its interruption
        except typer.TyperException as error:
            show: Callable[[], None] | None = getattr(error, "show", None)
            if show is None:
                raise
            from ww_core.loading.names import shown_address  # what most runs have no need of

            for argument in sys.argv[1:] if arguments is None else arguments:
                if has_scheme(argument):  # as the address of a store that lacks its --store
                    error.message = error.message.replace(argument, shown_address(argument))
            with _unheard():
                show()  # wrong usage: typer has the sentence, the usage line and the code
            return int(getattr(error, "exit_code", UsageError.exit_code))
        if code == INTERRUPTED:
            raise KeyboardInterrupt
        return code if isinstance(code, int) else 0

    begin = time.perf_counter()
    with verbosity_kept():
        code = run_guarded(run)
        say_more(f"{name}: exit code {code} after {time.perf_counter() - begin:.2f} s")
    return code


def _refuse_misplaced_addresses(arguments: Sequence[str]) -> None:
    """Refuse an address that may hold a password where no message expects one, and would repeat it.

    Raises:
        UsageError: One of a database stands elsewhere than after ``--store``, or one with a password after an option.
    """
    for before, argument in zip(["", *arguments], arguments, strict=False):
        option, _, inner = argument.partition("=") if argument.startswith("--") else (before, "", argument)
        is_value = option.startswith("-") and option != "--"
        parts = [inner, *inner.replace("=", ",").split(",")]  # of a list, or of KEY=VALUE
        if option != "--store" and any(is_of_a_server(own) or (is_value and has_password(own)) for own in parts):
            place = f"after {option}" if is_value else "among the arguments"
            raise UsageError(
                f"an address stands {place}, where none is expected: that of the store belongs after --store "
                "(a file of such a name is ./NAME)"
            )


def run_guarded(main: Callable[[], int | None]) -> int:
    """Run a program's main function inside the error boundary, and return its exit code.

    Errors of ww's tree become one sentence on stderr and their exit code; an unknown error keeps its traceback. Where
    ``WW_DEBUG`` is set, errors of ww's tree keep theirs too, unless they tell of a plugin, whose traceback was shown.
    """
    sys.stdout = sys.stdout or _nowhere()
    sys.stderr = sys.stderr or _nowhere()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        code = main() or 0
        with _explained():
            sys.stdout.flush()
    except WWError as error:
        if isinstance(error, OutputError):
            _give_up(sys.stdout)
        if os.environ.get(DEBUG_VARIABLE) and not error.blames_plugin:
            warn_lines("".join(traceback.format_exception(error)))
            return error.exit_code
        warn(f"error: {error}")
        for note in getattr(error, "__notes__", ()):
            warn_lines(note)
        return error.exit_code
    except KeyboardInterrupt as error:
        warn(f"interrupted: {str(error) or 'what is stored is whole, and the same command goes on from there'}")
        return INTERRUPTED
    except OutputClosed:
        _give_up(sys.stdout)
        return 0
    except SystemExit:
        raise
    except BaseException as error:  # noqa: BLE001 - a fault of ours, shown whole; Python's own code would mean a broken rule
        if isinstance(error, FileNotFoundError) and not _stands_somewhere():
            warn("error: the current folder is not there any more: change to one that is")
            return SourceError.exit_code
        warn_lines(traceback.format_exc())
        return WWError.exit_code
    return code


def _stands_somewhere() -> bool:
    try:
        Path.cwd()
    except FileNotFoundError:
        return False
    return True


def _nowhere() -> TextIO:
    """What stands for a stream that was closed by whoever started the program; open as long as it runs."""
    return Path(os.devnull).open("w", encoding="utf-8")


def _give_up(stream: TextIO) -> None:
    """Let a stream lead nowhere: the interpreter's own flush at exit must not complain again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def store_location(option: str | None) -> str | Path:
    """Return where the store is: the option, else ``WW_STORE``, else one file in the user's data directory.

    Raises:
        UsageError: The option is empty.
    """
    if option == "":
        raise UsageError("--store is empty: name a file or a URL, or leave it out")
    if option is not None:
        return option
    from ww_core.store.default_location import default_location

    return default_location()
