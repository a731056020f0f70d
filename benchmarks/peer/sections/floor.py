"""The computation of a model against the least that its decompositions cost."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.peer.report import RATIOS, Goal, ratios, times
from benchmarks.peer.sections.section import Measured
from benchmarks.peer.timing import timed

if TYPE_CHECKING:
    import numpy.typing as npt

    from benchmarks.peer.bench import Bench
    from benchmarks.peer.models import Weights
    from benchmarks.peer.sections.section import Cases

EXPLANATION = (
    "Our computation against NumPy's Gram matrices and `eigvalsh` of the same matrices, in float64, with the up-cast, "
    "batched where a layer has several. Ratios are ours / bare: spectra, fits and metrics over spectra alone."
)
COLUMNS = ("model", "ours median", "min", "bare median", "min", *RATIOS)

GOALS = {
    "resnet20": Goal(at_most=1.25),
    "resnet56": Goal(at_most=1.25),
    **dict.fromkeys(("minilm", "gpt2", "vgg16", "dense4096", "embedding", "lookup"), Goal(at_most=1.05)),
}


def cases(bench: Bench) -> Cases:
    """One for each model."""
    for name in bench.models(GOALS):
        yield name, partial(_against_bare, bench, name)


def _against_bare(bench: Bench, name: str) -> Measured:
    weights = bench.model(name).weights
    work = bench.ours.work(weights)
    samples = bench.interleave({"ours": timed(work.compute), "bare": timed(lambda: decompose(weights))})
    ours, bare = samples["ours"], samples["bare"]
    return Measured([[name, *times(ours), *times(bare), *ratios(ours, bare, GOALS[name])]])


def decompose(weights: Weights) -> None:
    """Take the eigenvalues of all matrices, and nothing more."""
    for weight in weights.values():
        entries = weight.reshape(*weight.shape[:2], -1).transpose(2, 0, 1).astype(np.float64, order="C")
        np.linalg.eigvalsh(_gram(entries))


def _gram(entries: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    tall = entries.shape[1] > entries.shape[2]
    product: npt.NDArray[np.float64] = entries.mT @ entries if tall else entries @ entries.mT
    return product
