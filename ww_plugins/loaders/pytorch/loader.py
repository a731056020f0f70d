"""The loader of PyTorch's files."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import ww_core as ww
from ww_core.loading.shards import FileFormat
from ww_core.loading.zips import ZIP_MAGIC, Directory
from ww_plugins.loaders.pytorch.magic import LEGACY_MAGIC

if TYPE_CHECKING:
    from ww_core.loading.mapped import MappedCheckpoint, MappedFile


_HEAD = 4096  # enough to recognise a format
_BESIDE_MODELS = re.compile("optimizer|scheduler|scaler|rng_state|random_states|training_args")


def _format(under: str = "") -> FileFormat:
    def read(file: ww.Source) -> MappedFile:
        from ww_plugins.loaders.pytorch.files import read_file  # what reads them is only loaded where there is one

        return read_file(file, under)

    return FileFormat(
        name="pytorch",
        suffixes=(".bin", ".pt", ".pth", ".th", ".ckpt", ".pkl", ".pickle"),
        read=read,
        ordered=True,
        preferred=("pytorch_model.bin", "adapter_model.bin", "diffusion_pytorch_model.bin"),
        beside=_BESIDE_MODELS,
    )


_FORMAT = _format()


@dataclass(frozen=True)
class PyTorchLoader(ww.Loader):
    """Reads what ``torch.save`` or ``pickle.dump`` wrote, a folder with such a file or its shards, or their index.

    Attributes:
        weights: Key under which the weights lie, where a file holds several sets of them, such as ``ema``.
    """

    name = "pytorch"
    description = (
        "PyTorch files (.pt .pth .th .bin .ckpt), sharded or not: read without torch, nothing in them is executed"
    )
    weights: str = ""

    def probe(self, source: ww.Source) -> float:
        """Judge a file by its first bytes. For its suffix a damaged one is claimed too: open can say what is wrong."""
        if source.is_object:
            return 0.0
        named = 0.1 if _FORMAT.claims(source.name) else 0.0
        try:
            if source.is_folder:
                return _of_folder(source)
            head = source.head(_HEAD)
        except ww.SourceError:
            return named
        if head.startswith(LEGACY_MAGIC) or _FORMAT.is_index(head):
            return 1.0
        if head.startswith(ZIP_MAGIC):
            return 0.9 if b"/data.pkl" in head or _holds_a_pickle(source) else named
        # A pickle says so by one byte and its protocol.
        return max(named, 0.4) if head[:1] == b"\x80" and head[1:2] in {b"\x02", b"\x03", b"\x04", b"\x05"} else named

    def open(self, source: ww.Source) -> MappedCheckpoint:
        """Read the pickles, and check every tensor's place.

        Raises:
            UsageError: No weights lie under the key.
            SourceError: What was named is no file or folder that can be read, does not say which file is meant, or
                holds no tensor.
            CorruptFileError: A file is damaged, or contradicts itself or its index.
        """
        if source.is_object:
            raise ww.SourceError(f"PyTorch files are read from a path, not from an object of type {source.name}")
        return (_format(self.weights) if self.weights else _FORMAT).open(source, _HEAD)


def _of_folder(folder: ww.Source) -> float:
    """Judge a folder by names. ``.bin`` may be the data of something else, and a training leaves more than a model."""
    sure = _FORMAT.sureness(folder, 0.8)
    names = [name for name in folder.names() if _FORMAT.claims(name) and not _BESIDE_MODELS.match(name)]
    return min(sure, 0.3) if sure == 0.5 and all(name.endswith(".bin") for name in names) else sure


def _holds_a_pickle(archive: ww.Source) -> bool:
    """Whether the directory of a zip archive names one: TorchScript's lies behind the storages."""
    try:
        with archive.open() as handle:
            return any(name.endswith(b"/data.pkl") for name in Directory(archive, handle).entries)
    except ww.SourceError:
        return False
