"""Executors that run the work, and observers that watch it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    import concurrent.futures
    from collections.abc import Callable

    from ww_core.domain.report import AnalysisReport


class Executor(ABC):
    """A factory of ``concurrent.futures.Executor``.

    Attributes:
        name: Its name.
        description: One line on when to use it.
        shares_memory: Whether workers see the caller's objects. If not, everything is pickled, plugins are loaded anew
            by recipe in each worker, and sources given as Python objects run in threads instead.
        takes_help: Whether a worker may itself submit to the pool, so that idle ones help with its spectrum: ``submit``
            must not block. Only where memory is shared.
    """

    name: ClassVar[str]
    description: ClassVar[str]
    shares_memory: ClassVar[bool]
    takes_help: ClassVar[bool] = False

    @abstractmethod
    def create(
        self, jobs: int, initializer: Callable[..., None], initargs: tuple[Any, ...]
    ) -> concurrent.futures.Executor:
        """Return an executor of ``jobs`` workers, each of which runs ``initializer(*initargs)`` first."""


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
    """

    name: str
    cost: float
    failed: bool


class RunObserver:
    """Watches a run. Subclass it and override what is of interest; an exception in it is reported and costs nothing."""

    def on_start(self, start: RunStart) -> None:
        """Called once, before the first layer."""

    def on_layer(self, layer: LayerDone) -> None:
        """Called after each layer, in the order in which they finish, by one thread."""

    def on_end(self, report: AnalysisReport) -> None:
        """Called once, after everything was stored."""
