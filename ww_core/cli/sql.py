"""``ww sql``: a question in SQL."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ww_core.command import Output, options, say, store_location
from ww_core.command.examples import examples
from ww_core.errors import UsageError

if TYPE_CHECKING:
    from ww_core.domain.sql_answer import SqlAnswer, SqlValue

STDIN = "-"

MOST_READ = 4_000_000
"""Bytes that are read of stdin: more than any query may have."""


@examples("ww sql", "ww sql 'SELECT model, version FROM v_models'")
def sql(
    query: Annotated[
        str | None,
        typer.Argument(
            metavar="[QUERY]",
            help="One SELECT; - reads it from stdin. Without it, the views are listed.",
            callback=options.not_empty,
            show_default=False,
        ),
    ] = None,
    seconds: Annotated[float, typer.Option("--seconds", metavar="N", help="Time limit in seconds.")] = 10.0,
    rows: Annotated[int, typer.Option("--rows", metavar="N", help="How many rows to print at most.")] = 10_000,
    store: options.Store = None,
    as_json: options.AsJson = False,
    as_csv: options.AsCsv = False,
    raw: options.Raw = False,
) -> None:
    """Answer a read-only question in SQL.

    The dialect is that of the store's database, SQLite or PostgreSQL. Nothing in the store changes. A note says if
    there are more rows than --rows.
    """
    output = Output(as_json=as_json, as_csv=as_csv, raw=raw)
    if query is None:
        _print_views(output)
        return
    from ww_core.use_cases.sql import sql as ask

    text = _read() if query == STDIN else query
    answer = ask(text, store=store_location(store), seconds=seconds, rows=rows)
    _print(answer, output)
    if answer.is_cut and output.format != "json":  # which says so itself
        say(f"there are more rows: these are the first {rows}, --rows N prints more")


def _read() -> str:
    try:
        return sys.stdin.buffer.read(MOST_READ).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UsageError("the query on stdin is not UTF-8 text") from None


def _print(answer: SqlAnswer, output: Output) -> None:
    if output.format == "json":
        output.json(answer.to_dict())
    elif output.format == "csv":
        output.csv(_rows(answer.columns, answer, lambda value: value.hex() if isinstance(value, bytes) else value))
    else:
        output.table(_rows(answer.columns, answer, _cell))
    if output.format != "json" and not answer.rows:
        say("no row")


def _rows(columns: Sequence[str], answer: SqlAnswer, shown: Callable[[SqlValue], Any]) -> list[dict[str, Any]]:
    return [dict(zip(columns, map(shown, row), strict=True)) for row in answer.rows]


def _cell(value: SqlValue) -> SqlValue:
    if isinstance(value, bytes):
        return f"<{len(value)} bytes>"
    return str(value).lower() if isinstance(value, bool) else value


def _print_views(output: Output) -> None:
    from ww_core.store.views import VIEWS

    if output.format == "json":
        output.json([{**view._asdict(), "columns": list(view.columns)} for view in VIEWS])
    elif output.format == "csv":
        output.csv([{**view._asdict(), "columns": ", ".join(view.columns)} for view in VIEWS])
    else:
        for view in VIEWS:
            output.line(f"{view.name}  a row for each {view.row}; ask it {view.question}")
            output.line(f"  {', '.join(view.columns)}")
