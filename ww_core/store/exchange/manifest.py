"""The manifest of an export folder: what is in it, by which it is seen that nothing was cut, edited, added or removed.

The files are named by the tables of the store, never by the manifest, so that no path in a folder leads out of it.
"""

from __future__ import annotations

import errno
import json
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any, NoReturn

from ww_core.domain.exchange import ExportedFile
from ww_core.domain.identity import digest_of
from ww_core.errors import CorruptFileError, SchemaTooNewError, SourceError

FORMAT = 1
"""What folders look like. A newer one cannot be read by this program."""

MANIFEST = "manifest.json"

SUFFIX = ".jsonl"

LARGEST_MANIFEST = 2**20
"""Bytes: that of all tables has some ten thousand."""

_BLOCK = 2**20


@dataclass(frozen=True, slots=True)
class Manifest:
    """What is in a folder.

    Attributes:
        revision: Revision of the schema whose tables these are.
        program: The program that wrote it.
        created_at: When.
        files: The files by the names of the tables.
    """

    revision: str
    program: str
    created_at: str
    files: Mapping[str, ExportedFile]

    @property
    def digest(self) -> str:
        """Content address of all rows."""
        files = {name: [list(file.columns), file.rows, file.blake3] for name, file in self.files.items()}
        return digest_of("export", {"format": FORMAT, "revision": self.revision, "files": files})

    def write(self, folder: Path) -> None:
        """Write the manifest into a folder."""
        content = {
            "format": FORMAT,
            "revision": self.revision,
            "program": self.program,
            "created_at": self.created_at,
            "digest": self.digest,
            "files": {
                name: {"columns": list(file.columns), "rows": file.rows, "bytes": file.bytes, "blake3": file.blake3}
                for name, file in self.files.items()
            },
        }
        (folder / MANIFEST).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def file_of(table: str) -> str:
    """Return the name of the file that holds the rows of a table."""
    return f"{table}{SUFFIX}"


def is_export(folder: Path) -> bool:
    """Whether a folder holds an export and nothing else, as far as its manifest and the names of its files tell."""
    try:
        expected = {MANIFEST, *map(file_of, _read_manifest(folder).files)}
    except (SourceError, SchemaTooNewError):
        return False
    return all(entry.name in expected for entry in folder.iterdir())


def checked_manifest(folder: Path) -> Manifest:
    """Read the manifest of a folder, and compare the files with it: names, bytes and digests.

    Raises:
        SourceError: There is no such folder, or it cannot be read.
        CorruptFileError: It is no export, or it was cut, edited, or files were added or removed.
        SchemaTooNewError: A newer program wrote it.
    """
    manifest = _read_manifest(folder)
    expected = {MANIFEST, *map(file_of, manifest.files)}
    for entry in folder.iterdir():
        if entry.name not in expected:
            raise CorruptFileError(
                f"{folder} is not as it was exported: there is {entry.name!r} in it, of which its manifest says "
                "nothing: remove it, if you know where it came from"
            )
    for name, told in manifest.files.items():
        _check_file(folder, file_of(name), told)
    return manifest


def opened(folder: Path, name: str) -> BufferedReader:
    """Open a file of a folder: only one that lies there itself, for a link may lead anywhere.

    Raises:
        CorruptFileError: It is missing, or no plain file.
        SourceError: It cannot be read.
    """
    path = folder / name
    try:
        # Links are not followed, and a pipe that nobody writes to is not waited for, where the system knows of these.
        flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        if path.is_symlink():
            raise CorruptFileError(f"{path} is a link, and no file of an export: it is not followed")
        descriptor = os.open(path, flags)
    except FileNotFoundError:
        raise CorruptFileError(f"{folder} is not as it was exported: {name} is missing") from None
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise CorruptFileError(f"{path} is a link, and no file of an export: it is not followed") from None
        raise SourceError(f"{path} cannot be read: {error.strerror or error}") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise CorruptFileError(f"{path} is no plain file")
    return os.fdopen(descriptor, "rb")


