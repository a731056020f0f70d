"""Two workers against the peer with one thread."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from benchmarks.peer.report import RATIOS, Goal
from benchmarks.peer.sections.models import against_peer

if TYPE_CHECKING:
    from benchmarks.peer.bench import Bench
    from benchmarks.peer.sections.section import Cases

EXPLANATION = (
    "The same with `jobs=2` for us; the peer keeps its one thread. A ratio means something only where two cores were "
    "free: the notes say how many were in use."
)
COLUMNS = ("model", "ours", "median", "min", "peer median", "peer min", *RATIOS)

GOALS = {
    "minilm": {"compute": Goal(7.0), "store": Goal(7.0)},
    "vgg16": {"compute": Goal(5.0), "store": Goal(5.0)},
}


def cases(bench: Bench) -> Cases:
    """One for each model."""
    for name in bench.models(GOALS):
        yield name, partial(against_peer, bench, name, GOALS.get(name, {}), jobs=2)
