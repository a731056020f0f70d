"""The loader of TensorFlow Lite's models."""

from __future__ import annotations

import ww_core as ww
from ww_core.loading.impostors import refuse_impostor
from ww_core.loading.mapped import MappedCheckpoint
from ww_plugins.loaders.tflite.constants import read_constants
from ww_plugins.loaders.tflite.flatbuffer import Flatbuffer
from ww_plugins.loaders.tflite.model import Model

_IDENTIFIER = b"TFL3"
_BEFORE = 4  # bytes that stand before it


class TFLiteLoader(ww.Loader):
    """Reads a ``.tflite`` file."""

    name = "tflite"
    description = "TensorFlow Lite's models (LiteRT), quantised or not"

    def probe(self, source: ww.Source) -> float:
        """Judge a file by its first bytes. For its suffix a damaged one is claimed too: open can say what is wrong."""
        if source.is_object or source.is_folder:
            return 0.0
        named = 0.1 if source.name.endswith(".tflite") else 0.0
        try:
            return 1.0 if _is_identified(source) else named
        except ww.SourceError:
            return named

    def open(self, source: ww.Source) -> MappedCheckpoint:
        """Read the tables, and check them.

        Raises:
            SourceError: What was named is no file that can be read, or takes more than the budget.
            CorruptFileError: It is no such model, or contradicts itself.
        """
        if source.is_object:
            raise ww.SourceError(
                f"models of TensorFlow Lite are read from a path, not from an object of type {source.name}"
            )
        if source.is_folder:
            raise ww.SourceError(f"{source.label}: this is a folder: name the .tflite file in it")
        if not _is_identified(source):
            refuse_impostor(source)
            raise ww.CorruptFileError(
                f"{source.label}: not a model of TensorFlow Lite, or damaged: it has no {_IDENTIFIER.decode()} at its "
                "fifth byte"
            )
        return MappedCheckpoint("TensorFlow Lite", [read_constants(Model(Flatbuffer(source)))], ordered=True)


def _is_identified(file: ww.Source) -> bool:
    return file.head(_BEFORE + len(_IDENTIFIER))[_BEFORE:] == _IDENTIFIER
