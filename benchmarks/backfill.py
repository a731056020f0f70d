"""Seconds of `ww backfill` of one new metric over many stored small models.

Usage: python benchmarks/backfill.py [MODELS]. The goal: 1,000 models of four layers in under 5 s.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np

import ww_core as ww
from ww_core.plugins.discovery import load_plugins

if TYPE_CHECKING:
    import numpy.typing as npt

SHAPES = {"conv1": (8, 3, 3, 3), "conv2": (16, 8, 3, 3), "fc1": (32, 64), "fc2": (10, 32)}


@ww.metric(version="1")
def nuclear_norm(singular_values: npt.NDArray[np.float64]) -> float:
    """Sum of the singular values; unit of the weights."""
    return float(singular_values.sum())


def main() -> None:
    """Store the models, then fill in a metric that is new."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    random, registry = np.random.default_rng(0), load_plugins()
    with tempfile.TemporaryDirectory() as folder, ww.open_store(Path(folder, "ww.sqlite")) as store:
        started = time.perf_counter()
        for index in range(count):
            weights = {f"{name}.weight": random.standard_normal(shape, np.float32) for name, shape in SHAPES.items()}
            ww.analyze(weights, store=store, registry=registry, name=f"model{index}", jobs=1)
        print(f"{count} models analysed and stored: {time.perf_counter() - started:.1f} s")
        plugin = SimpleNamespace(ww_register_metrics=ww.hookimpl(lambda: [nuclear_norm]))
        registry = load_plugins(objects=[plugin])
        started, used = time.perf_counter(), time.process_time()
        report = ww.backfill(store, registry=registry, metrics=["nuclear_norm"], jobs=1)
        values = sum(own.values for own in report.filled)
        seconds, used = time.perf_counter() - started, time.process_time() - used
        print(f"{values} values of {len(report.filled)} models filled in: {seconds:.1f} s (processor: {used:.1f} s)")


if __name__ == "__main__":
    main()
