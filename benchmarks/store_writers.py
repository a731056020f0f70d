"""Sixteen writers and four readers at one store: how long each waits, and whether all that was written is there.

    python -m benchmarks.store_writers
    python -m benchmarks.store_writers --store postgresql://ww@localhost/ww --seconds 30

Each writer is a process that analyses versions of a small model of its own, one after the other, and stores a score of
each; it notes how long each version took. Each reader is a process that asks for leaderboards, trends and
histories meanwhile. Afterwards every version that a writer finished must be there, whole, and ``ww db check`` finds
nothing.
The store is new, and goes away unless it is named.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

import ww_core as ww

WRITERS, READERS = 16, 4
LAYERS = 10


_start: Any = None


def wait_for(start: Any) -> None:
    """Remember what all processes wait for before they begin."""
    global _start
    _start = start


def write(arguments: tuple[str, int, float]) -> list[float]:
    """Record versions until the time is over; return how long each took."""
    location, own, duration = arguments
    took = []
    registry = ww.load_plugins(objects=[])
    drawn = np.random.default_rng(own)
    with ww.open_store(location) as store:
        number = 0
        _start.wait()
        ends = time.time() + duration
        while time.time() < ends:
            number += 1
            weights = {f"blocks.{place}.weight": drawn.standard_normal((48, 32)) for place in range(LAYERS)}
            name = {"name": f"model-{own}", "version": str(number)}
            started = time.perf_counter()
            ww.analyze(weights, store=store, registry=registry, jobs=1, **name)
            store.add_scores(
                [ww.Score(f"model-{own}", "top1_error", "images", float(number), "bench", str(number), "lower")]
            )
            took.append(time.perf_counter() - started)
    return took


def read(arguments: tuple[str, int, float]) -> dict[str, list[float]]:
    """Ask until the time is over; return how long each kind of question took."""
    location, own, duration = arguments
    took: dict[str, list[float]] = {"leaderboard": [], "trend": [], "history": []}
    with ww.open_store(location, mode="read") as store:
        _start.wait()
        ends = time.time() + duration
        while time.time() < ends:
            questions: dict[str, Any] = {
                "leaderboard": lambda: ww.leaderboard("alpha", store=store, replicates=0),
                "trend": lambda: ww.trend(["alpha"], "top1_error", store=store, by=(), replicates=0),
                "history": lambda: ww.history(f"model-{own}", store=store, metrics=["alpha"]),
            }
            for name, question in questions.items():
                started = time.perf_counter()
                try:
                    question()
                except (ww.NotStoredError, ww.UsageError):  # the writers have only begun
                    time.sleep(0.05)
                    continue
                took[name].append(time.perf_counter() - started)
    return took


def run(location: str, duration: float) -> int:
    """Let them work, print how long they waited, and count what is wrong."""
    ww.open_store(location).close()
    context = multiprocessing.get_context("spawn")
    start = context.Barrier(WRITERS + READERS)
    with context.Pool(WRITERS + READERS, initializer=wait_for, initargs=(start,)) as pool:
        writers = pool.map_async(write, [(location, own, duration) for own in range(WRITERS)], chunksize=1)
        readers = pool.map_async(read, [(location, own, duration) for own in range(READERS)], chunksize=1)
        written, asked = writers.get(), readers.get()
    versions = sum(map(len, written))
    print(f"{WRITERS} writers, {READERS} readers: {versions} versions of {LAYERS} layers")
    print(f"{'':<24} {'count':>7} {'median':>8} {'95 %':>8} {'longest':>8}   (ms)")
    show("a version", [own for of in written for own in of])
    for name in asked[0]:
        show(name, [own for of in asked for own in of[name]])
    return faults(location, [len(own) for own in written])


def show(name: str, took: list[float]) -> None:
    """Print how long something took."""
    if len(took) < 2:
        print(f"{name:<24} {len(took):>7}")
        return
    told = (statistics.median(took), statistics.quantiles(took, n=20)[-1], max(took))
    print(f"{name:<24} {len(took):>7}" + "".join(f" {1000 * own:>8.1f}" for own in told), flush=True)


def faults(location: str, written: list[int]) -> int:
    """Count and print what is not there, or not whole."""
    found = []
    with ww.open_store(location, mode="read") as store:
        for own, count in enumerate(written):
            history = ww.history(f"model-{own}", store=store, metrics=["alpha"])
            labels = [version.version for version in history.versions if version.is_analyzed]
            if labels != [str(number) for number in range(1, count + 1)]:
                found.append(f"model-{own}: {len(labels)} of {count} versions")
            if history.tracks["alpha"].missing.any():
                found.append(f"model-{own}: values are missing")
            if len(store.scores([f"model-{own}"])) != count:
                found.append(f"model-{own}: {len(store.scores([f'model-{own}']))} of {count} scores")
        found += [str(fault) for fault in store.verify().faults.items()]
    print("\n".join(found) or "all that was written is there, and whole")
    return len(found)


def main() -> int:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--store", help="path or URL of a store that is not there yet; default a temporary file")
    parser.add_argument("--seconds", type=float, default=10.0, help="how long they work")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        return min(1, run(options.store or str(Path(folder) / "store.sqlite"), options.seconds))


if __name__ == "__main__":
    sys.exit(main())
