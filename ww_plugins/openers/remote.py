"""Files on other machines, read by fsspec: only the bytes that are asked for travel. It needs the extra ``remote``."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, BinaryIO, cast
from urllib.parse import urlsplit

import blake3

import ww_core as ww
from ww_core.loading.names import legible, shown_address

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class Remote(ww.Opener):
    """Addresses of web servers, object stores and hubs."""

    name = "remote"
    description = "addresses that fsspec opens: http, https, s3, gs, az, hf, ftp, sftp and others"
    extra = "remote"
    schemes = (
        "http", "https", "s3", "gs", "gcs", "az", "abfs", "abfss", "hf", "ftp", "sftp", "ssh", "smb", "hdfs", "webhdfs",
        "github", "memory",
    )  # fmt: skip

    def open(self, address: str) -> ww.Source:
        """Return the file or folder that is there, once the server has said that it is."""
        label = shown_address(address)
        parts = urlsplit(address)
        if parts.scheme != "github" and (parts.password or (parts.username and parts.scheme in {"http", "https"})):
            raise ww.SourceError(f"{label}: this address holds a user name or a password: leave it out of the address")
        try:
            from fsspec.core import url_to_fs
        except ImportError:
            raise ww.MissingExtraError(f"{label} needs fsspec: pip install 'ww-core[remote]'") from None
        try:
            system, path = url_to_fs(address, **_patience(parts.scheme))
        except ImportError as error:
            raise ww.MissingExtraError(
                f"{label} needs another package: {error}; or download it and name the file"
            ) from None
        except Exception as error:  # the libraries of servers raise whatever they like
            raise ww.SourceError(f"{label} cannot be opened: {_said(error)}") from error
        source = RemoteSource(system, path, address)
        _ = source.is_folder
        return source


class RemoteSource(ww.Source):
    """A file or a folder on another machine, as its server told of it when it was first asked.

    Args:
        system: The file system of fsspec's.
        path: The path in it.
        address: What names it.
    """

    def __init__(self, system: Any, path: str, address: str) -> None:
        self.address = address
        self.location = self.label = shown_address(address)
        self._system = system
        self._path = path

    @property
    def name(self) -> str:
        """The last part of the path."""
        parts = urlsplit(self.location)
        return PurePosixPath(parts.path).name or parts.netloc

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder."""
        return self._told.get("type") == "directory"

    def names(self) -> Sequence[str]:
        """List what a folder holds, as far as its server tells."""
        if not self.is_folder:
            return super().names()
        found = self._asked(lambda: self._system.ls(self._path, detail=False))
        names = [PurePosixPath(str(path).rstrip("/")).name for path in found]
        return [name for name in names if name and not name.startswith(".")]

    def entry(self, name: str) -> RemoteSource:
        """Return a file of the folder."""
        if name != PurePosixPath(name).name or name in {"", ".", ".."}:
            raise ww.SourceError(f"{self.label}: {name!r} is no plain name of a file in it")
        return RemoteSource(self._system, f"{self._path.rstrip('/')}/{name}", f"{self.address.rstrip('/')}/{name}")

    @property
    def folder(self) -> RemoteSource:
        """The folder that it lies in."""
        address = self.address.partition("?")[0].rpartition("/")[0]
        return RemoteSource(self._system, self._path.rpartition("/")[0], address)

    @property
    def size(self) -> int:
        """Bytes of the file."""
        size = self._told.get("size")
        if self.is_folder or type(size) is not int or size < 0:
            raise ww.SourceError(f"{self.label}: its server does not report its size: download it first")
        return size

    def stamp(self) -> tuple[int | str, ...]:
        """Return size, version and time of change, as far as the server tells them now.

        Raises:
            OSError: The file is gone.
        """
        try:
            self._system.invalidate_cache()
            told = self._system.info(self._path)
        except Exception as error:  # the libraries of servers raise whatever they like
            raise OSError(f"{self.label}: {_said(error)}") from error
        marks = [str(told[key]) for key in _MARKS if told.get(key)]
        # At one path a server may have many files, told apart by the query: it is no part of the location.
        query = urlsplit(self.address).query
        marks += [blake3.blake3(query.encode()).hexdigest()[:16]] if marks and query else []
        return (int(told.get("size") or 0), *marks) if marks else ()

    def open(self) -> BinaryIO:
        """Open the file; what is read travels when it is read."""
        return cast("BinaryIO", self._asked(lambda: self._system.open(self._path, "rb")))

    def bytes_at(self, offset: int, nbytes: int) -> bytes:
        """Fetch a range of bytes."""
        if not nbytes:
            return b""
        content = self._asked(lambda: self._system.cat_file(self._path, start=offset, end=offset + nbytes))
        if len(content) > nbytes:
            raise ww.SourceError(f"{self.label}: its server does not send parts of a file: download it first")
        if len(content) < nbytes:
            raise ww.CorruptFileError(f"{self.label}: {nbytes} bytes were asked for, and {len(content)} came")
        return bytes(content)

    @functools.cached_property
    def _told(self) -> dict[str, Any]:
        return dict(self._asked(lambda: self._system.info(self._path)))

    def _asked(self, question: Any) -> Any:
        """Ask the server.

        Raises:
            SourceError: It has no such file, or gives no answer.
        """
        try:
            return question()
        except FileNotFoundError as error:
            if error.__cause__ is None:
                raise ww.SourceError(f"{self.label}: there is no such file or folder") from None
            # So fsspec says that a web server gave no answer, too.
            raise ww.SourceError(f"{self.label}: it cannot be read: {_said(error.__cause__)}") from error
        except Exception as error:  # the libraries of servers raise whatever they like
            raise ww.SourceError(f"{self.label}: it cannot be read: {_said(error)}") from error


_MARKS = (
    "ETag", "etag", "md5Hash", "generation", "blob_id", "LastModified", "Last-Modified",
    "last_modified", "Content-MD5", "Digest", "sha", "mtime", "created",
)  # fmt: skip
"""What servers tell of a version of a file, as fsspec passes it on."""


def _patience(scheme: str) -> dict[str, Any]:
    """Options of a file system that gives up on a server that is silent for a while, and on none that is slow."""
    if scheme not in {"http", "https"}:
        return {}
    from aiohttp import ClientTimeout

    return {"client_kwargs": {"timeout": ClientTimeout(total=None, sock_connect=_SILENCE, sock_read=_SILENCE)}}


_SILENCE = 60.0
"""Seconds."""


def _said(error: BaseException) -> str:
    said = re.sub(r"\?[^\s]*", "?...", " ".join(f"{type(error).__name__}: {error}".split()))
    return legible(said)[:300]
