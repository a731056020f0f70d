"""Every column that both have, on random matrices and on real networks: how far the two are apart."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.peer.bench import Skipped
from benchmarks.peer.make_golden import RECIPES, weights
from benchmarks.peer.ours import AS_PEER_FULLY
from benchmarks.peer.sections.section import Measured

if TYPE_CHECKING:
    import ww_core as ww
    from benchmarks.peer.bench import Bench
    from benchmarks.peer.models import Weights
    from benchmarks.peer.sections.section import Cases

EXPLANATION = (
    "The peer's `analyze(mp_fit=True, randomize=True, detX=True)` and profile `weightwatcher-full` on the same arrays, "
    "float32. Numbers are the largest of |ours - theirs| / max(|ours|, |theirs|) over matrices of 20 eigenvalues or "
    "more, with the largest difference in brackets where the column counts."
)
COLUMNS = ("subject", "column", "ours", "matrices", "largest difference", "median", "no value")

ENOUGH = 20
"""Eigenvalues from which on the peer's fit is the usual one."""

NETWORKS = ("resnet20", "resnet56")

Ours = Callable[["ww.MatrixRow"], "float | str | None"]


@dataclass(frozen=True, slots=True)
class Counterpart:
    """What a column of the peer is here."""

    shown: str
    of: Ours
    counts: bool = False


def cases(bench: Bench) -> Cases:
    """One for each kind of random matrix, one for each network."""
    yield "noise", partial(_apart, bench, "noise", _noise)
    yield "heavy tails, spikes", partial(_apart, bench, "heavy tails, spikes", _structured)
    for name in bench.models(NETWORKS):
        yield name, partial(_apart, bench, name, partial(_real, bench, name))


def _noise() -> Weights:
    """Gaussian matrices and kernels, neither square nor with spikes."""
    return _random({name for name in RECIPES if name.startswith(("gaussian", "conv"))})


def _structured() -> Weights:
    """Heavy-tailed matrices, and Gaussian ones with three spikes, of which one is square."""
    made = _random({name for name in RECIPES if name.startswith("student")})
    for shape in ((300, 150), (200, 200)):
        rng = np.random.default_rng(shape)
        matrix = rng.standard_normal(shape) / math.sqrt(shape[0])
        for strength in (6.0, 4.0, 3.0):
            left, right = (vector / np.linalg.norm(vector) for vector in map(rng.standard_normal, shape))
            matrix += strength * np.outer(left, right)
        made[f"spiked_{shape[0]}x{shape[1]}.weight"] = matrix.astype(np.float32)
    return made


def _random(names: set[str]) -> Weights:
    recipes = {f"{name.replace('.', '_')}.weight": recipe for name, recipe in RECIPES.items() if name in names}
    return {name: weights(recipe).astype(np.float32) for name, recipe in recipes.items()}


def _real(bench: Bench, name: str) -> Weights:
    model = bench.model(name)
    if model.origin == "random weights":
        raise Skipped("there are no trained weights of it: --checkpoints tells where")
    return model.weights


def _apart(bench: Bench, subject: str, make: Callable[[], Weights]) -> Measured:
    arrays = make()
    theirs, work = bench.theirs, bench.ours.work(arrays, request=AS_PEER_FULLY)
    rows = {row.name: row for row in work.report.layers}
    details = theirs.analyze_fully(theirs.module_of(arrays)).to_dict("records")
    both = [(rows[found["longname"]], found) for found in details if found["num_evals"] >= ENOUGH]
    left_out = [found["longname"] for found in details if found["num_evals"] < ENOUGH]
    notes = [f"{subject}: of fewer than {ENOUGH} eigenvalues, left out: {', '.join(left_out)}"] if left_out else []
    return Measured([_line(subject, column, both) for column in COUNTERPARTS], notes)


