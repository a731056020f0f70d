"""Data frames of pandas, and Parquet files, which are read as such."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from ww_core.errors import CorruptFileError, MissingExtraError, SourceError
from ww_core.loading.tables.table import MOST_CELLS, MOST_COLUMNS, Cell, CellRow, CellTable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ww_core.contracts.source import Source


def is_frame(thing: object) -> bool:
    """Tell whether something is a data frame, without importing pandas."""
    return all(hasattr(thing, name) for name in ("columns", "index", "itertuples", "reset_index"))


class FrameTable(CellTable):
    """A data frame; an index with a name is a column too.

    Raises:
        CorruptFileError: Its columns have names that no table may have.
    """

    def __init__(self, frame: Any, label: str) -> None:
        index = frame.index
        self._frame = frame.reset_index() if any(name is not None for name in index.names) else frame
        names = list(self._frame.columns)
        for name in names:
            if not isinstance(name, str):
                raise CorruptFileError(f"{label}: the column name {name!r} is no text: rename it")
        super().__init__(label, names)

    def _rows(self) -> Iterator[CellRow]:
        for number, values in enumerate(self._frame.itertuples(index=False, name=None), 1):
            yield CellRow(number, tuple(map(_cell, values)))


def _cell(value: Any) -> Cell:
    if getattr(value, "shape", None) == () and hasattr(value, "item"):  # a scalar of NumPy
        value = value.item()
    if value is None or type(value).__name__ in {"NAType", "NaTType"}:
        return None
    return value if isinstance(value, (bool, int, float, str)) else str(value)


def read_parquet(source: Source) -> CellTable:
    """Read a Parquet file of this machine.

    Raises:
        MissingExtraError: pandas or pyarrow is not installed.
        SourceError: It is not a file of this machine.
        CorruptFileError: It is damaged, or exceeds a limit.
    """
    try:
        import pandas as pd
        import pyarrow.parquet
    except ImportError:
        raise MissingExtraError(
            f"{source.label}: Parquet files need two packages more: pip install 'ww-core[pandas,parquet]'"
        ) from None
    if source.path is None:
        raise SourceError(f"{source.label}: Parquet files are read from this machine only: download it")
    try:
        with source.open() as file:
            parquet = pyarrow.parquet.ParquetFile(file)
            names = parquet.schema_arrow.names
            if len(names) > MOST_COLUMNS:
                raise CorruptFileError(
                    f"{source.label}: it has {len(names):,} columns, and a table may have {MOST_COLUMNS:,}"
                )
            most = MOST_CELLS // max(1, len(names))
            frames, count = [], 0
            for batch in parquet.iter_batches(batch_size=min(10_000, most + 1)):
                frames.append(batch.to_pandas())
                count += len(batch)
                if count > most:
                    break  # iterating over the table says so
            frame = pd.concat(frames, ignore_index=True) if frames else parquet.read().to_pandas()
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        sentence = " ".join(str(error).split())
        raise CorruptFileError(f"{source.label}: the Parquet file cannot be read: {sentence}") from None
    if math.prod(frame.shape) == 0:
        raise CorruptFileError(f"{source.label}: the table is empty")
    return FrameTable(frame, source.label)
