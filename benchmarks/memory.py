"""Peak memory of an analysis: VmHWM above the start, in tensors and float64 copies of their Gram matrices.

    python benchmarks/memory.py --gigabytes 2 --jobs 2

A synthetic sharded safetensors model is written to a temporary folder, then analysed in a process of its own with the
command line's defaults (spectra stored, every metric of profile ``default``). Linux only: it reads /proc.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

MIB = 1 << 20

CHILD = """
import json, sys
from pathlib import Path

def peak():
    status = Path("/proc/self/status").read_text()
    return {line.split(":")[0]: int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("Vm")}

import ww_core as ww
from ww_core.plugins.discovery import load_plugins

source, store, jobs = sys.argv[1:4]
registry = load_plugins()
# One small analysis first: imports, BLAS buffers and the store's machinery are the start, not the work.
import numpy as np
random = np.random.default_rng(0)
small = {f"{i}.weight": random.standard_normal((256, 512)).astype(np.float32) for i in range(4)}
ww.analyze(small, jobs=int(jobs), registry=registry)
before = peak()
report = ww.analyze(source, store=store, jobs=int(jobs), registry=registry)
after = peak()
assert not report.failures
print(json.dumps({"start": before["VmHWM"], "peak": after["VmHWM"], "end": after["VmRSS"],
                  "seconds": report.run.seconds, "computed": report.run.computed}))
"""


def write_model(folder: Path, tensors: int, rows: int, cols: int, shards: int) -> None:
    """Write a sharded model of equal float32 matrices."""
    import numpy as np
    from safetensors.numpy import save_file

    weight_map = {}
    for shard in range(shards):
        name = f"model-{shard + 1:05}-of-{shards:05}.safetensors"
        content = {}
        for index in range(shard, tensors, shards):
            random = np.random.Generator(np.random.Philox(index))
            content[f"layers.{index}.weight"] = random.standard_normal((rows, cols), dtype=np.float32)
            weight_map[f"layers.{index}.weight"] = name
        save_file(content, folder / name)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))


def measure(folder: Path, jobs: int) -> dict[str, float]:
    """Analyse the model in a process of its own, and return its sizes in bytes and its time in seconds."""
    command = [sys.executable, "-c", CHILD, str(folder), str(folder / "store.sqlite"), str(jobs)]
    return dict(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))


def main() -> None:
    """Write, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--gigabytes", type=float, default=2.0)
    parser.add_argument("--rows", type=int, default=4096)
    parser.add_argument("--cols", type=int, default=8192)
    parser.add_argument("--shards", type=int, default=4)
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    tensor = options.rows * options.cols * 4
    gram = min(options.rows, options.cols) ** 2 * 8
    tensors = max(options.shards, round(options.gigabytes * (1 << 30) / tensor))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_model(folder, tensors, options.rows, options.cols, options.shards)
        result = measure(folder, options.jobs)
    above = result["peak"] - result["start"]
    print(f"model: {tensors} x {options.rows} x {options.cols} float32 = {tensors * tensor / MIB:.0f} MiB")
    print(f"tensor {tensor / MIB:.0f} MiB, float64 Gram matrix {gram / MIB:.0f} MiB, jobs {options.jobs}")
    print(f"peak above the start: {above / MIB:.0f} MiB; at the end: {(result['end'] - result['start']) / MIB:.0f} MiB")
    print(f"  = {options.jobs} tensors + {(above - options.jobs * tensor) / gram / options.jobs:.2f} Grams a worker")
    print(f"{result['computed']} spectra in {result['seconds']:.1f} s")


if __name__ == "__main__":
    main()
