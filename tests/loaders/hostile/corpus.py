"""The hostile corpus: every source of every format that lies, calls or costs, by format and name."""

from __future__ import annotations

from hostile import graphs, keras, npz, onnx, pytorch, safetensors, tensorflow, tflite, torchscript
from hostile.lie import Hostile

CORPUS: dict[str, dict[str, Hostile]] = {}
for _format in (safetensors, pytorch, torchscript, npz, keras, onnx, tflite, tensorflow, graphs):
    CORPUS |= _format.SOURCES
