"""The extractor ``fft`` against a full complex SVD."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.peer.models import heavy_tailed
from benchmarks.peer.report import RATIOS, ratios, times
from benchmarks.peer.sections.section import Measured
from benchmarks.peer.timing import timed

if TYPE_CHECKING:
    import numpy.typing as npt

    from benchmarks.peer.bench import Bench
    from benchmarks.peer.sections.section import Cases

EXPLANATION = (
    "Singular values of circular convolutions: our extractor `fft`, from kernel to spectrum, against "
    "`numpy.linalg.svd` of `numpy.fft.fft2` at every frequency, in double precision. The peer's own option computes "
    "something else, so it is not here. Ratios are full SVD / ours."
)
COLUMNS = ("kernel", "n", "ours median", "min", "SVD median", "min", *RATIOS, "norm apart")

KERNELS = (((16, 16, 3, 3), 32), ((64, 64, 3, 3), 32), ((64, 64, 7, 7), 14), ((64, 3, 7, 7), 32), ((512, 512, 3, 3), 3))


def cases(bench: Bench) -> Cases:
    """One for each kernel and grid."""
    for shape, n in KERNELS:
        yield f"{'x'.join(map(str, shape))} n={n}", partial(_against_svd, bench, shape, n)


def _against_svd(bench: Bench, shape: tuple[int, ...], n: int) -> Measured:
    kernel = heavy_tailed(shape, np.random.default_rng([bench.options.seed, *shape]))
    work = bench.ours.work(
        {"conv.weight": kernel}, request={"extractors": [f"fft[n={n}]"], "metrics": ["spectral_norm"]}
    )
    ours = work.report.layers[0].metrics["spectral_norm"].value
    samples = bench.interleave({"ours": timed(work.compute), "svd": timed(lambda: _full_svd(kernel, n))})
    row = [
        "x".join(map(str, shape)),
        str(n),
        *times(samples["ours"]),
        *times(samples["svd"]),
        *ratios(samples["svd"], samples["ours"]),
        f"{abs(ours / _full_svd(kernel, n).max() - 1):.1e}",
    ]
    return Measured([row])


def _full_svd(kernel: npt.NDArray[np.float32], n: int) -> npt.NDArray[np.floating]:
    transform = np.fft.fft2(kernel.astype(np.float64), (n, n), axes=(2, 3)).transpose(2, 3, 0, 1)
    return np.linalg.svd(transform, compute_uv=False)
