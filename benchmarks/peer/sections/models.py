"""Whole models in memory against the peer's default analysis, and whether both say the same."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any

from benchmarks.peer.report import NO_GOAL, RATIOS, Goal, ratios, times
from benchmarks.peer.sections.floor import decompose
from benchmarks.peer.sections.section import Measured
from benchmarks.peer.timing import timed

if TYPE_CHECKING:
    from collections.abc import Mapping

    import ww_core as ww
    from benchmarks.peer.bench import Bench
    from benchmarks.peer.ours import Work
    from benchmarks.peer.sections.section import Cases

EXPLANATION = (
    "The peer: `WeightWatcher(model=...).analyze()` on a torch module. Ours, on a dict of the same arrays: the "
    "computation alone (`compute`), and `ww.analyze` into a fresh SQLite store (`store`). Ratios are peer / ours. "
    "`bare` is the section floor's: the spectra alone, by NumPy, which leaves room for so much."
)
COLUMNS = ("model", "ours", "median", "min", "peer median", "peer min", *RATIOS)

GOALS = {
    "resnet20": {"compute": Goal(8.0), "store": Goal(4.5)},
    "resnet56": {"compute": Goal(8.0), "store": Goal(4.5)},
    "minilm": {"compute": Goal(4.0), "store": Goal(4.0)},
    "gpt2": {"compute": Goal(3.5), "store": Goal(3.5)},
    "vgg16": {"compute": Goal(2.7), "store": Goal(2.7)},
    "dense4096": {"compute": Goal(4.0), "store": Goal(4.0)},
    "embedding": {"compute": Goal(12.0), "store": Goal(12.0)},
    "lookup": {},
}

COMPARED = ("alpha", "D", "xmin", "log_norm", "log_spectral_norm")
ENOUGH = 20
"""Eigenvalues from which on the peer's fit is the usual one."""

CLOSE = 1e-8


def cases(bench: Bench) -> Cases:
    """One for each model."""
    for name in bench.models(GOALS):
        yield name, partial(against_peer, bench, name, GOALS[name], jobs=1)


def against_peer(bench: Bench, name: str, goals: Mapping[str, Goal], *, jobs: int) -> Measured:
    """Time both of our ways, the peer and, where one thread is compared, the bare decompositions, in turn."""
    ours, theirs, model = bench.ours, bench.theirs, bench.model(name)
    module = theirs.module_of(model.weights)
    work = ours.work(model.weights, jobs=jobs)
    details = theirs.analyze(module)
    sides = {
        "compute": timed(lambda: work.compute(jobs)),
        "store": timed(
            lambda store: ours.analyze(model.weights, store, jobs=jobs), prepare=lambda: (ours.fresh_store(),)
        ),
        "peer": timed(lambda: theirs.analyze(module)),
    }
    if jobs == 1:
        sides["bare"] = timed(lambda: decompose(model.weights))
    samples = bench.interleave(sides)
    peer = samples["peer"]
    rows = [
        [name, way, *times(own), *times(peer), *ratios(peer, own, goals.get(way, NO_GOAL), one_thread=jobs == 1)]
        for way, own in samples.items()
        if own is not peer
    ]
    cores = ", ".join(f"{way} {sample.cores:.2f}" for way, sample in samples.items())
    return Measured(
        rows,
        [
            f"{name}: {len(model.weights)} matrices, {model.origin}; cores in use: {cores}",
            f"{name}: {_agreement(work, details)}",
        ],
    )


def _agreement(work: Work, details: Any) -> str:
    """Say in one sentence how far the two sides are apart."""
    rows = {row.name: row for row in work.report.layers}
    largest = dict.fromkeys(COMPARED, 0.0)
    compared, apart = 0, []
    for theirs in details.to_dict("records"):
        if theirs["num_evals"] < ENOUGH:
            continue
        ours = rows[theirs["longname"]].metrics if theirs["longname"] in rows else {}
        differences = {column: _relative(ours.get(column), theirs[column]) for column in COMPARED}
        largest = {column: max(largest[column], differences[column]) for column in COMPARED}
        compared += 1
        apart += [theirs["longname"]] if max(differences.values()) > CLOSE else []
    shown = ", ".join(f"{column} {difference:.1e}" for column, difference in largest.items())
    verdict = f"apart by more than {CLOSE:g}: {', '.join(apart[:4])} ({len(apart)})" if apart else "all agree"
    return f"largest relative differences in {compared} matrices of {ENOUGH} eigenvalues or more: {shown}; {verdict}"


def _relative(ours: ww.Outcome | None, theirs: float) -> float:
    if ours is None or ours.number is None:
        return math.inf
    return abs(ours.number - theirs) / max(abs(ours.number), abs(theirs)) if ours.number != theirs else 0.0
