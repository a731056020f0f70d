"""How a worker in another process comes to what it needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ww_core.compute.task import LayerResult, LayerTask
from ww_core.compute.worker import Worker
from ww_core.domain.request import Request

if TYPE_CHECKING:
    from ww_core.plugins.registry import Registry


@dataclass(frozen=True, slots=True)
class Recipe:
    """How another process comes to the same worker.

    Attributes:
        plugin_files: Files given by ``--plugin``.
        address: Of the source.
        loader: Qualified name of the loader.
        request: What was asked.
        device: Where spectra are made.
    """

    plugin_files: tuple[str, ...]
    address: str
    loader: str
    request: Request
    device: str


_workers: dict[Recipe, Worker] = {}
"""The worker of this process, if it was spawned for one recipe."""


def prepare_process(recipe: Recipe) -> None:
    """Load plugins and open the source anew, in a worker process, with one BLAS thread."""
    from threadpoolctl import threadpool_limits

    from ww_core.plugins.discovery import load_plugins
    from ww_core.plugins.selection import select
    from ww_core.plugins.variants import find_device
    from ww_core.sources.opening import find_source, open_checkpoint

    registry: Registry = load_plugins(files=recipe.plugin_files)
    selection = select(registry, recipe.request)
    checkpoint, loader = open_checkpoint(find_source(recipe.address, registry), registry, recipe.loader)
    import numpy as np  # noqa: F401 - BLAS must be loaded before it can be limited

    threadpool_limits(1, user_api="blas")
    device = find_device(registry, recipe.device).object
    _workers[recipe] = Worker(checkpoint, loader, selection, recipe.request.seed, device)


def compute_in_process(recipe: Recipe, batch: Sequence[LayerTask]) -> list[LayerResult]:
    """Compute a batch in a worker process that was prepared for the recipe."""
    return _workers[recipe].compute(batch)