def _read_manifest(folder: Path) -> Manifest:
    try:
        if not folder.is_dir():
            what = "is a file" if folder.exists() else "is not there"
            raise SourceError(f"{folder} {what}: give the folder that `ww export` wrote")
        if not (folder / MANIFEST).exists():
            raise CorruptFileError(f"{folder} is no export of ww: it has no {MANIFEST}")
    except OSError as error:  # such as a name that is too long, or a folder that may not be entered
        raise SourceError(f"{folder} cannot be read: {error.strerror or error}") from error
    with opened(folder, MANIFEST) as file:
        content = file.read(LARGEST_MANIFEST + 1)
    place = folder / MANIFEST
    if len(content) > LARGEST_MANIFEST:
        raise CorruptFileError(f"{place} has more than {LARGEST_MANIFEST:,} bytes: no manifest is that long")
    try:
        found = json.loads(content.decode("utf-8"), parse_constant=_refuse_constant, object_pairs_hook=_object)
    except UnicodeDecodeError:
        raise CorruptFileError(f"{place} is no manifest: it is not UTF-8 text") from None
    except RecursionError:
        raise CorruptFileError(f"{place} is no manifest: it is nested too deep") from None
    except ValueError as error:
        raise CorruptFileError(f"{place} is no manifest: {error}") from None
    return _manifest_of(found, place)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"it holds {name}, which is not a number of JSON")


def _object(members: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(members)
    if len(found) < len(members):
        raise ValueError("a key is there twice in one object")
    return found


def _manifest_of(found: Any, place: Path) -> Manifest:
    """Return what a manifest says, after a look at every part of it."""
    content = _part(found, dict, place, "the manifest")
    form = content.get("format")
    if type(form) is int and form > FORMAT:
        raise SchemaTooNewError(f"{place.parent} was made by a newer ww: upgrade ww (`pip install --upgrade ww-core`)")
    if form != FORMAT or type(form) is not int:
        raise CorruptFileError(f"{place} is no manifest of an export: its format is {form!r:.40}, not {FORMAT}")
    told = {name: _part(content.get(name), str, place, name) for name in ("revision", "program", "created_at")}
    files = {}
    for name, entry in _part(content.get("files"), dict, place, "files").items():
        if not name.isidentifier():  # which no path is
            raise CorruptFileError(f"{place} is no manifest of an export: {name!r:.60} is not a table")
        own = _part(entry, dict, place, f"files.{name}")
        columns = _part(own.get("columns"), list, place, f"files.{name}.columns")
        files[name] = ExportedFile(
            columns=tuple(_part(column, str, place, f"files.{name}.columns") for column in columns),
            rows=_count(own.get("rows"), place, f"files.{name}.rows"),
            bytes=_count(own.get("bytes"), place, f"files.{name}.bytes"),
            blake3=_part(own.get("blake3"), str, place, f"files.{name}.blake3"),
        )
    manifest = Manifest(**told, files=files)
    if content.get("digest") != manifest.digest:
        raise CorruptFileError(f"{place} is not as it was exported: its digest does not match its content")
    return manifest


def _part(value: Any, kind: type, place: Path, what: str) -> Any:
    if type(value) is not kind:
        raise CorruptFileError(f"{place} is no manifest of an export: {what!r:.60} is not {_EXPECTED[kind]}")
    return value


_EXPECTED: Mapping[type, str] = {dict: "an object", list: "a list", str: "a text"}


def _count(value: Any, place: Path, what: str) -> int:
    if type(value) is not int or not 0 <= value < 2**63:
        raise CorruptFileError(f"{place} is no manifest of an export: {what!r:.60} is no count")
    return value


def _check_file(folder: Path, name: str, told: ExportedFile) -> None:
    import blake3

    with opened(folder, name) as file:
        size = os.fstat(file.fileno()).st_size
        if size != told.bytes:
            raise CorruptFileError(
                f"{folder / name} is not as it was exported: it has {size:,} bytes, not {told.bytes:,}"
            )
        hasher = blake3.blake3()
        try:
            while block := file.read(_BLOCK):
                hasher.update(block)
        except OSError as error:
            raise SourceError(f"{folder / name} cannot be read: {error.strerror or error}") from error
    if hasher.hexdigest() != told.blake3:
        raise CorruptFileError(f"{folder / name} is not as it was exported: its digest does not match its content")
