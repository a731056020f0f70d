"""The folder of a zoo: the form in which the Small CNN Zoo is published, and what ww adds to it.

``weights.npy`` has one row a checkpoint, ``metrics.csv`` (or ``metrics.csv.gz``) says of each row how the network was
trained and how well it does, ``layout.csv`` says which columns of a row are which tensor. ``zoo.json`` is ours: the
name of the zoo and how it was made; a published zoo has none. Files of strangers are read as data and nothing else.

T. Unterthiner, D. Keysers, S. Gelly, O. Bousquet, I. Tolstikhin, "Predicting Neural Network Accuracy from Weights",
arXiv:2002.11448.
"""

from __future__ import annotations

import ast
import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

import ww_core as ww
from ww_core.loading.files import FileSource
from ww_core.loading.json_text import parse_json
from ww_core.loading.names import fault_of_name, quoted
from ww_core.loading.npy import HEAD, MAGIC, dtype_of, header_of
from ww_core.loading.tables import read_table
from ww_plugins.zoos.metrics_table import MOST, ZooMetrics, column_places, whole_of

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    from ww_core.loading.tables import Cell

WEIGHTS = ("weights.npy", "all_weights.npy")
METRICS = ("metrics.csv", "metrics.csv.gz", "all_metrics.csv")
LAYOUT = "layout.csv"
ABOUT = "zoo.json"
FILES = frozenset({*WEIGHTS, *METRICS, LAYOUT, ABOUT})
"""Names of all files that a zoo can have."""

FORMAT = 1
"""Version of ``zoo.json``."""

_LARGEST_ABOUT = 2**24  # bytes of zoo.json
_MOST_TENSORS = 10_000
_NAMED = 3  # networks in one sentence
_BIASES = frozenset({"bias", "beta"})
_WEIGHTS = frozenset({"kernel", "weight", "gamma", "scale"})  # of a norm they have one axis


def read_zoo(path: str | os.PathLike[str]) -> ww.Zoo:
    """Read a zoo of a folder; of its weights the header alone, the rest lies in the file until it is asked for.

    Checkpoints whose loss or accuracy is not a finite number are left out, as in the paper, and ``notes`` say which.
    A network is what ``modeldir`` names: its number, where that is one in every row, else its place among those named.
    Without that column, a new one begins where ``step`` does not grow.

    Args:
        path: The folder.

    Raises:
        SourceError: There is no such folder, or it holds no zoo.
        CorruptFileError: Its files contradict themselves or each other; the message names the file and the place.
    """
    folder = FileSource(Path(path))
    if not folder.is_folder:
        folder.size  # noqa: B018 - it says that there is nothing
        raise ww.SourceError(f"{folder.label}: this is a file: name the folder that holds {WEIGHTS[0]}")
    files = zoo_files(folder)
    about = read_about(folder) if ABOUT in files else {}
    tensors = _tensors(files[LAYOUT])
    metrics = ZooMetrics.of(read_table(files[METRICS[0]]), is_ours=bool(about))
    _refuse_rows_of_diverged(folder, about, metrics)
    stored = _weights(files[WEIGHTS[0]], len(metrics.epochs), max(own.stop for own in tensors))
    zoo = ww.Zoo(
        name=name_told(folder, about),
        tensors=tensors,
        layout=about.get("layout", "keras"),
        stored=stored,
        rows=np.arange(len(metrics.epochs)),
        networks=metrics.networks,
        epochs=metrics.epochs,
        hyperparameters=metrics.hyperparameters,
        results=metrics.results,
    )
    return without_diverged(zoo, about.get("diverged", ()))


def name_told(folder: FileSource, about: Mapping[str, Any]) -> str:
    """Return the name of a zoo: what ``zoo.json`` says, else that of its folder."""
    return about.get("name") or folder.path.resolve().name


def is_zoo(folder: ww.Source) -> bool:
    """Tell whether a folder holds the files of a zoo.

    Raises:
        SourceError: It cannot be read.
    """
    names = set(folder.names())
    return all(names & set(known) for known in (WEIGHTS, METRICS, (LAYOUT,)))


