"""Reading a model tensor by tensor takes the memory of one tensor."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import weakref
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

import ww_core as ww

TENSOR = 32 * 2**20
COUNT = 32

PROGRAM = """
import sys
from pathlib import Path
import numpy, ml_dtypes, safetensors
from ww_core.loading.files import FileSource
from ww_plugins.loaders.safetensors import SafetensorsLoader

def memory():
    lines = dict(line.split(":", 1) for line in open("/proc/self/status"))
    return [int(lines[key].split()[0]) * 1024 for key in ("VmRSS", "VmHWM")]

checkpoint = SafetensorsLoader().open(FileSource(Path(sys.argv[1])))
before, _ = memory()
inside = kept = 0
views = []
for layer in checkpoint.layers:
    with checkpoint.read(layer.weight) as array:
        array.max()
        inside = max(inside, memory()[0] - before)
    views.append(array)
    kept = max(kept, memory()[0] - before)
print(inside, kept, memory()[1] - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
def test_memory_falls_back_after_each_tensor(tmp_path, raw):
    header = {
        f"layer.{i}.weight": {
            "dtype": "F32",
            "shape": [1024, TENSOR // 4096],
            "data_offsets": [i * TENSOR, (i + 1) * TENSOR],
        }
        for i in range(COUNT)
    }
    path = tmp_path / "large.safetensors"
    path.write_bytes(raw(header))
    with path.open("r+b") as file:
        file.truncate(8 + len(json.dumps(header)) + TENSOR * COUNT)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, path], capture_output=True, text=True, check=True, timeout=120
    )
    inside, kept, peak = map(int, done.stdout.split())
    assert TENSOR * 0.9 < inside < TENSOR * 1.5
    assert kept < TENSOR * 0.25  # the views are still held
    assert peak < TENSOR * 1.5


class MadeWhenAsked(Mapping):
    """Weights that are made each time that they are asked for; it can tell which of them are still held."""

    def __init__(self, count):
        self.names = [f"{n}.weight" for n in range(count)]
        self.made = []

    def __getitem__(self, name):
        array = np.random.default_rng(self.names.index(name)).standard_normal((30, 20))
        self.made.append(weakref.ref(array))
        return array

    def __iter__(self):
        return iter(self.names)

    def __len__(self):
        return len(self.names)


def test_an_analysis_holds_no_weight_of_a_layer_that_is_done():
    weights = MadeWhenAsked(6)
    gc.collect()
    gc.disable()
    try:
        report = ww.analyze(weights, jobs=1)
        held = sum(made() is not None for made in weights.made)
    finally:
        gc.enable()
    assert len(report.layers) == 6
    assert held == 0
