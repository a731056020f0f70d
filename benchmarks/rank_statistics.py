"""How long rank statistics take, and how often their intervals hold the truth.

Usage: python -m benchmarks.rank_statistics [--samples N]. The tables of docs/explanation/ranking.md are from here.
"""

from __future__ import annotations

import argparse
import math
import time
from typing import TYPE_CHECKING

import numpy as np

from ww_core.rank_statistics import correlation, fit_line, grouped_correlation

if TYPE_CHECKING:
    from collections.abc import Callable

SIZES = (20, 100, 2_000, 10_000)
FEW = (4, 5, 8, 10, 20, 50)
TAUS = (0.0, 0.5, 0.8)


def seconds(task: Callable[[], object], repeats: int) -> float:
    """Processor time of a task, the best of some repeats."""
    times = []
    for _ in range(repeats):
        started = time.process_time()
        task()
        times.append(time.process_time() - started)
    return min(times)


def time_all() -> None:
    """Print times of 1000 replicates."""
    random = np.random.default_rng(0)
    print(f"{'models':<28} {'correlation':>12} {'fit_line':>12} {'grouped_correlation':>20}   (s, 1000 replicates)")
    for n in SIZES:
        x = random.standard_normal(n)
        y = x + random.standard_normal(n)
        groups = random.integers(0, 5, n).tolist()
        repeats = 1 if n > 1000 else 5
        times = [
            seconds(lambda x=x, y=y: correlation(x, y), repeats),
            seconds(lambda x=x, y=y: fit_line(x, y), repeats),
            seconds(lambda x=x, y=y, groups=groups: grouped_correlation(x, y, groups), repeats),
        ]
        print(f"{n:<28} {times[0]:>12.4f} {times[1]:>12.4f} {times[2]:>20.4f}")
    groups = np.repeat(np.arange(28), random.integers(4, 21, 28)).tolist()
    x, y = random.standard_normal((2, len(groups)))
    took = seconds(lambda: grouped_correlation(x, y, groups), 5)
    print(f"{f'{len(groups)} in 28 groups of 4 to 20':<28} {'':>12} {'':>12} {took:>20.4f}")


def cover_all(samples: int) -> None:
    """Print how often intervals of 95 % hold the truth, in samples of a bivariate Gaussian."""
    print(f"\n{'tau':>4} {'models':>7} {'tau held':>9} {'no width':>9} {'slope held':>11} {'its t interval':>15}")
    for tau in TAUS:
        pearson = math.sin(math.pi * tau / 2)
        for n in FEW:
            random = np.random.default_rng(n)
            held = np.zeros(4)
            for seed in range(samples):
                x = random.standard_normal(n)
                y = pearson * x + math.sqrt(1 - pearson**2) * random.standard_normal(n)
                line = fit_line(x, y, seed=seed)
                found, slope = line.correlation.tau, line.slope
                held += (
                    found.low <= tau <= found.high,
                    found.low == found.high,
                    slope.low <= pearson <= slope.high,
                    slope.t_low <= pearson <= slope.t_high,
                )
            shares = held / samples
            print(f"{tau:>4} {n:>7} {shares[0]:>9.2f} {shares[1]:>9.2f} {shares[2]:>11.2f} {shares[3]:>15.2f}")


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=1000, help="samples of each row of the second table")
    samples = parser.parse_args().samples
    time_all()
    cover_all(samples)


if __name__ == "__main__":
    main()