def zoo_files(folder: ww.Source) -> dict[str, ww.Source]:
    """Return the files of a zoo: ``weights.npy``, ``metrics.csv`` (packed or not), ``layout.csv``, and ``zoo.json``.

    The last one is ours, and need not be there.

    Raises:
        SourceError: One is missing, cannot be read, or is a link that leads out of the folder.
    """
    names = set(folder.names())
    found = {known[0]: next((own for own in known if own in names), "") for known in (WEIGHTS, METRICS, (LAYOUT,))}
    missing = [name for name, own in found.items() if not own]
    if missing:
        raise ww.SourceError(f"{folder.label}: this is not a zoo: it lacks {', '.join(missing)}")
    found |= {ABOUT: ABOUT} if ABOUT in names else {}
    return {name: folder.entry(own) for name, own in found.items()}


def without_diverged(zoo: ww.Zoo, told: Sequence[Mapping[str, Any]] = ()) -> ww.Zoo:
    """Leave out the checkpoints of networks whose results are no finite numbers in any of them, with a note.

    Args:
        zoo: The zoo.
        told: What ``zoo.json`` says of networks that diverged in training and have no rows.
    """
    measured = [own for own in zoo.results.values() if np.isfinite(own).any()]
    is_bad = np.zeros(len(zoo), bool)
    for own in measured:
        is_bad |= ~np.isfinite(own)
    diverged = np.unique(zoo.networks[is_bad])
    left = zoo.chosen(~np.isin(zoo.networks, diverged)) if len(diverged) else zoo
    numbers = sorted({*diverged.tolist(), *(int(own["network"]) for own in told)})
    if not numbers:
        return left
    return replace(left, notes=(*left.notes, left_out(numbers, "diverged", "diverged")))


def left_out(numbers: Sequence[int], has: str, have: str) -> str:
    """Say which networks are left out, and why: what one of them has, and what several have."""
    listed = ", ".join(map(str, numbers[:_NAMED])) + (", ..." if len(numbers) > _NAMED else "")
    what = f"network {has} and is" if len(numbers) == 1 else f"networks {have} and are"
    return f"{len(numbers)} {what} left out ({listed})"


def read_about(folder: FileSource) -> dict[str, Any]:
    """Return what ``zoo.json`` says of a zoo.

    Raises:
        CorruptFileError: It is damaged, or a newer program wrote it.
    """
    file = folder.entry(ABOUT)
    if file.size > _LARGEST_ABOUT:
        raise ww.CorruptFileError(f"{file.label}: it has {file.size:,} bytes: {_LARGEST_ABOUT:,} are read at most")
    about = parse_json(file.head(file.size), file.label, "description of a zoo")
    if not isinstance(about, dict) or type(about.get("format")) is not int:
        raise ww.CorruptFileError(f"{file.label} is not a description of a zoo: it has no format")
    if about["format"] != FORMAT:
        told = f"it is of format {quoted(about['format'])}, {FORMAT} is read: upgrade ww"
        raise ww.CorruptFileError(f"{file.label}: {told}")
    if about.get("layout", "keras") not in ("keras", "pytorch"):
        raise ww.CorruptFileError(f"{file.label}: layout {quoted(about['layout'])} is neither keras nor pytorch")
    name = about.get("name", "")
    if not isinstance(name, str) or (name and fault_of_name(name)):
        raise ww.CorruptFileError(f"{file.label}: {quoted(name)} cannot be the name of a zoo")
    diverged = about.get("diverged", [])
    if not isinstance(diverged, list) or not all(
        isinstance(own, dict) and type(own.get("network")) is int and 0 <= own["network"] < MOST for own in diverged
    ):
        raise ww.CorruptFileError(f"{file.label}: what it says of networks that diverged is no list of them")
    return about


def _refuse_rows_of_diverged(folder: FileSource, about: Mapping[str, Any], metrics: ZooMetrics) -> None:
    """Raise if ``zoo.json`` says that a network diverged in training, and there are rows of it.

    Raises:
        CorruptFileError: There are.
    """
    told = np.intersect1d([own["network"] for own in about.get("diverged", ())], metrics.networks)
    if told.size:
        raise ww.CorruptFileError(
            f"{folder.entry(ABOUT).label}: it says that network {int(told[0])} diverged, which has rows in the metrics"
        )


