"""One core kept busy by somebody else: a second worker must not make it worse."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from functools import partial
from typing import TYPE_CHECKING

from benchmarks.peer.bench import Skipped
from benchmarks.peer.report import RATIOS, Goal, ratios, times
from benchmarks.peer.sections.section import Measured
from benchmarks.peer.timing import timed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.peer.bench import Bench
    from benchmarks.peer.sections.section import Cases

EXPLANATION = (
    "A process that does nothing but spin holds the last core that this one may use. `ww.analyze` into a fresh store "
    "with one worker and with two; ratios are two / one."
)
COLUMNS = ("model", "jobs=2 median", "min", "jobs=1 median", "min", *RATIOS)

MODELS = ("minilm", "vgg16")
GOAL = Goal(at_most=1.2)

SPINNER = """
import os, sys
parent, core = map(int, sys.argv[1:])
os.sched_setaffinity(0, {core})
while os.getppid() == parent:  # it must not outlive a benchmark that is killed
    pass
"""


def cases(bench: Bench) -> Cases:
    """One for each model."""
    for name in bench.models(MODELS):
        yield name, partial(_beside_a_busy_core, bench, name)


def _beside_a_busy_core(bench: Bench, name: str) -> Measured:
    ours, weights = bench.ours, bench.model(name).weights
    sides = {
        jobs: timed(partial(ours.analyze, weights, jobs=jobs), prepare=lambda: (ours.fresh_store(),)) for jobs in (2, 1)
    }
    with _busy_core():
        samples = bench.interleave({str(jobs): side for jobs, side in sides.items()})
    two, one = samples["2"], samples["1"]
    return Measured([[name, *times(two), *times(one), *ratios(two, one, GOAL, one_thread=False)]])


@contextlib.contextmanager
def _busy_core() -> Iterator[None]:
    if not hasattr(os, "sched_setaffinity"):
        raise Skipped("this system cannot hold a process on one core")
    core = max(os.sched_getaffinity(0))
    with subprocess.Popen([sys.executable, "-I", "-S", "-c", SPINNER, str(os.getpid()), str(core)]) as spinner:
        try:
            yield
        finally:
            spinner.kill()
