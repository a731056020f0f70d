"""The loader of Keras's files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import ww_core as ww
from ww_core.loading.shards import FileFormat
from ww_core.loading.zips import ZIP_MAGIC, Directory

if TYPE_CHECKING:
    from ww_core.loading.mapped import MappedCheckpoint, MappedFile

_MAGIC = b"\x89HDF\r\n\x1a\n"
_WEIGHTS = b"model.weights.h5"


def _read(file: ww.Source) -> MappedFile:
    from ww_plugins.loaders.keras.files import read_file  # what reads them is only loaded where there is one

    return read_file(file)


_HEAD = 4096  # enough to recognise an index
_FORMAT = FileFormat(
    "keras",
    (".keras", ".h5", ".hdf5"),
    _read,
    ordered=True,
    preferred=("model.keras", "model.weights.h5", "tf_model.h5"),
)


class KerasLoader(ww.Loader):
    """Reads ``.keras``, ``.weights.h5``, alone or in shards, and the ``.h5`` of Keras 1 and 2, or a folder of these."""

    name = "keras"
    description = "Keras files (.keras .weights.h5 .h5): read without Keras and HDF5's library, no model is built"

    def probe(self, source: ww.Source) -> float:
        """Judge a file by its first bytes, and an archive by what it holds. For its suffix a damaged one is claimed."""
        if source.is_object:
            return 0.0
        named = 0.1 if _FORMAT.claims(source.name) else 0.0
        try:
            if source.is_folder:
                return _FORMAT.sureness(source, 0.7)
            head = source.head(_HEAD)
        except ww.SourceError:
            return named
        if head.startswith(_MAGIC):
            return 0.9
        if _is_index(head):
            return 1.0
        return 1.0 if head.startswith(ZIP_MAGIC) and _holds_weights(source) else named

    def open(self, source: ww.Source) -> MappedCheckpoint:
        """Read the groups of the file and the configuration of the model.

        Raises:
            SourceError: What was named is no file or folder that can be read, or does not say which file is meant.
            CorruptFileError: A file is damaged, leads out of itself, or is none of Keras.
        """
        if source.is_object:
            raise ww.SourceError(f"Keras's files are read from a path, not from an object of type {source.name}")
        from ww_plugins.loaders.keras.sharded import index_in, open_shards, warnings_of_shard

        if source.is_folder:
            index = index_in(source)
            return _FORMAT.open(source, _HEAD) if index is None else open_shards(index, source)
        if _is_index(source.head(_HEAD)):
            return open_shards(source, source.folder)
        checkpoint = _FORMAT.open(source, _HEAD)
        checkpoint.warnings = (*warnings_of_shard(source), *checkpoint.warnings)
        return checkpoint


def _is_index(head: bytes) -> bool:
    """Tell whether a file that begins so names shards of Keras."""
    return head.lstrip().startswith(b"{") and b'"weight_map"' in head and b'.weights.h5"' in head


def _holds_weights(archive: ww.Source) -> bool:
    try:
        with archive.open() as handle:
            return _WEIGHTS in Directory(archive, handle).entries
    except ww.SourceError:
        return False
