"""The loader of ONNX files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import ww_core as ww
from ww_core.loading.impostors import refuse_impostor
from ww_core.loading.mapped import MappedFile
from ww_core.loading.shards import FileFormat
from ww_plugins.loaders.onnx.magic import begins_as_model

if TYPE_CHECKING:
    from ww_core.loading.mapped import MappedCheckpoint

_HEAD = 4096  # enough to recognise a format


class OnnxLoader(ww.Loader):
    """Reads an ``.onnx`` file, with the data beside it, or a folder with one."""

    name = "onnx"
    description = "ONNX models, with external data or without: the graph tells what each tensor is, and is not run"

    def probe(self, source: ww.Source) -> float:
        """Judge a file by its first bytes. For its suffix a damaged one is claimed too: open can say what is wrong."""
        if source.is_object:
            return 0.0
        named = 0.1 if source.name.endswith(".onnx") else 0.0
        try:
            if source.is_folder:
                return _FORMAT.sureness(source, 0.6)
            return max(named, begins_as_model(source.head(_HEAD), source.size))
        except ww.SourceError:
            return named

    def open(self, source: ww.Source) -> MappedCheckpoint:
        """Read the graph, and check every tensor's place.

        Raises:
            SourceError: What was named is no file or folder that can be read, does not say which file is meant, or
                holds no tensor; or a file beside it is missing.
            CorruptFileError: The model is damaged, or contradicts itself or the files beside it.
        """
        if source.is_object:
            raise ww.SourceError(f"ONNX models are read from a path, not from an object of type {source.name}")
        return _FORMAT.open(source, _HEAD)


def _read(file: ww.Source) -> MappedFile:
    from ww_core.loading.protobuf import Reader
    from ww_plugins.loaders.onnx.graph import Walk  # what reads them is only loaded where there is one
    from ww_plugins.loaders.onnx.layers import Layers
    from ww_plugins.loaders.onnx.messages import read_model
    from ww_plugins.loaders.onnx.tensors import Tensors

    if not begins_as_model(file.head(_HEAD), file.size):
        refuse_impostor(file)
    reader = Reader(file, "no model of ONNX")
    walk = Walk(reader, read_model(reader))
    walk.go()
    layers = Layers(walk, Tensors(reader))
    tensors = layers.all()
    if not tensors:
        raise ww.SourceError(f"{file.label}: no tensor is in its graph")
    return MappedFile(file, tensors, warnings=layers.warnings())


_FORMAT = FileFormat("onnx", (".onnx",), _read, ordered=True, preferred=("model.onnx",))
