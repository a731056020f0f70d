"""Where a command's data goes, and what of it stdout can show."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from ww_core.command.lines import INDENT, NO_BREAK, broken
from ww_core.command.table import Table
from ww_core.domain.csv_text import CsvLines, cell_of_value, raw_cell
from ww_core.domain.text import json_escaped, printable
from ww_core.errors import OutputError, UsageError

Format = Literal["table", "json", "csv"]


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
        _write(broken(printable(text), terminal_width()))

    def items(self, head: str, items: Sequence[str]) -> None:
        """Print a line as ``mean: alpha 5.684, D 0.1334``; a terminal that is too narrow breaks it between items."""
        room = (terminal_width() or 0) - len(INDENT) - 1
        told = [item if len(item) > room else item.replace(" ", NO_BREAK) for item in map(printable, items)]
        _write(broken(f"{printable(head)}: {', '.join(told)}", terminal_width()))

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
            self.line(f"(no room for {', '.join(left_out)}: use a wider terminal, --csv or --json)")


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


def _write(text: str) -> None:
    with explained():
        sys.stdout.write(text)


@contextlib.contextmanager
def explained() -> Iterator[None]:
    """Say why stdout cannot be written, where it cannot.

    Raises:
        OutputClosed: Nobody reads it any more.
        OutputError: It is full, or gone.
    """
    try:
        yield
    except BrokenPipeError:
        raise OutputClosed from None
    except OSError as error:
        raise OutputError(f"the output could not be written: {error.strerror or error}") from None


class OutputClosed(Exception):  # noqa: N818 - no error: who reads the output has seen enough
    """Nobody reads the output any more."""
