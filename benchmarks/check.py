"""How long `ww check` takes in a store of many versions: the whole command, and the question alone.

    python benchmarks/check.py --versions 200 --layers 200

A model of so many versions and layers, no two alike, each layer with 16 values of its matrix and 4 of its own, fills a
new store by the store's own writer. Then its newest version is checked by a few rules against `previous` and against
`best:alpha`. A command is a process from start to end; `ww_core.check` is the question alone, once everything is
imported. `ww --help` and `ww db info` tell what any command, and any command with a store, takes.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import ww_core as ww
from benchmarks.store_scale import record_version
from ww_core.store.store import open_store

RULES = ("alpha: +5%", "layers.*.alpha: < 9", "layers.*.m1: no worse", "max(m2) / alpha: +-10%")


def measured(what: str, question: Callable[[], object], times: int) -> str:
    """Return a line of the table: wall times, and the least CPU time of this process and its children."""
    question()
    walls, cpus = [], []
    for _ in range(times):
        started, before = time.perf_counter(), os.times()
        question()
        walls.append(time.perf_counter() - started)
        cpus.append(sum(os.times()[:4]) - sum(before[:4]))
    told = (min(walls), statistics.median(walls), min(cpus))
    return f"{what:<42}" + "".join(f" {1000 * own:>8.0f}" for own in told)


def main() -> None:
    """Fill, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--versions", type=int, default=200)
    parser.add_argument("--layers", type=int, default=200)
    parser.add_argument("--times", type=int, default=7, help="how often each is done")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        location = str(Path(folder) / "store.sqlite")
        with open_store(location) as store:
            for number in range(1, options.versions + 1):
                record_version(store, "model", number, options.layers)
        name = f"model@{options.versions}"
        ww_command = [sys.executable, "-m", "ww_core"]
        told = [own for rule in RULES for own in ("--rule", rule)]
        print(f"{options.versions} versions of {options.layers} layers, {len(RULES)} rules (ms, of {options.times})")
        print(f"{'':<42} {'best':>8} {'median':>8} {'CPU':>8}")
        for baseline in ("previous", "best:alpha"):
            arguments = [*ww_command, "check", name, "--baseline", baseline, "--store", location, *told]
            command = partial(subprocess.run, arguments, capture_output=True, check=False)
            print(measured(f"command, {baseline}", command, options.times), flush=True)
            question = partial(ww.check, name, baseline=baseline, rules=RULES, store=location)
            print(measured(f"ww_core.check, {baseline}", question, options.times), flush=True)
        for what, arguments in (
            ("beside them: ww --help", [*ww_command, "--help"]),
            ("beside them: ww db info", [*ww_command, "db", "info", "--store", location]),
        ):
            command = partial(subprocess.run, arguments, capture_output=True, check=False)
            print(measured(what, command, options.times), flush=True)


if __name__ == "__main__":
    main()
