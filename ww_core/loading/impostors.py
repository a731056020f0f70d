"""What often stands where a weight file was expected: told by how a file begins, and of an archive by what it holds."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from ww_core.errors import CorruptFileError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ww_core.contracts.source import Source

HEAD = 512
"""Bytes of a file that are enough to tell."""


class Impostor(NamedTuple):
    """Something else than a weight file: what it is, and what to do next."""

    what: str
    then: str

    def __str__(self) -> str:
        return f"{self.what}: {self.then}"


_UNPACK = "unpack it, and name the file that is in it"
_UNPACK_FOLDER = "unpack it, and name the folder that is in it"
_OTHER = "convert it to safetensors, or install a loader for it"
_KERAS = "name it without --loader if Keras wrote it, else convert it to safetensors"
_AGAIN = "download it again"
_BY_ANOTHER = "name it without --loader"

_POINTER = Impostor("a git-lfs pointer, not the file itself", "run `git lfs pull` in its repository")
_PAGE = Impostor("a web page saved under the name of a weight file", _AGAIN)
_TEXT = Impostor("plain text", "name the file that holds the weights")
_RAW = Impostor(
    "perhaps raw numbers without a header of names and shapes, such as the .bin files of TensorFlow.js and "
    "Core ML and the external data of ONNX",
    "name a checkpoint in PyTorch's format or in safetensors",
)

_MAGIC = {
    b"\x1f\x8b": Impostor("a file that gzip compressed", "run `gunzip` on it first"),
    b"BZh": Impostor("a file that bzip2 compressed", "run `bunzip2` on it first"),
    b"\xfd7zXZ\0": Impostor("a file that xz compressed", "run `unxz` on it first"),
    b"\x28\xb5\x2f\xfd": Impostor("a file that zstd compressed", "run `unzstd` on it first"),
    b"\x04\x22\x4d\x18": Impostor("a file that lz4 compressed", "run `unlz4` on it first"),
    b"\x02\x21\x4c\x18": Impostor("a file that lz4 compressed", "run `unlz4` on it first"),
    b"7z\xbc\xaf\x27\x1c": Impostor("a 7z archive", _UNPACK),
    b"Rar!\x1a\x07": Impostor("a RAR archive", _UNPACK),
    b"\x89HDF\r\n\x1a\n": Impostor("an HDF5 file, as Keras and MATLAB write it", _KERAS),
    b"GGUF": Impostor("a GGUF file, as llama.cpp reads it", _OTHER),
    b"ggml": Impostor("a GGML file, as old versions of llama.cpp read it", _OTHER),
    b"\x93NUMPY": Impostor("a NumPy array", _BY_ANOTHER),
    b"MATLAB 5.0": Impostor("a MATLAB file", _OTHER),
    b"SQLite format 3\0": Impostor("an SQLite database", "name it by --store if it is a store of ww"),
    b"%PDF": Impostor("a PDF document", _TEXT.then),
    b"version https://git-lfs.github.com/spec/": _POINTER,
}  # fmt: skip

_HOLDS = (
    (r".*\.npy", Impostor("NumPy's .npz", _BY_ANOTHER)),
    (r"model\.weights\.h5", Impostor("a model of Keras", _KERAS)),
    (r"(.*/)?(saved_model\.pb|variables/.*)", Impostor("a SavedModel of TensorFlow", _UNPACK_FOLDER)),
    (r"(.*/)?(Data/com\.apple\.CoreML/.*|coremldata\.bin)", Impostor("a model of Core ML", _OTHER)),
    (r".*\.(safetensors|pt|pth|bin|ckpt)", Impostor("an archive with weight files in it", _UNPACK)),
    (r"word/document\.xml|xl/workbook\.xml", Impostor("an office document", _TEXT.then)),
    (r"META-INF/MANIFEST\.MF|AndroidManifest\.xml", Impostor("a Java or Android program", _TEXT.then)),
)  # fmt: skip

_ONNX = re.compile(rb"\x08[\x01-\x20]\x12.(pytorch|\w*2?onnx|ai\.onnx)", re.DOTALL)
"""A version, and the name of the program that wrote it."""

_PRINTED = frozenset(range(0x20, 0x7F)) | frozenset(b"\t\n\r\f") | frozenset(range(0x80, 0x100))


def refuse_impostor(file: Source) -> None:
    """Name what often stands where a weight file was expected.

    Raises:
        CorruptFileError: It is one of these.
    """
    head = file.head(HEAD)
    if not head:
        raise CorruptFileError(f"{file.label}: the file is empty")
    if (found := impostor(head)) is not None:
        raise CorruptFileError(f"{file.label}: this is {found}")


def impostor(head: bytes) -> Impostor | None:
    """Tell what a file that begins so is, if no weight file begins so; None for what may be one."""
    if not head:
        return Impostor("an empty file", _AGAIN)
    if head[8:9] == b"{":  # safetensors begin with a length, which may be any number
        return None
    for begin, found in _MAGIC.items():
        if head.startswith(begin):
            return found
    if head.lstrip()[:14].lower().startswith((b"<!doctype html", b"<html", b"<?xml")):
        return _PAGE
    if head[4:8] == b"TFL3":
        return Impostor("a model of TensorFlow Lite", _BY_ANOTHER)
    if head[257:262] == b"ustar":
        return Impostor("a tar archive", f"{_UNPACK}; if PyTorch before 0.2 wrote it, load and save it by PyTorch")
    if _ONNX.match(head):
        return Impostor("a model of ONNX", _BY_ANOTHER)
    return None


def unreadable(head: bytes) -> Impostor:
    """Tell what a file seems to be of which nobody could make sense; what it is called is no evidence."""
    if head[8:9] == b"{":
        return Impostor("a safetensors file", _BY_ANOTHER)
    if not head.strip(b"\0"):
        return Impostor("only zeros, as after an interrupted download", _AGAIN)
    if head.lstrip()[:1] in {b"{", b"["} and _is_text(head):
        return Impostor("JSON", _TEXT.then)
    return _TEXT if _is_text(head) else _RAW


def impostor_in_zip(names: Iterable[str]) -> Impostor | None:
    """Tell what a zip archive with entries of these names seems to be; None for what nobody knows."""
    listed = list(names)
    for pattern, found in _HOLDS:
        if any(re.fullmatch(pattern, name) for name in listed):
            return found
    return None


def _is_text(head: bytes) -> bool:
    if not _PRINTED.issuperset(head):
        return False
    try:
        head.decode()
    except UnicodeDecodeError as error:
        return error.start > len(head) - 4  # a character that is cut by the end of the head
    return True
