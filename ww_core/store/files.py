"""Digests of tensors in files, as they were when the files were last read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, bindparam, select

from ww_core.domain.identity import digest_of
from ww_core.store import tables as t
from ww_core.store.rows import chunks, clean, upsert


def known_digests(connection: Connection, host: str, path: str, tensors: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Return (stamp, digest) of tensors of a file by name, as they were when the file was last read on this host."""
    names = {_file_key(host, path, name): name for name in tensors}
    known = {}
    for chunk in chunks(list(names)):
        for key, stamp, digest in connection.execute(_FILE_DIGESTS, {"keys": chunk}).all():
            known[names[key]] = (stamp, digest)
    return known


_file = t.file_digest.c
_FILE_DIGESTS = select(_file.key, _file.stamp, _file.digest).where(_file.key.in_(bindparam("keys", expanding=True)))


def record_digests(connection: Connection, host: str, path: str, digests: Mapping[str, tuple[str, str]]) -> None:
    """Remember (stamp, digest) of the tensors of a file, by tensor name."""
    rows = [
        {"key": _file_key(host, path, name), "path": path, "stamp": stamp, "digest": digest}
        for name, (stamp, digest) in digests.items()
    ]
    upsert(connection, t.file_digest, rows, update_columns=("stamp", "digest"))


def _file_key(host: str, path: str, tensor: str) -> str:
    return digest_of("file", {"host": host, "path": clean(path), "tensor": clean(tensor)})
