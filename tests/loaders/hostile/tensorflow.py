"""Checkpoints of TensorFlow that lie."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

from protobuf_files import message
from tensorflow_files import GRAPH, Lie, checkpoint, graph, normal, table

from hostile.lie import Hostile

GOOD = {"fc/kernel": normal(4, 8), "fc/bias": normal(8)}


NODE = ({}, [("w", "fc/kernel")])


REFUSED = {
    "a shape too large": ({"a": Lie(shape=(2**40, 2**40))}, "is not a shape"),
    "a negative length": ({"a": Lie(shape=(-2, -3))}, "is not a shape"),
    "65 axes": ({"a": Lie(shape=(1,) * 65)}, "is not a shape"),
    "too few bytes": ({"a": Lie(nbytes=20)}, "takes 24 bytes, and 20 are told"),
    "beyond the shard": ({"a": Lie(offset=400), "b": normal(9)}, "cut short"),
    "a negative offset": ({"a": Lie(offset=-8)}, "24 bytes at -8"),
    "a shard that is not there": ({"a": Lie(shard=3)}, "shard 3, and there are 1"),
    "a shard before the first": ({"a": Lie(shard=-1)}, "shard -1"),
    "no text as a graph": ({**GOOD, GRAPH: normal(3)}, "is no text"),
    "no graph": ({**GOOD, GRAPH: b"\xff\xff"}, "longer than numbers are, or than its message"),
    "half a graph": ({**GOOD, GRAPH: graph(NODE)[:-3]}, "does not fit into its message"),
    "an object that is not there": ({**GOOD, GRAPH: graph(({"a": 7}, []))}, "names object 7, and has 1"),
    "a name that is no text": ({b"\xff\xfe": normal(3)}, "not UTF-8"),
    "a NUL in a name": ({"a\0b": normal(3)}, "holds a NUL"),
    "a NUL in a graph": ({**GOOD, GRAPH: graph(({}, [("a\0", "fc/kernel")]))}, "holds a NUL"),
}


INDEX, DATA = checkpoint(GOOD)


TABLES = {
    "empty": (b"", "the file is empty"),
    "another format": (b"\x89HDF\r\n\x1a\n" + bytes(99), "an HDF5 file"),
    "zeros": (bytes(999), "no table ends"),
    "only the end": (INDEX[-8:], "no table ends"),
    "only the footer": (INDEX[-48:], "ends behind it"),
    "compressed": (table([(b"", message((1, 1)))], compression=1), "compressed"),
    "no header": (table([(b"a", Lie().entry)]), "no header"),
    "no shards": (checkpoint(GOOD, header=((1, 0),))[0], "tells of 0 shards"),
    "a million shards": (checkpoint(GOOD, header=((1, 10**6),))[0], "tells of 1000000 shards"),
    "a key twice": (table([(b"", message((1, 1))), (b"a", Lie().entry), (b"a", Lie().entry)]), "stands twice"),
    "a number as a shape": (table([(b"", message((1, 1))), (b"a", message((1, 1), (2, 3)))]), "the wrong wire type"),
}


def _written(made: Callable[[], tuple[bytes, bytes]]) -> Callable[[Path], Path]:
    """Write an index and its shard."""

    def write(folder: Path) -> Path:
        index, data = made()
        (folder / "bad.index").write_bytes(index)
        (folder / "bad.data-00000-of-00001").write_bytes(data)
        return folder / "bad.index"

    return write


def _saved(made: Callable[[], tuple[bytes, bytes]]) -> Callable[[Path], Path]:
    """Write a SavedModel."""

    def write(folder: Path) -> Path:
        (folder / "bad" / "variables").mkdir(parents=True)
        (folder / "bad" / "saved_model.pb").write_bytes(b"\x08\x01" + b"\xff" * 99)
        index, data = made()
        (folder / "bad" / "variables" / "variables.index").write_bytes(index)
        (folder / "bad" / "variables" / "variables.data-00000-of-00001").write_bytes(data)
        return folder / "bad"

    return write


def _of(way: Callable[[Callable[[], tuple[bytes, bytes]]], Callable[[Path], Path]]) -> dict[str, Hostile]:
    """Every lie of a checkpoint, written in a way."""
    return {
        **{name: Hostile(way(partial(checkpoint, tensors))) for name, (tensors, _) in REFUSED.items()},
        **{name: Hostile(way(partial(_with_data, content))) for name, (content, _) in TABLES.items()},
    }


def _with_data(index: bytes) -> tuple[bytes, bytes]:
    return index, DATA


def _changed(change: Callable[[Path], object]) -> Callable[[Path], Path]:
    """Write a sound SavedModel, and change it."""

    def write(folder: Path) -> Path:
        model = _saved(partial(checkpoint, GOOD))(folder)
        change(model)
        return model

    return write


INDEX_OF, SHARD_OF = "variables/variables.index", "variables/variables.data-00000-of-00001"


def _link(model: Path, name: str, target: str) -> None:
    """Put a link in the place of a file, which is moved out of the model."""
    (model / name).rename(model.parent / Path(name).name)
    (model / name).symlink_to(target)


def _pipe(model: Path, name: str) -> None:
    (model / name).unlink()
    os.mkfifo(model / name)


FOLDERS: dict[str, Callable[[Path], object]] = {
    "no variables": lambda model: shutil.rmtree(model / "variables"),
    "no index": lambda model: (model / INDEX_OF).unlink(),
    "no shard": lambda model: (model / SHARD_OF).unlink(),
    "an index that leads out": lambda model: _link(model, INDEX_OF, "../../variables.index"),
    "a shard that leads out": lambda model: _link(model, SHARD_OF, "../../variables.data-00000-of-00001"),
    "an index that is a device": lambda model: _link(model, INDEX_OF, "/dev/zero"),
    "a shard that is a device": lambda model: _link(model, SHARD_OF, "/dev/zero"),
    "an index that is a pipe": lambda model: _pipe(model, INDEX_OF),
    "a shard that is a pipe": lambda model: _pipe(model, SHARD_OF),
    "a shard cut short": lambda model: os.truncate(model / SHARD_OF, 40),
    "a link to itself": lambda model: _link(model, INDEX_OF, "variables.index"),
}

SOURCES = {
    "tensorflow": _of(_written),
    "saved model": {**_of(_saved), **{name: Hostile(_changed(change)) for name, change in FOLDERS.items()}},
}
