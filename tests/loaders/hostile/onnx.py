"""Models of ONNX that lie."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

from onnx_files import external, model, tensor
from protobuf_files import number, part, varint

from hostile.lie import Hostile, of_bytes

HUGE = 2**62


def nested(depth: int) -> bytes:
    """Graphs within the attributes of nodes, so many deep."""
    content = b""
    for _ in range(depth):
        content = part(1, part(4, "If") + part(5, part(1, "then_branch") + part(6, content)))
    return content


def nested_functions(depth: int, calls: int) -> bytes:
    """Functions of which each calls the next one so many times."""
    return b"".join(
        part(25, part(1, f"f{place}") + part(10, "own") + calls * part(7, part(4, f"f{place + 1}") + part(7, "own")))
        for place in range(depth)
    )


CALL_OF_ITSELF = part(4, "f0") + part(7, "own")


CALL = part(1, CALL_OF_ITSELF)


GRAPH = part(5, tensor())


LIES = {
    "nothing": (b"", "the file is empty"),
    "text": (b"no weights today\n" * 20, "no model of ONNX"),
    "a zip archive": (b"PK\3\4" + bytes(60), "no model of ONNX"),
    "HDF5": (b"\x89HDF\r\n\x1a\n" + bytes(99), "this is an HDF5 file"),
    "no version": (part(7, GRAPH) + part(8, number(2, 17)), "no version"),
    "no graph": (number(1, 8) + part(2, "x"), "no graph"),
    "two graphs": (model(tensor(), more=part(7, GRAPH)), "field 7 of a message stands twice"),
    "no operators": (number(1, 8) + part(7, GRAPH), "which operators"),
    "no tensor": (model(), "no tensor is in its graph"),
    "a field that is too long": (number(1, 8) + varint(7 << 3 | 2) + varint(HUGE) + GRAPH, "cut short"),
    "an endless number": (number(1, 8) + b"\x3a" + b"\xff" * 30, "a number is longer than numbers are"),
    "a group": (number(1, 8) + b"\x3b" + bytes(30), "wire type 3"),
    "field 0": (number(1, 8) + b"\0" + bytes(30), "a number that no field has"),
    "a wrong wire type": (number(1, 8) + number(7, 3), "wrong wire type"),
    "a field longer than its graph": (model(graph=varint(5 << 3 | 2) + varint(HUGE)), "does not fit"),
    "another length": (model(tensor(shape=(3, 3))), "takes 36 bytes, and it has 24"),
    "no bytes": (model(tensor(raw=None)), "takes 24 bytes, and it has 0"),
    "a huge shape": (model(tensor(shape=(HUGE, HUGE))), "no memory could hold"),
    "a huge shape of nothing": (model(tensor(shape=(0, HUGE, HUGE), raw=b"")), "no memory could hold"),
    "a negative axis": (model(tensor(shape=(-1, 3))), "negative length"),
    "many axes": (model(tensor(shape=(1,) * 65)), "more than 64 axes"),
    "many packed axes": (model(tensor(more=part(1, b"\1" * 999))), "more than 64 axes"),
    "an unknown dtype": (model(tensor(code=99)), "unknown dtype 99"),
    "a negative dtype": (model(tensor(code=-1)), "unknown dtype -1"),
    "no dtype": (model(tensor(code=0)), "unknown dtype 0"),
    "segments": (model(tensor(more=part(3, b""))), "segments"),
    "numbers of another dtype": (model(tensor(raw=None, more=part(10, bytes(48)))), "another dtype than float32"),
    "numbers in two ways": (model(tensor(code=7, raw=None, more=part(7, b"\1\2") + number(7, 3))), "in two ways"),
    "too few numbers": (model(tensor(code=7, raw=None, more=part(7, b"\1\2"))), "shape .2, 3."),
    "too many numbers": (model(tensor(code=7, raw=None, more=part(7, bytes(99)))), "shape .2, 3."),
    "a number that does not end": (model(tensor(code=7, raw=None, more=part(7, bytes(6) + b"\x80"))), "does not end"),
    "a long number": (model(tensor(code=7, raw=None, more=part(7, b"\x80" * 10 + bytes(6)))), "longer than number"),
    "a tensor twice": (model(tensor(), tensor()), "the same name"),
    "an empty name": (model(tensor("")), "empty name"),
    "a NUL in a name": (model(tensor("a\0b")), "holds a NUL"),
    "a long name": (model(tensor("a" * 3000)), "3000 characters"),
    "a name that is no text": (model(tensor(b"\xff\xfe")), "not UTF-8"),
    "many numbers claimed": (model(tensor(code=7, shape=(7_000_000,), raw=None, more=part(7, b"\1"))), "do not fit"),
    "deep graphs": (model(graph=nested(100)), "nested more than 64 deep"),
    "a function that calls itself": (
        model(tensor(), graph=CALL, more=part(25, part(1, "f0") + part(10, "own") + part(7, CALL_OF_ITSELF))),
        "functions are nested more than 64 deep",
    ),
    "functions that double": (model(tensor(), graph=CALL, more=nested_functions(40, 2)), "more than 4,000,000 things"),
    "a function twice": (model(tensor(), more=2 * part(25, part(1, "f"))), "a function stands twice"),
    "an attribute twice": (model(tensor(), graph=part(1, 2 * part(5, part(1, "group")))), "stands twice"),
    "many attributes": (model(tensor(), graph=part(1, part(5, b"") * 2_000_000)), "4,000,000 things|stands twice"),
    "many tensors": (model(graph=part(5, b"") * 60_000), "more than 50,000 tensors"),
    "many numbers one by one": (model(tensor(code=7, raw=None, more=number(7, 1) * 2_000_000)), "4,000,000 things"),
}  # fmt: skip


OUTSIDE = [
    "../outside", "/etc/passwd", "a/../../outside", "", "..", "c:\\x", "a\\b", "\\\\server\\x", "a//b", "a\nb",
    "x" * 2000,
]  # fmt: skip


BESIDE = {
    "missing": ({"location": "nothing.bin"}, "its data cannot be had: .*there is no such file"),
    "a link that leads out": ({"location": "link"}, "leads out of its folder"),
    "a folder": ({"location": "folder"}, "not a regular file"),
    "a pipe": ({"location": "pipe"}, "not a regular file"),
    "cut short": ({"location": "data", "length": 24, "offset": 80}, "is cut short"),
    "far away": ({"location": "data", "offset": 10**18 - 1, "length": 24}, "is cut short"),
    "an offset beyond": ({"location": "data", "offset": 200}, "takes 24 bytes, and it has 0|cut short"),
    "another length": ({"location": "data", "length": 23}, "takes 24 bytes, and it has 23"),
    "all of it": ({"location": "data"}, "takes 24 bytes, and it has 100"),
    "a negative offset": ({"location": "data", "offset": -1}, "no number of bytes"),
    "no number": ({"location": "data", "offset": "1e3"}, "no number of bytes"),
    "a digit of elsewhere": ({"location": "data", "offset": "\u0663"}, "no number of bytes"),
    "a huge number": ({"location": "data", "offset": 10**400}, "no number of bytes"),
    "nothing told": ({}, "no path inside"),
}


def _outside(location: str) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        (folder / "outside").write_bytes(bytes(24))
        (folder / "model").mkdir()
        return of_bytes(model(external(location=location)), "bad.onnx")(folder / "model")

    return write


def beside(folder: Path, told: dict[str, object]) -> Path:
    """Write a model whose data are said to lie in one of many things beside it."""
    (folder / "outside").write_bytes(bytes(100))
    own = folder / "model"
    own.mkdir()
    (own / "data").write_bytes(bytes(100))
    (own / "link").symlink_to(folder / "outside")
    (own / "folder").mkdir()
    os.mkfifo(own / "pipe")
    return of_bytes(model(external(**told)), "bad.onnx")(own)


SOURCES = {
    "onnx": {
        **{name: Hostile(of_bytes(content, "bad.onnx")) for name, (content, _) in LIES.items()},
        **{f"data in {location[:20]!r}": Hostile(_outside(location)) for location in OUTSIDE},
        **{f"data: {name}": Hostile(partial(beside, told=told)) for name, (told, _) in BESIDE.items()},
    }
}
