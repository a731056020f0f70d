"""``ww_core.judge`` beside the bare arithmetic: Gram matrix, eigenvalues and tail fit, in turn, as ratios.

Usage: python -m benchmarks.judge [--seconds S]. The bare side is NumPy's matmul and eigvalsh, and our fit of the same
eigenvalues; of a stack the first two in one call each. Both have one thread of BLAS.
"""

from __future__ import annotations

import argparse
import functools
from typing import TYPE_CHECKING, Any

from benchmarks.peer.timing import interleave, timed  # first: it limits BLAS before NumPy is loaded

import numpy as np  # isort: skip

import ww_core as ww  # isort: skip
from ww_core.spectral import fit_power_law  # isort: skip

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

CASES: tuple[tuple[tuple[int, ...], float, int], ...] = (
    ((64, 64), 1.6, 200),
    ((64, 256), 0.0, 100),
    ((256, 256), 0.0, 20),
    ((768, 768), 0.0, 2),
    ((1000, 64, 64), 1.3, 1),
    ((1000, 16, 16), 0.0, 1),
    ((4096, 4096), 1.05, 1),
)
"""Shape, the ratio that is wanted, 0 for none, and calls that are timed together."""


def bare(array: npt.NDArray[Any]) -> None:
    """Do what cannot be left out, as one would without ww."""
    wide = array.astype(np.float64)
    grams = wide.mT @ wide if array.shape[-2] > array.shape[-1] else wide @ wide.mT
    for eigenvalues in np.atleast_2d(np.linalg.eigvalsh(grams)):
        fit_power_law(eigenvalues)


def repeated(call: Callable[[npt.NDArray[Any]], object], array: npt.NDArray[Any], times: int) -> None:
    """Call so many times."""
    for _ in range(times):
        call(array)


def main() -> None:
    """Print a row for each shape."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=6.0, help="how long each shape is measured")
    seconds = parser.parse_args().seconds
    random = np.random.Generator(np.random.Philox(0))
    print("milliseconds a call; judge / bare by medians, minima, CPU times; the ratio that is wanted; rounds")
    print(f"{'shape':<14}{'bare':>11}{'judge':>11}{'medians':>10}{'minima':>10}{'CPU':>10}{'wanted':>10}{'rounds':>8}")
    for shape, wanted, times in CASES:
        array = random.standard_t(3, shape).astype(np.float32)
        sides = {side: timed(functools.partial(repeated, call, array, times)) for side, call in SIDES.items()}
        for side in sides.values():
            side()
        found = interleave(sides, seconds=seconds)
        theirs, ours = found["bare"], found["judge"]
        ratios = (ours.median / theirs.median, ours.best / theirs.best, ours.cpu / theirs.cpu)
        name = "x".join(map(str, shape))
        milliseconds = "".join(f"{1e3 * side.median / times:>11.3f}" for side in (theirs, ours))
        print(
            name.ljust(14), milliseconds, *(f"{ratio:>9.2f}" for ratio in ratios), f"{wanted or '':>9} {len(ours):>7}"
        )


SIDES: dict[str, Callable[[Any], object]] = {"bare": bare, "judge": ww.judge}

if __name__ == "__main__":
    main()
