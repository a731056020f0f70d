"""Running several things in turn, so that a busy neighbour disturbs all of them alike."""

from __future__ import annotations

import gc
import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

FEW, SOME, MANY = 3, 5, 100
"""Rounds: where one takes long, where they outlast the time that is given, and at most."""

LONG = 10.0
"""Seconds."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One run: seconds of wall time, CPU seconds of all threads, and for whole processes the peak of memory."""

    wall: float
    cpu: float
    peak: int = 0


class Samples(list[Sample]):
    """The runs of one side."""

    @property
    def median(self) -> float:
        """Of the wall times."""
        return statistics.median(sample.wall for sample in self)

    @property
    def best(self) -> float:
        """Shortest wall time."""
        return min(sample.wall for sample in self)

    @property
    def cpu(self) -> float:
        """Median of the CPU times: without the moments in which another process had the core."""
        return statistics.median(sample.cpu for sample in self)

    @property
    def cores(self) -> float:
        """How many cores were had, in the median."""
        return statistics.median(sample.cpu / sample.wall for sample in self)

    @property
    def peak(self) -> float:
        """Median of the peaks, in bytes."""
        return statistics.median(sample.peak for sample in self)


def timed(run: Callable[..., object], prepare: Callable[[], tuple[object, ...]] = tuple) -> Callable[[], Sample]:
    """Return what times one ``run(*prepare())``, without ``prepare``."""

    def sample() -> Sample:
        arguments = prepare()
        cpu, wall = time.process_time(), time.perf_counter()
        run(*arguments)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        return Sample(wall, cpu)

    return sample


def interleave(sides: Mapping[str, Callable[[], Sample]], *, seconds: float, rounds: int = 0) -> dict[str, Samples]:
    """Run the sides in turn.

    As ``timeit`` does, the cyclic collector is kept out of the timed part: it would walk through the objects of every
    imported library at moments that have nothing to do with what is measured.

    Args:
        sides: Each times one run of its own.
        seconds: How long to go on where rounds are quick.
        rounds: Exactly so many, if not 0.
    """
    samples = {name: Samples() for name in sides}
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        started = time.perf_counter()
        done = 0
        while _goes_on(done, time.perf_counter() - started, seconds, rounds):
            for name, side in sides.items():
                gc.collect()
                samples[name].append(side())
            done += 1
    finally:
        gc.enable()
        gc.unfreeze()
    return samples


def _goes_on(done: int, passed: float, seconds: float, rounds: int) -> bool:
    if rounds or not done:
        return done < max(rounds, 1)
    least = FEW if passed / done > LONG else SOME
    return done < least or (passed < seconds and done < MANY)
