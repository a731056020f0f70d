"""Public: how commands list what there is: a line for each thing, or all that is known of one that is named."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ww_core.command import Output, cell, terminal_width
from ww_core.command.table import GAP
from ww_core.contracts.profile import Profile

if TYPE_CHECKING:
    from ww_core.plugins.registry import Names, Owned

Rows = Sequence[Mapping[str, Any]]
"""One mapping per thing, with all that is known of it: its name first, under what kind of thing it is."""

LEAST_TEXT = 12
"""Characters that a line keeps for its text, on a narrow terminal, in place of what else it tells."""

TEXTS = ("doc", "description", "docstring")
"""Keys of sentences on a thing, the longest last."""


def print_things(output: Output, names: Names[Any], rows: Rows, name: str | None, *, short: Sequence[str]) -> None:
    """List what plugins gave of one kind, or print all of what ``name`` means.

    Args:
        output: Where to.
        names: The things by their names.
        rows: A row per thing.
        name: The one that was asked for; None for all.
        short: As for `print_listing`.

    Raises:
        UnknownNameError: Nothing carries the name.
        UsageError: Several things do.
    """
    if name is None:
        print_listing(output, rows, short=short, more=f"{names.where} NAME")
        return
    owned = names.find(without_options(name))
    shown = names.display(owned, owned.name)
    print_in_full(output, [{**row, **known_of(owned)} for row in rows if next(iter(row.values())) == shown])


def without_options(name: str) -> str:
    """Return the name of a thing that may stand there with options, as tables show ``fft[n=32]``."""
    return name.partition("[")[0] if name.endswith("]") else name


def known_of(owned: Owned[Any]) -> dict[str, Any]:
    """Return what the code itself tells of a thing: its docstring, where it stands, types of its parameters.

    Of what is no code, as a profile, it is nothing.
    """
    thing = owned.object
    if isinstance(thing, Profile):  # which is data
        return {}
    code = getattr(thing, "function", thing if isinstance(thing, type) else type(thing))
    parameters = thing.parameters() if callable(getattr(thing, "parameters", None)) else thing.parameters
    return {
        "docstring": inspect.cleandoc(code.__doc__ or ""),
        "source": f"{code.__module__}.{code.__qualname__}",
        "parameter_types": {parameter.name: parameter.type_name for parameter in parameters},
    }


def print_listing(output: Output, rows: Rows, *, short: Sequence[str], more: str, notes: Sequence[str] = ()) -> None:
    """Print a line for each thing; JSON and CSV have every field.

    Args:
        output: Where to.
        rows: A row per thing.
        short: What a line tells after the name, by keys of the rows. The last is a text: a terminal cuts it to its
            width, between words.
        more: The command that prints all of one thing.
        notes: Lines below the table.
    """
    if output.format != "table":
        print_data(output, rows)
        return
    if not rows:
        return
    keys = [next(iter(rows[0])), *short]
    table = [keys, *([cell(row[key]) for key in keys] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    kept = [place for place in range(len(keys)) if place == 0 or any(line[place] for line in table[1:])]
    width = terminal_width()
    while width and len(kept) > 2 and sum(widths[place] + GAP for place in kept[:-1]) > width - LEAST_TEXT:
        del kept[-2]  # what a line tells beside the name goes first, its text stays
    for line in table:
        *cells, text = (line[place].ljust(widths[place]) for place in kept)
        begin = "".join(each + " " * GAP for each in cells)
        output.line((begin + _cut(text.rstrip(), width - len(begin) if width else None)).rstrip())
    output.line()
    for note in notes:
        print_wrapped(output, note, "")
    for command, lacking in _to_install(rows).items():
        print_wrapped(output, f"{command} installs what {', '.join(lacking)} lack{'s' * (len(lacking) == 1)}", "")
    output.line(f"`{more}` shows all about one")


def print_in_full(output: Output, rows: Rows) -> None:
    """Print all fields of one thing; of several that belong together, what they share is said once."""
    if output.format != "table":
        print_data(output, rows)
        return
    first, *others = rows
    title = next(iter(first))
    shared = {key: value for key, value in first.items() if all(row[key] == value for row in others)}
    if others:
        _print_fields(output, shared)
    for row in rows:
        if others:
            output.line()
        output.line(str(row[title]))
        _print_fields(output, {key: row[key] for key in row if key != title and (not others or key not in shared)})


def _cut(text: str, room: int | None) -> str:
    """Return a text that fits so many characters, cut between words with ``...`` where it is longer; None for any."""
    if room is None or len(text) <= room:
        return text
    whole = text[: max(room - 3, 0) + 1].rpartition(" ")[0]
    return (whole or text[: max(room - 3, 0)]).rstrip(" ,;:.") + "..."


def print_data(output: Output, rows: Rows) -> None:
    """Print rows with all their fields, as JSON or CSV."""
    if output.format == "json":
        output.json(list(rows))
    else:
        output.csv([{key: _flat(value) for key, value in row.items()} for row in rows])


def _flat(value: Any) -> Any:
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={item}" for key, item in value.items())
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else value


def _print_fields(output: Output, row: Mapping[str, Any]) -> None:
    texts = [row[key] for key in TEXTS if row.get(key)]
    for place, text in enumerate(texts):
        if not any(longer.startswith(text) for longer in texts[place + 1 :]):
            _print_paragraphs(output, text)
    types = row.get("parameter_types") or {}
    fields = {
        key: _lines(value, types if key in {"parameters", "options"} else {})
        for key, value in row.items()
        if key not in {*TEXTS, "parameter_types"} and value not in ("", None, False) and value != []
    }
    room = max(map(len, fields), default=0)
    for key, lines in fields.items():
        begin = f"  {key.replace('_', ' ').ljust(room)}  "
        for line in lines:
            print_wrapped(output, line, begin)
            begin = " " * len(begin)


def _lines(value: Any, types: Mapping[str, str]) -> list[str]:
    if isinstance(value, Mapping):
        return [f"{key}={_said(item)}" + (f"  ({types[key]})" if key in types else "") for key, item in value.items()]
    return [", ".join(map(_said, value)) if isinstance(value, (list, tuple)) else _said(value)]


def _said(value: Any) -> str:
    return {None: "none", True: "yes", False: "no"}[value] if value is None or isinstance(value, bool) else str(value)


def _print_paragraphs(output: Output, text: str) -> None:
    for number, paragraph in enumerate(text.split("\n\n")):
        if number:
            output.line()
        lines = paragraph.splitlines()
        if not any(line.startswith(" ") for line in lines):  # else it is a list, or a formula on a line of its own
            lines = [" ".join(lines)]
        for line in lines:
            indent = len(line) - len(line.lstrip())
            print_wrapped(output, line.strip(), "  " + " " * indent, hanging=4 if indent else 0)
    output.line()


def print_wrapped(output: Output, text: str, begin: str, *, hanging: int = 0) -> None:
    """Print a text after ``begin``; a terminal has it wrapped between words, and lines after the first indented."""
    width = terminal_width()
    if width is None:
        output.line(begin + text)
        return
    options: dict[str, Any] = {"break_long_words": False, "break_on_hyphens": False}
    indent = " " * (len(begin) + hanging)
    for line in textwrap.wrap(text, max(width, 20), initial_indent=begin, subsequent_indent=indent, **options):
        output.line(line)


def _to_install(rows: Iterable[Mapping[str, Any]]) -> dict[str, list[str]]:
    lacking: dict[str, list[str]] = {}
    for row in rows:
        if command := row.get("install"):
            lacking.setdefault(command, []).append(str(next(iter(row.values()))))
    return lacking
