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
import shutil
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TextIO

from ww_core.domain.address import has_password, has_scheme, is_of_a_server
from ww_core.domain.csv_text import CsvLines, cell_of_value, raw_cell
from ww_core.domain.text import escaped, json_escaped
from ww_core.domain.text import printable as printable  # public here: commands print names of strangers too
from ww_core.errors import OutputError, UsageError, WWError
from ww_core.plugins.isolation import DEBUG_VARIABLE

if TYPE_CHECKING:
    import typer

    from ww_core.plugins.registry import Registry

INTERRUPTED = 130
TERMINATED = 143

Format = Literal["table", "json", "csv"]

GAP = 2
"""Blanks between columns."""

FOLDED = 24
"""Characters a text column keeps at least, before it folds."""


@dataclass(slots=True)
class Session:
    """What the global options said; a command finds it as ``typer.Context.obj``.

    Attributes:
        own_commands: Names of ww's own commands.
        plugin_files: Files given by ``--plugin``, before or after the command.
        strict_plugins: Whether ``--strict-plugins`` was given.
    """

    own_commands: tuple[str, ...] = ()
    plugin_files: tuple[str, ...] = ()
    strict_plugins: bool = False
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
                say(f"warning: plugin {info.name}: {problem.message}")
                if problem.picture and os.environ.get(DEBUG_VARIABLE):
                    say_lines(problem.picture)
        return registry

    def unreported_registry(self) -> Registry:
        """Load plugins once; for a command that tells by itself what is wrong with them.

        Raises:
            PluginError: As for ``registry``.
        """
        if self._registry is None:
            from ww_core.plugins.discovery import load_plugins

            with contextlib.redirect_stdout(sys.stderr):  # what a plugin prints is no data of ours
                self._registry = load_plugins(
                    files=self.plugin_files, strict=self.strict_plugins, own_commands=self.own_commands
                )
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
        """Print one JSON value: full precision, no NaN; of its texts what cannot be printed is escaped."""
        pieces = io.StringIO()  # json.dumps would hold millions of them in a list
        json.dump(content, pieces, indent=2, ensure_ascii=False, allow_nan=False)
        pieces.write("\n")
        text = json_escaped(pieces.getvalue())
        pieces.close()
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
        """Print one line of text for people."""
        _write(printable(text) + "\n")

    def text(self, text: str) -> None:
        """Print a text of several lines as it is; what names of strangers hold must be printable in it already."""
        _write(text)

    def table(
        self, rows: Sequence[Mapping[str, Any]], *, optional: Sequence[str] = (), if_any: Sequence[str] = ()
    ) -> None:
        """Print rows as a table: on a terminal fitted to its width, anywhere else never cut, wrapped or coloured.

        Args:
            rows: One mapping per row, by header.
            optional: Headers that a terminal too narrow may leave out, the first one first; it is told what was.
            if_any: Headers that are left out where every row has nothing there, or 0.
        """
        if not rows:
            return
        unused = {header for header in if_any if not any(row.get(header) for row in rows)}
        headers = [header for header in dict.fromkeys(key for row in rows for key in row) if header not in unused]
        cells = {escaped(header): [cell(row.get(header)) for row in rows] for header in headers}
        widths = {header: max(map(len, [header, *column])) for header, column in cells.items()}
        right = {escaped(h) for h in headers if all(isinstance(row.get(h), (int, float, type(None))) for row in rows)}
        if not sys.stdout.isatty():
            for line in (cells, *zip(*cells.values(), strict=True)):
                padded = [
                    text.rjust(widths[header]) if header in right else text.ljust(widths[header])
                    for header, text in zip(cells, line, strict=True)
                ]
                _write("  ".join(padded).rstrip() + "\n")
            return
        room = shutil.get_terminal_size().columns
        left_out = _too_much(widths, room, optional)
        kept = {header: column for header, column in cells.items() if header not in left_out}
        _print_fitted(kept, widths, right, room)
        if left_out:
            self.line(f"(no room for {', '.join(left_out)}: see a wider terminal, --csv or --json)")


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


def _too_much(widths: Mapping[str, int], room: int, optional: Sequence[str]) -> list[str]:
    """Choose the headers to leave out, so that the rest has room, as far as they are optional."""
    left_out: list[str] = []
    for header in (header for header in optional if header in widths):
        kept = [width for other, width in widths.items() if other not in left_out]
        if sum(kept) + GAP * (len(kept) - 1) <= room:
            break
        left_out.append(header)
    return left_out


def _print_fitted(cells: Mapping[str, Sequence[str]], widths: Mapping[str, int], right: set[str], room: int) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    # Numbers stay whole. The longest text folds first, and the others only where that is not enough.
    texts = sorted((header for header in cells if header not in right), key=lambda header: -widths[header])
    least = {header: widths[header] for header in cells}
    total = sum(least.values()) + GAP * (len(cells) - 1)
    for header in texts:
        if total > room:
            shorter = max(min(widths[header], FOLDED), widths[header] - (total - room))
            total -= widths[header] - shorter
            least[header] = shorter
    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="bold")
    for header in cells:
        side = "right" if header in right else "left"
        table.add_column(Text(header), justify=side, overflow="fold", width=least[header])  # type: ignore[arg-type]
    for line in zip(*cells.values(), strict=True):
        table.add_row(*map(Text, line))  # Text, so that a name with brackets is no markup
    # On a terminal that has no room even so, lines wrap: better than a number that is cut.
    Console(width=max(room, total)).print(table)


def cell(value: Any) -> str:
    """Return a value as people read it in a table: four digits, yes for true, nothing for none."""
    if value is None or value is False:
        return ""
    if value is True:
        return "yes"
    if isinstance(value, float):
        return f"{value:.4g}"
    return escaped(str(value))


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
    """Print one line on stderr, if it can be written there: the exit code does not depend on it."""
    with _unheard():
        sys.stderr.write(printable(text) + "\n")


@contextlib.contextmanager
def _unheard() -> Iterator[None]:
    try:
        yield
    except OSError:
        _give_up(sys.stderr)


def say_lines(text: str) -> None:
    """Print a text of several lines on stderr."""
    for line in text.splitlines():
        say(line)


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

    return run_guarded(run)


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
            say_lines("".join(traceback.format_exception(error)))
            return error.exit_code
        say(f"error: {error}")
        for note in getattr(error, "__notes__", ()):
            say_lines(note)
        return error.exit_code
    except KeyboardInterrupt as error:
        say(f"interrupted: {str(error) or 'what is stored is whole, and the same command goes on from there'}")
        return INTERRUPTED
    except OutputClosed:
        _give_up(sys.stdout)
        return 0
    except SystemExit:
        raise
    except BaseException:  # noqa: BLE001 - a fault of ours, shown whole; Python's own code would mean a broken rule
        say_lines(traceback.format_exc())
        return WWError.exit_code
    return code


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
    from ww_core.store.store import default_location

    return default_location()
