"""A folder of checkpoints with a table of accuracies, as a zoo: one row of weights for each file.

The table is a CSV. One column names the files; all of them must have the same layers. What a network was trained with
and how well it does stand in the other columns.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

import ww_core as ww
from ww_core.loading.files import FileSource
from ww_core.loading.names import legible, quoted
from ww_core.loading.tables import read_table, text_of
from ww_plugins.zoos.folder import is_zoo
from ww_plugins.zoos.metrics_table import CONFIG, RESULTS, column_of, measured_of, whole_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import numpy.typing as npt

    from ww_core.loading.tables import Cell, CellTable

FILE = ("file", "path", "checkpoint", "model", "filename")
"""Names of the column that names the files; the first that is there counts."""

NETWORK = ("network", "modeldir", "run")
"""Names of the column that says which checkpoints are of one network."""

EPOCH = ("epoch", "step")
"""Names of the column of epochs."""

MOST_BYTES = 2**35
"""Bytes of the weights of a zoo that is put together: 32 GiB."""

_TABLES = (".csv", ".csv.gz", ".tsv")


@dataclass(frozen=True, slots=True)
class _Shape:
    """A tensor that all networks have, and where it stands in a row."""

    layer: str
    role: Literal["weight", "bias"]
    shape: tuple[int, ...]

    def __str__(self) -> str:
        return f"{legible(self.layer)}.{self.role} {'x'.join(map(str, self.shape))}"


def find_table(path: Path) -> Path | None:
    """Return the table of a folder of checkpoints, or the one that was named; None for a zoo's own folder.

    Raises:
        SourceError: There is no such path, it is not a table, or the folder holds none or several.
    """
    source = FileSource(path)
    if not source.is_folder:
        if not path.name.lower().endswith(_TABLES):
            source.size  # noqa: B018 - it says that there is nothing
            raise ww.SourceError(f"{source.label}: this is not a zoo: name a folder, or a CSV that names checkpoints")
        return path
    if is_zoo(source):
        return None
    tables = sorted(name for name in source.names() if name.lower().endswith(_TABLES))
    if len(tables) != 1:
        found = f"several tables ({', '.join(map(legible, tables[:5]))}): name one" if tables else (
            "neither weights.npy, metrics.csv and layout.csv nor a CSV that names checkpoints"
        )  # fmt: skip
        raise ww.SourceError(f"{source.label}: this is not a zoo: it has {found}")
    return path / tables[0]


def zoo_of_checkpoints(
    table: Path, *, registry: ww.Registry | None = None, progress: Callable[[int, int], None] | None = None
) -> tuple[ww.Zoo, dict[str, Any]]:
    """Read the checkpoints that a table names.

    Args:
        table: A CSV. It has a column ``file``, ``path``, ``checkpoint`` or ``model`` of paths inside its folder. It may
            have ``network``, ``epoch`` or ``step``, ``test_accuracy`` and the other results; every other column is a
            hyperparameter, with or without ``config.`` before its name.
        registry: Loaded plugins, if they are loaded already.
        progress: Is told how many files are read, of how many.

    Returns:
        The zoo, its weights in memory, in the layout of PyTorch; and what ``zoo.json`` says of it.

    Raises:
        CorruptFileError: The table contradicts itself, or a file differs from the first one in its layers.
        SourceError: A file cannot be read.
    """
    folder = FileSource(table.parent)
    read = read_table(FileSource(table))
    rows = list(read)
    if not rows:
        raise ww.CorruptFileError(f"{read.label}: it has no row")
    columns = dict(zip(read.header, zip(*(row.cells for row in rows), strict=True), strict=True))
    numbers = [row.number for row in rows]
    taken = {kind: next((name for name in names if name in columns), "") for kind, names in _KINDS.items()}
    if not taken["file"]:
        raise ww.CorruptFileError(f"{read.label}: no column names the checkpoints: it has none of {', '.join(FILE)}")
    files = columns[taken["file"]]
    first: list[_Shape] = []
    weights = np.empty((0, 0), np.float32)
    for at, (cell, number) in enumerate(zip(files, numbers, strict=True)):
        file = _file_of(folder, cell, read.place(number, taken["file"]))
        with ww.open_checkpoint(file, registry=registry) as checkpoint:
            shapes = list(_shapes(checkpoint))
            if not at:
                first, weights = shapes, _room(len(rows), shapes, file)
            elif shapes != first:
                raise ww.CorruptFileError(f"{file.label}: {_difference(shapes, first, text_of(files[0]))}")
            _read_into(weights[at], checkpoint)
        if progress is not None:
            progress(at + 1, len(rows))
    networks, epochs = _networks(columns.get(taken["network"]), columns.get(taken["epoch"]), files, read, numbers)
    others = [name for name in read.header if name and name not in {*taken.values(), *RESULTS, "laststep"}]
    _refuse_double(others, read)
    zoo = ww.Zoo(
        name=table.resolve().parent.name,
        tensors=_tensors(first),
        layout="pytorch",
        stored=weights,
        rows=np.arange(len(rows)),
        networks=networks,
        epochs=epochs,
        hyperparameters={name.removeprefix(CONFIG): column_of(columns[name]) for name in others},
        results={name: measured_of(columns[name], read, numbers, name) for name in RESULTS if name in columns},
    )
    return zoo, {"made_of": legible(table.name), "count": len(set(networks.tolist()))}


def _refuse_double(columns: Sequence[str], table: CellTable) -> None:
    """Raise if two columns are of one hyperparameter, as ``lr`` and ``config.lr``.

    Raises:
        CorruptFileError: They are.
    """
    seen: dict[str, str] = {}
    for column in columns:
        other = seen.setdefault(column.removeprefix(CONFIG), column)
        if other != column:
            raise ww.CorruptFileError(
                f"{table.label}: columns {legible(other)} and {legible(column)} are of one hyperparameter"
            )


_KINDS = {"file": FILE, "network": NETWORK, "epoch": EPOCH}


def _file_of(folder: FileSource, cell: Cell, place: str) -> FileSource:
    """Return a file that the table names, as a path inside its folder.

    Raises:
        CorruptFileError: The cell names none.
        SourceError: There is no such file, or the path leads out of the folder.
    """
    text = text_of(cell)
    parts = Path(text).parts
    if not parts or "\0" in text:
        raise ww.CorruptFileError(f"{place}: {quoted(text)} names no file")
    if Path(text).is_absolute() or ".." in parts:
        raise ww.SourceError(f"{place}: {quoted(text)} leads out of the folder of the table: name files inside of it")
    return folder.entry(text)


def _shapes(checkpoint: ww.Checkpoint) -> Iterator[_Shape]:
    for layer in checkpoint.layers:
        yield _Shape(layer.name, "weight", layer.weight.shape)
        if layer.bias is not None:
            yield _Shape(layer.name, "bias", layer.bias.shape)


def _room(rows: int, shapes: Sequence[_Shape], file: FileSource) -> npt.NDArray[np.float32]:
    """Return a matrix for the weights of all networks.

    Raises:
        CorruptFileError: The first network has no layer, or all of them would take too much.
    """
    columns = sum(int(np.prod(own.shape)) for own in shapes)
    if not columns:
        raise ww.CorruptFileError(f"{file.label}: it has no layer")
    if rows * columns * 4 > MOST_BYTES:
        raise ww.CorruptFileError(
            f"{file.label}: {rows:,} networks of {columns:,} parameters take more than {MOST_BYTES:,} bytes: a zoo is "
            "of small networks"
        )
    return np.empty((rows, columns), np.float32)


def _difference(shapes: Sequence[_Shape], first: Sequence[_Shape], other: str) -> str:
    """Say how the layers of a network differ from those of the first one."""
    what = f"all networks of a zoo have the same layers, and this differs from {legible(other)}"
    for own, wanted in zip(shapes, first, strict=False):
        if own != wanted:
            return f"{what}: it has {own}, and not {wanted}"
    more, whose = (shapes, "it has") if len(shapes) > len(first) else (first, "it lacks")
    return f"{what}: {whose} {more[min(len(shapes), len(first))]}"


def _read_into(row: npt.NDArray[np.float32], checkpoint: ww.Checkpoint) -> None:
    at = 0
    for layer in checkpoint.layers:
        for tensor in layer.tensors:
            with checkpoint.read(tensor) as numbers:
                row[at : at + tensor.size] = np.asarray(numbers).reshape(-1)
            at += tensor.size


def _tensors(shapes: Sequence[_Shape]) -> tuple[ww.ZooTensor, ...]:
    tensors, at = [], 0
    for own in shapes:
        size = int(np.prod(own.shape))
        tensors.append(ww.ZooTensor(f"{own.layer}/{own.role}", own.layer, own.role, at, at + size, own.shape))
        at += size
    return tuple(tensors)


def _networks(
    told: Sequence[Cell] | None,
    epochs: Sequence[Cell] | None,
    files: Sequence[Cell],
    table: CellTable,
    numbers: Sequence[int],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return number and epoch of each checkpoint. Without a column of networks, each file is one of its own.

    Raises:
        CorruptFileError: An epoch is not a whole number, or a network has two checkpoints of one.
    """
    names = [text_of(cell) for cell in (files if told is None else told)]
    is_numbered = told is not None and all(name.isascii() and name.isdecimal() and len(name) < 16 for name in names)
    place_of = {name: at for at, name in enumerate(dict.fromkeys(names))}
    networks = [int(name) if is_numbered else place_of[name] for name in names]
    steps = [0] * len(names) if epochs is None else [
        whole_of(cell, table.place(at)) for cell, at in zip(epochs, numbers, strict=True)
    ]  # fmt: skip
    known: dict[tuple[int, int], int] = {}
    for own, number in zip(zip(networks, steps, strict=True), numbers, strict=True):
        if own in known:
            raise ww.CorruptFileError(
                f"{table.place(number)}: this network has a checkpoint of epoch {own[1]} in {table.unit} {known[own]} "
                "too: columns network and epoch tell checkpoints apart"
            )
        known[own] = number
    return np.array(networks, np.int64), np.array(steps, np.int64)
