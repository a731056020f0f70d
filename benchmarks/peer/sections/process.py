"""Whole processes, from nothing to the result."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.peer import launch
from benchmarks.peer.report import NO_GOAL, Goal, ratios, times
from benchmarks.peer.sections.section import Measured
from benchmarks.peer.timing import Sample

if TYPE_CHECKING:
    from benchmarks.peer.bench import Bench
    from benchmarks.peer.sections.section import Cases

EXPLANATION = (
    "`ww analyze FILE --store STORE` with a store that exists and knows nothing of the file, against a Python process "
    "that imports the peer, loads the same file into torch modules and analyses them. Files are cached, byte code is "
    "compiled. Ratios are peer / ours, of wall time and of peak resident memory."
)
COLUMNS = (
    "model", "median", "min", "peer median", "peer min", "ratio", "of minima", "of CPU", "rounds", "goal", "holds",
    "peak", "peer peak", "of peaks", "goal", "holds",
)  # fmt: skip

GOALS = {"resnet20": (Goal(5.0), Goal(4.0))}
"""Ratios to reach: of time and of memory."""

ROOT = Path(__file__).parents[3]
MIB = 1 << 20


def cases(bench: Bench) -> Cases:
    """One for each model."""
    for name in bench.models(GOALS):
        yield name, partial(_whole, bench, name)


def _whole(bench: Bench, name: str) -> Measured:
    from safetensors.numpy import save_file

    file = bench.folder / f"{name}.safetensors"
    save_file(bench.model(name).weights, file)
    program = Path(sys.executable).with_name("ww")

    def ours() -> Sample:
        return _launched(program, "analyze", file, "--store", bench.ours.fresh_store())

    def peer() -> Sample:
        return _launched(sys.executable, "-m", "benchmarks.peer.theirs", file)

    for warm_up in (ours, peer):
        warm_up()
    samples = bench.interleave({"ours": ours, "peer": peer})
    time_goal, memory_goal = GOALS.get(name, (NO_GOAL, NO_GOAL))
    memory = samples["peer"].peak / samples["ours"].peak
    row = [
        name,
        *times(samples["ours"]),
        *times(samples["peer"]),
        *ratios(samples["peer"], samples["ours"], time_goal, one_thread=False),
        *(f"{samples[side].peak / MIB:.0f} MiB" for side in ("ours", "peer")),
        f"{memory:.2f}x",
        *memory_goal.cells(memory),
    ]
    return Measured([row])


def _launched(*command: object) -> Sample:
    # What a user has: byte code is kept, and no store but the one that is named.
    kept = {key: value for key, value in os.environ.items() if key not in {"PYTHONDONTWRITEBYTECODE", "WW_STORE"}}
    launcher = [sys.executable, "-I", "-S", launch.__file__, *map(str, command)]
    done = subprocess.run(launcher, env=kept, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        cause = done.stderr.strip().rpartition("\n")[2]
        raise RuntimeError(f"{command[0]} failed: {cause}")
    return Sample(**json.loads(done.stdout))