def _line(subject: str, column: str, both: list[tuple[ww.MatrixRow, dict[str, Any]]]) -> list[str]:
    counterpart = COUNTERPARTS[column]
    pairs = [(counterpart.of(row), found[column]) for row, found in both]
    compared = [(ours, theirs) for ours, theirs in pairs if ours is not None]
    apart = [_relative(ours, theirs) for ours, theirs in compared]
    largest = f"{max(apart, default=0.0):.1e}"
    if counterpart.counts:
        largest += f" ({max((abs(float(ours) - float(theirs)) for ours, theirs in compared), default=0.0):.0f})"
    return [
        subject,
        column,
        counterpart.shown,
        str(len(compared)),
        largest,
        f"{float(np.median(apart)) if apart else 0.0:.1e}",
        str(len(pairs) - len(compared)),
    ]


def _relative(ours: float | str, theirs: float | str) -> float:
    """Return 0 or 1 for texts."""
    if ours == theirs:
        return 0.0
    if isinstance(ours, str) or isinstance(theirs, str):
        return 1.0
    return abs(ours - theirs) / max(abs(ours), abs(theirs))


def _metric(name: str) -> Ours:
    def of(row: ww.MatrixRow) -> float | str | None:
        outcome = row.metrics[name]
        return outcome.number if outcome.text is None else outcome.text

    return of


def _square(name: str) -> Ours:
    def of(row: ww.MatrixRow) -> float | None:
        number = row.metrics[name].number
        return None if number is None else number**2

    return of


def _n(row: ww.MatrixRow) -> int:
    return row.M * math.prod(row.shape[2:])


def _rank_loss(row: ww.MatrixRow) -> float | None:
    rank = row.metrics["hard_rank"].number
    return None if rank is None else _n(row) - rank


def _unrescaled(row: ww.MatrixRow) -> float | None:
    value, scale = row.metrics["detX_val"].number, row.metrics["W_scale"].number
    return None if value is None or scale is None else value * scale**2


SAME_NAME = (
    "alpha", "D", "sigma", "xmin", "xmax", "log_norm", "log_spectral_norm", "alpha_weighted", "log_alpha_norm",
    "stable_rank", "entropy", "warning", "W_scale", "sigma_mp", "bulk_max", "bulk_min", "mp_softrank", "detX_val",
    "max_rand_eval", "rand_distance", "ww_softrank", "ww_maxdist", "rand_sigma_mp", "rand_mp_softrank",
    "rand_bulk_max", "rand_bulk_min",
)  # fmt: skip
COUNTED = ("num_pl_spikes", "num_spikes", "rand_num_spikes", "detX_num", "ERG_gap")

COUNTERPARTS = {
    "N": Counterpart("N", lambda row: row.N, counts=True),
    "M": Counterpart("M", lambda row: row.M, counts=True),
    "Q": Counterpart("Q", lambda row: row.Q),
    "num_evals": Counterpart("M * P", _n, counts=True),
    "norm": Counterpart("frobenius_norm**2", _square("frobenius_norm")),
    "spectral_norm": Counterpart("spectral_norm**2", _square("spectral_norm")),
    "lambda_max": Counterpart("spectral_norm**2", _square("spectral_norm")),
    "sv_max": Counterpart("spectral_norm", _metric("spectral_norm")),
    "matrix_rank": Counterpart("hard_rank", _metric("hard_rank"), counts=True),
    "rank_loss": Counterpart("n - hard_rank", _rank_loss, counts=True),
    **{name: Counterpart(name, _metric(name)) for name in SAME_NAME},
    **{name: Counterpart(name, _metric(name), counts=True) for name in COUNTED},
    "detX_val_unrescaled": Counterpart("detX_val * W_scale**2", _unrescaled),
    "num_ERG_spikes": Counterpart("detX_num", _metric("detX_num"), counts=True),
    "rand_W_scale": Counterpart("W_scale", _metric("W_scale")),
    "num_traps": Counterpart("rand_num_spikes", _metric("rand_num_spikes"), counts=True),
}
"""Columns of the peer's frame that have a counterpart in the profile."""
