"""Rows of values as CSV, JSON and Parquet, written batch by batch, so that memory does not grow with them."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ww_core.errors import MissingExtraError

Batches = Iterator[Sequence[Sequence[Any]]]

SUFFIXES = (".csv", ".json", ".parquet")
"""What names of files end in, each in its own form."""

ROW_GROUP = 100_000
"""Rows of a group of a Parquet file, all of which are in memory at a time."""

_MAY_BE_RUN = re.compile(r"[=+\-@\t\r]")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def write_csv(write: Callable[[str], object], columns: Sequence[str], batches: Batches) -> int:
    """Write CSV with a header, and return how many rows it has.

    What is empty is NULL. A text that a spreadsheet would run as a formula, as it begins with ``=``, ``+``, ``-``,
    ``@``, a tab or a return, gets an apostrophe before it, unless it is a plain number: names come from strangers.

    Args:
        write: Takes a piece of text.
        columns: Names of the columns.
        batches: The rows.
    """
    lines = csv.writer(_Lines(write), lineterminator="\r\n")  # so that a return in a text is quoted too
    lines.writerow(columns)
    rows = 0
    for batch in batches:
        lines.writerows([[_inert(field) for field in row] for row in batch])
        rows += len(batch)
    return rows


class _Lines:
    """A file as the csv module writes to it, line by line; they end as all text of ww does."""

    def __init__(self, write: Callable[[str], object]) -> None:
        self._write = write

    def write(self, line: str) -> None:
        self._write(line.removesuffix("\r\n") + "\n")


def _inert(field: Any) -> Any:
    if type(field) is str and _MAY_BE_RUN.match(field) and not _NUMBER.fullmatch(field):
        return f"'{field}"
    return field


def write_json(write: Callable[[str], object], columns: Sequence[str], batches: Batches) -> int:
    """Write a list of JSON objects, one on each line, and return how many these are. Arguments as of `write_csv`."""
    rows = 0
    for batch in batches:
        lines = [_encode(dict(zip(columns, row, strict=True))) for row in batch]
        write(("[\n" if rows == 0 else ",\n") + ",\n".join(lines) if lines else "")
        rows += len(lines)
    write("\n]\n" if rows else "[]\n")
    return rows


_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode


def check_parquet() -> None:
    """Raise before anything is read if no Parquet can be written.

    Raises:
        MissingExtraError: pyarrow is not installed.
    """
    try:
        import pyarrow.parquet  # noqa: F401 - whether it is there
    except ImportError:
        raise MissingExtraError("pyarrow is not installed: pip install 'ww-core[parquet]'") from None


def write_parquet(path: Path, types: Mapping[str, type], batches: Batches) -> int:
    """Write a Parquet file, and return how many rows it has.

    Args:
        path: The file.
        types: Types of the columns by name: ``str``, ``int`` or ``float``.
        batches: The rows.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds = {str: pa.string(), int: pa.int64(), float: pa.float64()}
    schema = pa.schema([(name, kinds[kind]) for name, kind in types.items()])
    rows = 0
    with pq.ParquetWriter(path, schema) as file:
        for group in _groups(batches):
            columns = zip(zip(*group, strict=True), schema, strict=True)
            arrays = [pa.array(fields, column.type) for fields, column in columns]
            file.write_table(pa.Table.from_arrays(arrays, schema=schema))
            rows += len(group)
    return rows


def _groups(batches: Batches) -> Iterator[list[Sequence[Any]]]:
    group: list[Sequence[Any]] = []
    for batch in batches:
        group += batch
        if len(group) >= ROW_GROUP:
            yield group
            group = []
    if group:
        yield group
