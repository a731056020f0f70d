"""Files of Keras that lie."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hostile.lie import READ, Hostile, of_bytes

h5py = pytest.importorskip("h5py")

SECRET = np.arange(12, dtype="float32").reshape(3, 4)


def weights(path, **kinds):
    """A file of Keras 3 with one layer of two variables."""
    with h5py.File(path, "w", **kinds) as file:
        group = file.create_group("layers/dense/vars")
        group.attrs["name"] = "fc"
        group.create_dataset("0", data=SECRET)
        group.create_dataset("1", data=SECRET[0])
    return path


def changed(path, change):
    weights(path)
    with h5py.File(path, "r+") as file:
        change(file["layers/dense/vars"], file)
    return path


def external_link(group, file):
    group["2"] = h5py.ExternalLink("other.h5", "/layers/dense/vars/0")


def soft_link(group, file):
    file["layers/again"] = h5py.SoftLink("/layers/dense")


def dangling_link(group, file):
    group["2"] = h5py.SoftLink("/nowhere")


def virtual(group, file):
    layout = h5py.VirtualLayout(shape=(3, 4), dtype="f4")
    layout[:] = h5py.VirtualSource("other.h5", "layers/dense/vars/0", shape=(3, 4))
    group.create_virtual_dataset("2", layout)


def external_storage(group, file):
    group.create_dataset("2", shape=(12,), dtype="u1", external=[("secret.txt", 0, 12)])


def cycle(group, file):
    group["again"] = file["layers"]


def deep(group, file):
    for number in range(80):
        group = group.create_group(f"g{number}")


ESCAPES = {
    "external link": (external_link, "a link to another place or file"),
    "soft link": (soft_link, "a link to another place or file"),
    "dangling link": (dangling_link, "a link to another place or file"),
    "virtual dataset": (virtual, "in other files"),
    "external storage": (external_storage, "in other files"),
    "cycle": (cycle, "in another place of the file"),
    "deep": (deep, "nested deeper than 64"),
}


def huge(group, file):
    group.create_dataset("2", shape=(1 << 40,), dtype="f4", chunks=(1 << 10,))


def bomb(group, file):
    group.create_dataset("2", shape=(1 << 25,), dtype="f4", chunks=(1 << 20,), compression="gzip")
    group["2"][:] = 0


def huge_chunk(group, file):
    held = group.create_dataset("2", shape=(4,), maxshape=(None,), dtype="f4", chunks=(1 << 28,), compression="gzip")
    assert held.chunks


def unallocated(group, file):
    group.create_dataset("2", shape=(1 << 40,), dtype="f4")


def odd_filter(group, file):
    group.create_dataset("2", shape=(64,), dtype="i4", chunks=(64,), scaleoffset=4)


def lzf(group, file):
    group.create_dataset("2", data=SECRET, chunks=(3, 4), compression="lzf")


def half_of_the_chunks(group, file):
    group.create_dataset("2", shape=(8,), dtype="f4", chunks=(4,))[:4] = 1


def text(group, file):
    group.create_dataset("2", data=["a", "b"])


LISTED = {
    "4 TB, none stored": (huge, "not all of its numbers are stored"),
    "128 MB of zeros": (bomb, "claims 134,217,728 bytes"),
    "a chunk of 1 GB": (huge_chunk, "not all of its numbers are stored"),
    "4 TB in a row": (unallocated, "not all of its numbers are stored"),
    "a filter of a plugin": (odd_filter, "filter 6 of HDF5"),
    "a filter of h5py": (lzf, "filter 32000 of HDF5"),
    "half of the chunks": (half_of_the_chunks, "not all of its numbers are stored"),
    "texts": (text, "no numbers of a type"),
}


def archive(path, entries, **how):
    with zipfile.ZipFile(path, "w", **how) as file:
        for name, content in entries.items():
            file.writestr(name, content)
    return path


CONFIGS = {
    "no JSON": (b"{", "is not JSON"),
    "deep": (b"[" * 200_000, "nested too deep"),
    "many values": (b"[" + b"0," * 1_100_000 + b"0]", "values in its JSON"),
    "twice": (b'{"a": 1, "a": 2}', "twice"),
    "no UTF-8": (b'{"a": "\xff\xfe"}', "not UTF-8 text"),
    "digits": (b'{"a": ' + b"9" * 9999 + b"}", "thousands of digits"),
}


def _within(write: Callable[[Path], Path], **how: Any) -> Callable[[Path], Path]:
    """Put a file of HDF5 into the archive of Keras 3."""

    def archived(folder: Path) -> Path:
        inside = write(folder)
        entries = {"metadata.json": "{}", "config.json": "{}", "model.weights.h5": inside.read_bytes()}
        inside.unlink()
        return archive(folder / "bad.keras", entries, **how)

    return archived


def _with_config(config: bytes) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        inside = weights(folder / "inside.h5").read_bytes()
        (folder / "inside.h5").unlink()
        return archive(folder / "bad.keras", {"config.json": config, "model.weights.h5": inside})

    return write


def _sound(folder: Path) -> Path:
    return weights(folder / "bad.h5")


def _escaping(change: Callable[..., object]) -> Callable[[Path], Path]:
    """Write a file that leads elsewhere, and what it leads to."""

    def write(folder: Path) -> Path:
        weights(folder / "other.h5")
        (folder / "secret.txt").write_text("top secret!!")
        return changed(folder / "bad.h5", change)

    return write


def _cut(part: float) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        path = _sound(folder)
        path.write_bytes(path.read_bytes()[: int(path.stat().st_size * part)])
        return path

    return write


def _named(group: bytes, name: str) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        with h5py.File(folder / "bad.h5", "w") as file:
            held = file.create_group(group)
            held["0"], held.attrs["name"] = SECRET, name
        return folder / "bad.h5"

    return write


NAMES = {
    "a long name": _named(b"layers/dense/vars", "x" * 3000),
    "a group that is no text": _named(b"layers/\xff\xfe/vars", "fc"),
    "half a character in a group": _named(b"layers/\xed\xa0\x80/vars", "fc"),
    "long groups": _named(b"/".join([b"x" * 100] * 30 + [b"layers/dense/vars"]), "fc"),
}
NO_FILES = [b"", b"no HDF5", b"\x89HDF\r\n\x1a\n", b"\x89HDF\r\n\x1a\n" + bytes(2000)]
_REFUSED = {
    **{name: _escaping(change) for name, (change, _) in ESCAPES.items()},
    **{f"cut at {part}": _cut(part) for part in (0.1, 0.3, 0.5, 0.9)},
    **NAMES,
}
_READ = {name: _escaping(change) for name, (change, _) in LISTED.items()}
SOURCES = {
    "keras, .h5": {
        **{name: Hostile(write) for name, write in _REFUSED.items()},
        **{name: Hostile(write, (READ,)) for name, write in _READ.items()},
        **{repr(content): Hostile(of_bytes(content, "bad.h5")) for content in NO_FILES},
    },
    "keras, .keras": {
        **{f"config: {name}": Hostile(_with_config(content)) for name, (content, _) in CONFIGS.items()},
        **{name: Hostile(_within(write)) for name, write in _REFUSED.items()},
        **{name: Hostile(_within(write), (READ,)) for name, write in _READ.items()},
        **{repr(content): Hostile(of_bytes(content, "bad.keras")) for content in NO_FILES},
        "compressed": Hostile(_within(_sound, compression=zipfile.ZIP_DEFLATED)),
    },
}
