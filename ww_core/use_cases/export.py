"""What is stored, written out: values as a table for people and programs, or everything as a folder for a store."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, get_args

from ww_core.domain.csv_text import cell_of_value, raw_cell
from ww_core.domain.exchange import VALUE_COLUMNS, TableExport
from ww_core.domain.name import texts_of
from ww_core.domain.report import RowScope
from ww_core.errors import UnknownNameError, UsageError
from ww_core.store.new_files import place_of
from ww_core.use_cases.naming import opened_store
from ww_core.use_cases.value_files import (
    SUFFIXES,
    Batches,
    check_parquet,
    new_table,
    write_csv,
    write_json,
    write_parquet,
)

if TYPE_CHECKING:
    from ww_core.domain.exchange import FolderExport
    from ww_core.store.store import Store


def export(
    path: str | os.PathLike[str],
    models: Sequence[str] = (),
    *,
    store: Store | str | os.PathLike[str],
    profile: str = "default",
    metrics: Sequence[str] = (),
    scope: RowScope | None = None,
    replace: bool = False,
    raw: bool = False,
) -> TableExport:
    """Write the values of versions into a file, a row each, as the view ``v_metrics`` shows them.

    They are the profile's own variants, of complete analyses in force. The file is whole or not there.

    Args:
        path: The file, whose name ends in ``.csv``, ``.json`` or ``.parquet``.
        models: ``MODEL``, for all its versions, or ``MODEL@VERSION``; empty for all.
        store: An open store, or its path or URL.
        profile: Name of the profile.
        metrics: Labels of columns, such as ``alpha``; empty for all.
        scope: What the rows speak of: ``matrix``, ``layer`` or ``model``; None for all of these.
        replace: Whether a file that is there already gives way.
        raw: Whether texts of CSV are as they are: a terminal or a spreadsheet may act on them.

    Raises:
        UsageError: The name of the file ends otherwise, a name is empty, the file is there already, or ``raw`` is
            asked of a file that is no CSV.
        UnknownNameError: No analysis has such a column in this scope.
        NotStoredError: Nothing carries a name, or nothing was analysed under the profile.
        MissingExtraError: pyarrow is not installed, which writes Parquet.
        OutputError: The file cannot be written.
        StoreError: The store cannot be read.
    """
    target = place_of(path)
    form = target.suffix.lower()
    if form not in SUFFIXES:
        raise UsageError(f"{target.name!r} is no name of a table: it ends in {', '.join(SUFFIXES)}")
    writer = _writer(form, raw=raw)
    if form == ".parquet":
        check_parquet()
    with _rows(store, models, profile, metrics, scope) as batches, new_table(target, replace=replace) as file:
        if form == ".parquet":
            rows = write_parquet(file, VALUE_COLUMNS, batches)
        else:
            with file.open("w", encoding="utf-8", newline="") as text:
                rows = writer(text.write, tuple(VALUE_COLUMNS), batches)
        size = file.stat().st_size
    return TableExport(str(target), rows, size)


def print_values(
    write: Callable[[str], object],
    form: str,
    models: Sequence[str] = (),
    *,
    store: Store | str | os.PathLike[str],
    profile: str = "default",
    metrics: Sequence[str] = (),
    scope: RowScope | None = None,
    raw: bool = False,
) -> None:
    """Hand the same rows on as text, piece by piece.

    Args:
        write: Takes a piece of text.
        form: ``csv`` or ``json``.
        models: As of `export`, as are all others.
        store: An open store, or its path or URL.
        profile: Name of the profile.
        metrics: Labels of columns.
        scope: What the rows speak of.
        raw: As of `export`.

    Raises:
        WWError: As of `export`.
    """
    writer = _writer(f".{form}", raw=raw)
    with _rows(store, models, profile, metrics, scope) as batches:
        writer(write, tuple(VALUE_COLUMNS), batches)


def export_folder(
    path: str | os.PathLike[str],
    models: Sequence[str] = (),
    *,
    store: Store | str | os.PathLike[str],
    replace: bool = False,
) -> FolderExport:
    """Write what is stored into a folder that another store takes without loss, as ``Store.export_folder``.

    Args:
        path: The folder, which is made.
        models: ``MODEL`` or ``MODEL@VERSION``, that go along with all that belongs to them; empty for the whole store.
        store: An open store, or its path or URL.
        replace: Whether an export that is there already gives way.

    Raises:
        WWError: As of ``Store.export_folder`` and ``open_store``.
    """
    with opened_store(store, mode="read") as opened:
        return opened.export_folder(path, models, replace=replace)


def _writer(form: str, *, raw: bool) -> Callable[[Callable[[str], object], Sequence[str], Batches], int]:
    if raw and form != ".csv":
        raise UsageError("raw texts are for CSV: JSON and Parquet hold every text without loss, leave --raw out")
    return partial(write_csv, cell=raw_cell if raw else cell_of_value) if form == ".csv" else write_json


@contextmanager
def _rows(
    store: Store | str | os.PathLike[str],
    models: Sequence[str],
    profile: str,
    metrics: Sequence[str],
    scope: RowScope | None,
) -> Iterator[Iterator[list[tuple[Any, ...]]]]:
    scopes = get_args(RowScope)
    if scope is not None and scope not in scopes:
        raise UnknownNameError("scope", scope, scopes)
    if not profile:
        raise UsageError("the profile is empty: name one, or leave it out")
    names, labels = texts_of(models, "models"), texts_of(metrics, "metrics")
    with opened_store(store, mode="read") as opened, opened.reading() as reader:
        yield reader.metric_rows(names, profile, labels, (scope,) if scope else scopes)
