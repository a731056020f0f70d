"""What a person names to be compared: a stored checkpoint, or a source that is analysed for it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ww_core.errors import NotAStoreError, NotStoredError, SourceError
from ww_core.loading.files import why_missing
from ww_core.loading.names import shown_address
from ww_core.sources.opening import find_source
from ww_core.store.records import CheckpointRef
from ww_core.store.store import Store, open_store

if TYPE_CHECKING:
    import os

    from ww_core.contracts.observer import RunObserver
    from ww_core.domain.report import AnalysisReport
    from ww_core.plugins.registry import Registry

    Place = Store | str | os.PathLike[str] | None


def installed_plugins() -> Registry:
    """Load the plugins that are installed, of which only sources have need."""
    from ww_core.plugins.discovery import load_plugins

    return load_plugins()


@dataclass(frozen=True, slots=True)
class Named:
    """A checkpoint in a store that a person named.

    Attributes:
        name: What to call it: ``MODEL@VERSION``, a digest, or the source that was analysed.
        ref: What it is in the store.
        report: The analysis that was made for it now; None if it was stored.
    """

    name: str
    ref: CheckpointRef
    report: AnalysisReport | None = None

    @property
    def warnings(self) -> list[str]:
        """What the analysis that was made now, if there was one, warned of, and what it lost."""
        if self.report is None:
            return []
        return [f"{self.name}: {said}" for said in (*self.report.warnings, *map(str, self.report.failures))]


@contextlib.contextmanager
def opened_with(
    names: Sequence[object],
    store: Place,
    *,
    profile: str | None = None,
    record: bool = False,
    registry: Callable[[], Registry] = installed_plugins,
    observers: Sequence[RunObserver] = (),
) -> Iterator[tuple[Store, tuple[Named, ...]]]:
    """Open a store and find in it what was named; what is not stored there is a source, and is analysed.

    A stored name wins over a file of the same name. Sources are stored by content and get no label, unless
    ``record`` gives them the one that ``analyze`` would.

    Args:
        names: ``MODEL``, ``MODEL@VERSION``, digest prefixes, paths, addresses, or objects such as dicts of arrays.
        store: An open store, a path or URL, or None for one in memory.
        profile: Profile to analyse sources under; default that of the first stored name's analysis, or ``default``.
        record: Whether sources get labels.
        registry: Loads plugins; called if there is a source.
        observers: Observers of the analyses.

    Raises:
        UsageError: A name is empty, or fits several checkpoints.
        NotStoredError: A name is neither stored nor a source.
        SourceError: A source cannot be read.
        StoreError: The store cannot be opened; or written, if there is a source.
    """
    stored = _stored(names, store)
    if len(stored) == len(names):
        with opened_store(store, mode="read") as opened:
            yield opened, tuple(stored.values())
        return
    from ww_core.use_cases.analyze import analyze  # slow to import, and only sources need it

    plugins = registry()
    for place, name in enumerate(names):
        if place not in stored:
            _check_source(name, plugins, store)
    with opened_store(store, mode="write") as opened:
        like = profile or next((_profile(opened, own.ref) for own in stored.values()), "default")
        for place, name in enumerate(names):
            if place not in stored:
                report = analyze(name, store=opened, profile=like, label=record, registry=plugins, observers=observers)
                stored[place] = _analyzed(opened, report)
        yield opened, tuple(stored[place] for place in range(len(names)))


@contextlib.contextmanager
def opened_store(store: Place, mode: Literal["read", "write"]) -> Iterator[Store]:
    """Open a store; one that is open already stays open.

    Raises:
        StoreError: As of ``open_store``.
    """
    if isinstance(store, Store):
        yield store
        return
    with open_store(store, mode=mode) as opened:
        yield opened


def _stored(names: Sequence[object], store: Place) -> dict[int, Named]:
    """Return what is stored under the names, by their places."""
    found: dict[int, Named] = {}
    with contextlib.suppress(NotAStoreError), opened_store(store, mode="read") as opened, opened.reading() as reader:
        for place, name in enumerate(names):
            if isinstance(name, str):
                with contextlib.suppress(NotStoredError):
                    ref = reader.find(name)
                    found[place] = Named(ref.name, ref)
    return found


def _check_source(name: object, plugins: Registry, store: Place) -> None:
    """Raise if what is not stored is no source either.

    Raises:
        NotStoredError: It is a name that is not stored.
        SourceError: It is an address, and there is nothing.
    """
    try:
        find_source(name, plugins)
    except SourceError:
        if not isinstance(name, str) or "://" in name:
            raise
        try:
            with opened_store(store, mode="read") as opened, opened.reading() as reader:
                reader.find(name)
        except (NotStoredError, NotAStoreError) as error:
            raise type(error)(f"{error}; and {shown_address(name)}: {why_missing(Path(name))}") from None


def _profile(opened: Store, ref: CheckpointRef) -> str:
    with opened.reading() as reader:
        return reader.runs(ref)[0].profile


def _analyzed(opened: Store, report: AnalysisReport) -> Named:
    with opened.reading() as reader:
        runs = reader.runs(CheckpointRef(report.digest, structure=""))
    (structure,) = (run.structure for run in runs if run.number == report.run.id)
    ref = CheckpointRef(report.digest, structure, report.model, report.version)
    return Named(ref.name if report.model else report.source, ref, report)
