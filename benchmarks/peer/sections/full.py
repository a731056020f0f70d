"""Whole models with the columns of random-matrix theory, against the peer with ``mp_fit`` and ``randomize``."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from benchmarks.peer.ours import AS_PEER_FULLY
from benchmarks.peer.report import RATIOS, Goal, ratios, times
from benchmarks.peer.sections.section import Measured
from benchmarks.peer.timing import timed

if TYPE_CHECKING:
    from benchmarks.peer.bench import Bench
    from benchmarks.peer.sections.section import Cases

EXPLANATION = (
    "The peer: `analyze(mp_fit=True, randomize=True, detX=True)` on a torch module. Ours: the computation of profile "
    "`weightwatcher-full`. One permutation each, of which the peer makes another one for its distances, and five "
    "where a matrix has fewer than 100 eigenvalues. Two workers are threads, as `ww analyze` has one a core; the "
    "peer keeps its one thread of BLAS. Ratios are peer / ours."
)
COLUMNS = ("model", "ours", "median", "min", "peer median", "peer min", *RATIOS)

GOALS = {"resnet20": Goal(200.0), "resnet56": Goal(200.0), "minilm": Goal(50.0)}
USUAL = ("resnet20", "resnet56")


def cases(bench: Bench) -> Cases:
    """One for each model."""
    for name in bench.models(USUAL):
        yield name, partial(_against_peer, bench, name)


def _against_peer(bench: Bench, name: str) -> Measured:
    model, theirs = bench.model(name), bench.theirs
    module = theirs.module_of(model.weights)
    work = bench.ours.work(model.weights, request=AS_PEER_FULLY)
    samples = bench.interleave(
        {
            "one worker": timed(work.compute),
            "two workers": timed(partial(work.compute, jobs=2)),
            "peer": timed(lambda: theirs.analyze_fully(module)),
        },
    )
    peer = samples.pop("peer")
    rows = [
        [name, how, *times(ours), *times(peer), *ratios(peer, ours, goal)]
        for (how, ours), goal in zip(samples.items(), (GOALS.get(name, Goal()), Goal()), strict=True)
    ]
    return Measured(rows, [f"{name}: {len(model.weights)} matrices, {model.origin}"])