def _tensors(file: ww.Source) -> tuple[ww.ZooTensor, ...]:
    """Read which columns are which tensor.

    Raises:
        CorruptFileError: They do not follow one another from 0, or a shape has another number of entries.
    """
    table = read_table(file)
    places = column_places(table, ("varname", "start_idx", "end_idx", "shape"))
    tensors: list[ww.ZooTensor] = []
    for row in table:
        if len(tensors) == _MOST_TENSORS:
            raise ww.CorruptFileError(f"{file.label}: it has more than {_MOST_TENSORS:,} tensors")
        where = table.place(row.number)
        name = str(row.cells[places["varname"]]).strip()
        start, stop = (whole_of(row.cells[places[what]], where) for what in ("start_idx", "end_idx"))
        shape = _shape(row.cells[places["shape"]], where)
        if start != (tensors[-1].stop if tensors else 0):
            raise ww.CorruptFileError(
                f"{where}: {quoted(name)} begins at column {start}, not where the one before ends"
            )
        if stop - start != math.prod(shape):
            raise ww.CorruptFileError(f"{where}: {quoted(name)} has {stop - start} columns, and shape {list(shape)}")
        if fault := fault_of_name(name):
            raise ww.CorruptFileError(f"{where}: {fault}")
        layer, last = _split(name)
        tensors.append(ww.ZooTensor(name, layer, _role(last, shape), start, stop, shape))
    names = {(own.layer, own.role) for own in tensors}
    if not tensors or len(names) < len(tensors):
        what = "two tensors of one layer have one role" if tensors else "it lists no tensor"
        raise ww.CorruptFileError(f"{file.label}: {what}")
    return tuple(tensors)


def _split(name: str) -> tuple[str, str]:
    """Return the layer of a tensor, and what it is called there: ``dense`` and ``kernel`` of ``dense/kernel:0``."""
    layer, _, last = name.rpartition("/" if "/" in name else ".")
    return layer or name, last.partition(":")[0]


def _role(last: str, shape: tuple[int, ...]) -> Literal["weight", "bias"]:
    if last in _BIASES:
        return "bias"
    return "weight" if last in _WEIGHTS or len(shape) > 1 else "bias"


def _shape(cell: Cell, where: str) -> tuple[int, ...]:
    text = str(cell).strip()
    try:
        shape = ast.literal_eval(text) if len(text) <= 200 else None
    except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
        shape = None
    shape = (shape,) if type(shape) is int else shape
    if not (isinstance(shape, tuple) and shape and all(type(own) is int and 0 < own < 2**31 for own in shape)):
        raise ww.CorruptFileError(f"{where}: {quoted(text)} is no shape, such as (3, 3, 1, 16)")
    return shape


def _weights(file: ww.Source, rows: int, columns: int) -> npt.NDArray[np.float32]:
    """Map the weights, once their header and the size of the file agree with the other files.

    Raises:
        CorruptFileError: They do not, or they are no floating-point numbers.
    """
    head = file.head(min(HEAD, file.size))
    if not head.startswith(MAGIC):
        raise ww.CorruptFileError(f"{file.label}: this is no array of NumPy's")
    header = header_of(file, file.name, head)
    dtype, is_big = dtype_of(header.descr)
    if dtype not in {"float16", "float32", "float64"}:
        raise ww.CorruptFileError(f"{file.label}: it holds {quoted(str(header.descr))}, and weights are floats")
    if len(header.shape) != 2 or header.shape[1] != columns:
        raise ww.CorruptFileError(
            f"{file.label}: its shape is {list(header.shape)}, and {LAYOUT} speaks of {columns} columns"
        )
    if header.shape[0] != rows:
        raise ww.CorruptFileError(f"{file.label}: it has {header.shape[0]} rows, and the metrics have {rows}")
    kind = np.dtype(dtype).newbyteorder(">" if is_big else "<")
    if file.size - header.nbytes != rows * columns * kind.itemsize:
        raise ww.CorruptFileError(
            f"{file.label}: {rows} x {columns} numbers take {rows * columns * kind.itemsize} bytes, "
            f"and {file.size - header.nbytes} are there: it is cut short, or was changed"
        )
    order: Literal["F", "C"] = "F" if header.is_fortran else "C"
    with file.open() as handle:
        return np.memmap(handle, kind, "r", header.nbytes, (rows, columns), order)
