"""How a worker in another process comes to what it needs, and refuses what is not the same there."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Protocol

from ww_core.compute.blas import one_blas_thread
from ww_core.compute.memory import Memory
from ww_core.compute.reading import ReadingByContent
from ww_core.compute.task import LayerResult, LayerTask
from ww_core.compute.worker import Worker
from ww_core.domain.report import Failure
from ww_core.domain.request import Request
from ww_core.errors import MissingExtraError
from ww_core.plugins.isolation import all_but_interrupts, forgiven, sentence_of

if TYPE_CHECKING:
    from ww_core.plugins.selection import Asked, Selection

RECIPES = 4
"""Recipes for which a process stays prepared: one pool serves many runs."""

SAME_PLUGINS = "the same plugins and versions must be installed for all workers, files of --plugin under the same path"
SAME_PATH = "the workers must see it under the same path"


@dataclass(frozen=True, slots=True)
class Recipe:
    """How another process comes to the same worker.

    Attributes:
        plugin_files: Files given by ``--plugin``.
        address: Of the source.
        loader: Qualified name of the loader.
        request: What was asked.
        device: Where spectra are made.
        memory: Bytes that each process may take.
        identities: What the request selects here, each with its identity, needs before what needs them.
        run: Tells runs apart: a file or a plugin may be another one since the last.
    """

    plugin_files: tuple[str, ...]
    address: str
    loader: str
    request: Request
    device: str
    memory: int
    identities: tuple[tuple[str, str], ...]
    run: str

    @classmethod
    def of(cls, asked: Asked, address: str, loader: str, device: str, memory: int) -> Recipe:
        """Return the recipe of a run that begins."""
        identities = tuple(_identities(asked.selection))
        files = asked.registry.plugin_files
        return cls(files, address, loader, asked.request, device, memory, identities, uuid.uuid4().hex)


def compute_by_recipe(recipe: Recipe, batch: Sequence[LayerTask]) -> list[LayerResult]:
    """Compute a batch in a process that prepares itself for a recipe when it first meets it."""
    with _prepared.worker(recipe) as worker:
        return worker.compute(batch)


class _Computing(Protocol):
    def compute(self, batch: Sequence[LayerTask]) -> list[LayerResult]: ...


@dataclass(frozen=True, slots=True)
class _Refusing:
    """Stands for a worker that cannot be had: of every layer it says why."""

    stage: str
    plugin: str
    sentence: str

    def compute(self, batch: Sequence[LayerTask]) -> list[LayerResult]:
        """Refuse."""
        return [
            LayerResult(task, failures=[Failure(self.stage, self.plugin, task.layer.name, self.sentence)])
            for task in batch
        ]


@dataclass(slots=True, eq=False)
class _Ready:
    """A worker with what is open for it, and how many threads use it."""

    worker: _Computing
    opened: ExitStack
    users: int = 0


@dataclass(slots=True, eq=False)
class _Prepared:
    """What this process is prepared for. Several threads may ask."""

    ready: dict[Recipe, _Ready] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def worker(self, recipe: Recipe) -> Iterator[_Computing]:
        """Give the worker of a recipe."""
        with self.lock:
            own = self.ready.pop(recipe, None) or _prepare(recipe)
            self.ready[recipe] = own  # the last used is the last
            own.users += 1
        try:
            yield own.worker
        finally:
            with self.lock:
                own.users -= 1
                self._forget()

    def _forget(self) -> None:
        """Close what was not used for longest."""
        unused = [recipe for recipe, own in self.ready.items() if not own.users]
        for recipe in unused[: max(0, len(self.ready) - RECIPES)]:
            with forgiven():  # its run has all it needs
                self.ready.pop(recipe).opened.close()


_prepared = _Prepared()


def _prepare(recipe: Recipe) -> _Ready:
    """Load plugins, see that they are the same, open the source, and limit BLAS to one thread as long as it is open."""
    from ww_core.plugins.discovery import load_plugins
    from ww_core.plugins.selection import select
    from ww_core.plugins.variants import ready_device
    from ww_core.sources.control import controlled
    from ww_core.sources.digests import tensors_of
    from ww_core.sources.opening import close_checkpoint, find_source, open_checkpoint

    opened = ExitStack()
    try:
        registry = load_plugins(files=recipe.plugin_files)
        selection = select(registry, recipe.request)
        device = ready_device(registry, recipe.device).object
    except all_but_interrupts() as error:
        return _Ready(_Refusing("execute", "ww", f"{sentence_of(error)}; {SAME_PLUGINS}"), opened)
    if other := _first_other(recipe, selection):
        plugin = other.partition(" ")[2].rpartition(":")[0]
        return _Ready(_Refusing("execute", plugin, f"a worker has another {other}, or none: {SAME_PLUGINS}"), opened)
    try:
        source = find_source(recipe.address, registry)
        checkpoint, loader = open_checkpoint(source, registry, recipe.loader)
        opened.callback(close_checkpoint, checkpoint)
        checkpoint = controlled(checkpoint, loader, recipe.request)
        there = {spec.name: (spec.dtype, spec.shape) for spec in tensors_of(checkpoint)}
        reading = partial(ReadingByContent, checkpoint, loader, source.label, there)
    except MissingExtraError as error:
        return _Ready(_Refusing("read", recipe.loader, f"{error}; {SAME_PLUGINS}"), opened)
    except all_but_interrupts() as error:
        return _Ready(_Refusing("read", recipe.loader, f"{sentence_of(error)}; {SAME_PATH}"), opened)
    opened.enter_context(one_blas_thread())
    memory = Memory(recipe.memory)
    return _Ready(Worker(checkpoint, loader, reading, selection, recipe.request.seed, device, memory), opened)


def _identities(selection: Selection) -> Iterator[tuple[str, str]]:
    """Yield what is selected as people know it, with its identity, needs before what needs them."""
    variants = {own.identity: own for by_kind in selection.extractors.values() for own in by_kind}
    yield from ((f"extractor {own.qualified}", identity) for identity, own in variants.items())
    for node in selection.nodes.values():
        yield f"{'metric' if node.quantity.is_metric else 'quantity'} {node.qualified}", node.identity


def _first_other(recipe: Recipe, selection: Selection) -> str:
    """Return the first thing that the recipe expects and the selection does not have, as people know it; else ""."""
    here = set(_identities(selection))
    return next((what for what, identity in recipe.identities if (what, identity) not in here), "")
