"""Observers: who watches a run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ww_core.domain.outcome import Outcome
    from ww_core.domain.report import AnalysisReport, MatrixRow


@dataclass(frozen=True, slots=True)
class RunStart:
    """What is known when a run starts.

    Attributes:
        source: Name of the source.
        model: Model name.
        version: Its label.
        profile: Profile name.
        layers: Count of layers with work to do.
        cost: Sum of their costs, in floating-point operations, roughly.
    """

    source: str
    model: str
    version: str
    profile: str
    layers: int
    cost: float


@dataclass(frozen=True, slots=True)
class LayerDone:
    """A layer whose results are in.

    Attributes:
        name: Its name.
        cost: Its share of ``RunStart.cost``.
        failed: Whether an exception cost some of it.
        metrics: Outcomes of the metrics of the whole layer by label, those that were stored before too; what an
            exception cost is not there.
        matrices: Its matrices of which something was missing, each with its outcomes.
    """

    name: str
    cost: float
    failed: bool
    metrics: Mapping[str, Outcome]
    matrices: tuple[MatrixRow, ...]


class RunObserver:
    """Watches a run. Subclass it and override what is of interest; an exception in it is reported and costs nothing."""

    def on_start(self, start: RunStart) -> None:
        """Called once, before the first layer."""

    def on_layer(self, layer: LayerDone) -> None:
        """Called after each layer, in the order in which they finish, by one thread."""

    def on_end(self, report: AnalysisReport) -> None:
        """Called once, after everything was stored."""
