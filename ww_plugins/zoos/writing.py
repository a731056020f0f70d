"""Write a zoo as a folder of the Small CNN Zoo's published format, with ``zoo.json`` beside its files."""

from __future__ import annotations

import contextlib
import csv
import gzip
import io
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

import ww_core as ww
from ww_core.loading.tables import cell_of_value

if TYPE_CHECKING:
    import numpy.typing as npt

WEIGHTS, METRICS, LAYOUT, ABOUT = "weights.npy", "metrics.csv.gz", "layout.csv", "zoo.json"
FORMAT = 1
"""Version of ``zoo.json``."""


def write_zoo(zoo: ww.Zoo, path: Path, about: Mapping[str, Any]) -> None:
    """Write a zoo; a folder of the same zoo is written over, file by file.

    Rows keep the order of the zoo, and numbers the type in which they are stored. ``modeldir`` is the number of the
    network, ``step`` the epoch. The same zoo gives the same bytes.

    Args:
        zoo: The zoo, with weights.
        path: The folder; it is made if it is not there.
        about: What ``zoo.json`` says beside ``format``, ``name`` and ``layout``.

    Raises:
        UsageError: Only a store knows the zoo.
        OutputError: A file cannot be written.
    """
    stored = zoo.stored if zoo.stored is not None else zoo.weights()  # this raises, before anything is written
    text = json.dumps({"format": FORMAT, "name": zoo.name, "layout": zoo.layout, **about}, indent=2) + "\n"
    try:
        path.mkdir(parents=True, exist_ok=True)
        with _replaced(path / WEIGHTS) as file:
            _write_weights(zoo, stored.dtype.newbyteorder("<"), file)
        with _replaced(path / METRICS) as file, gzip.GzipFile("", "wb", fileobj=file, mtime=0) as packed:
            packed.write(_metrics(zoo).encode())
        with _replaced(path / LAYOUT) as file:
            file.write(_layout(zoo).encode())
        with _replaced(path / ABOUT) as file:  # last: who finds it finds a whole zoo
            file.write(text.encode())
    except OSError as error:
        raise ww.OutputError(f"zoo folder {path} cannot be written: {error.strerror or error}") from error


@contextlib.contextmanager
def _replaced(path: Path) -> Iterator[BinaryIO]:
    """Give a file that takes its name when it is whole."""
    unfinished = path.with_name(f"{path.name}.unfinished")
    try:
        with unfinished.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def _write_weights(zoo: ww.Zoo, kind: np.dtype[Any], file: BinaryIO) -> None:
    header = {"descr": kind.str, "fortran_order": False, "shape": (len(zoo), zoo.parameters)}
    np.lib.format.write_array_header_1_0(file, header)
    for _, rows in zoo.blocks():
        file.write(rows.astype(kind).tobytes())


def _metrics(zoo: ww.Zoo) -> str:
    columns: dict[str, list[str]] = {
        f"config.{name}": _cells(values) for name, values in sorted(zoo.hyperparameters.items())
    }
    columns["modeldir"] = [f"{number:05d}" for number in zoo.networks.tolist()]
    columns["step"] = [str(epoch) for epoch in zoo.epochs.tolist()]
    columns |= {name: _cells(values) for name, values in sorted(zoo.results.items())}
    columns["laststep"] = [str(last) for last in _is_last(zoo)]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(map(cell_of_value, columns))
    writer.writerows(map(cell_of_value, row) for row in zip(*columns.values(), strict=True))
    return text.getvalue()


def _cells(values: npt.NDArray[Any]) -> list[str]:
    """Return numbers with all their digits, whole ones without a point if all are whole; nothing for NaN."""
    if values.dtype.kind == "O":
        return list(map(str, values.tolist()))
    numbers = values.astype(np.float64)
    if np.isfinite(numbers).all() and (numbers == np.rint(numbers)).all() and (np.abs(numbers) < 2**53).all():
        return [str(int(number)) for number in numbers.tolist()]
    return ["" if number != number else repr(number) for number in numbers.tolist()]


def _is_last(zoo: ww.Zoo) -> list[bool]:
    last: dict[int, int] = {}
    pairs = list(zip(zoo.networks.tolist(), zoo.epochs.tolist(), strict=True))
    for network, epoch in pairs:
        last[network] = max(epoch, last.get(network, epoch))
    return [last[network] == epoch for network, epoch in pairs]


def _layout(zoo: ww.Zoo) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["varname", "start_idx", "end_idx", "shape"])
    writer.writerows(
        (cell_of_value(tensor.name), tensor.start, tensor.stop, str(tensor.shape)) for tensor in zoo.tensors
    )
    return text.getvalue()
