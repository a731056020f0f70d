"""Take a zoo into a store: its files beside the store, what it says of its networks into it."""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

import ww_core as ww
from ww_core.loading.files import FileSource
from ww_plugins.zoos.folder import ABOUT, left_out, read_about, read_zoo
from ww_plugins.zoos.places import are_equal, aside, check_zoo_name, held, put, staged, zoo_place
from ww_plugins.zoos.records import reported_table, table_name

if TYPE_CHECKING:
    from collections.abc import Mapping

Epochs = Literal["last", "all"]
"""Which checkpoints of each network."""


@dataclass(frozen=True, slots=True)
class ZooImport:
    """What was imported.

    Attributes:
        name: Name of the zoo, and of its series.
        folder: Where its files lie now.
        store: The store.
        networks: How many networks the store has of it.
        checkpoints: How many checkpoints of them.
        hyperparameters: What is known of how they were trained.
        scores: How many scores the store has of it.
        is_new: Whether it was stored now; not if the same was there already.
        notes: Sentences the user should see.
    """

    name: str
    folder: str
    store: str
    networks: int
    checkpoints: int
    hyperparameters: tuple[str, ...]
    scores: int
    is_new: bool
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, as ``--json`` prints it."""
        return asdict(self) | {"hyperparameters": list(self.hyperparameters), "notes": list(self.notes)}


def import_zoo(
    folder: Path, store: ww.Store, *, name: str | None = None, epochs: Epochs = "last", replaces: bool = False
) -> ZooImport:
    """Take the zoo of a folder into a store.

    Its files go beside the store first, then what it says of its networks into it, in one transaction. A zoo counts
    when the store knows it: of an import that is interrupted there is none, and what lies there is written over by the
    next one. Of two imports at once the second waits for the first. Where it takes the place of another, the other's
    files go first: an interruption then leaves a zoo whose weights are not here, never one with the weights of another.

    Args:
        folder: The folder.
        store: The store, open for writing.
        name: Name of the zoo; default the one that it has.
        epochs: Whether all checkpoints become models of the store, or the last one of each network. The files have all.
        replaces: Whether another zoo of this name gives way, with its scores and the analyses of its networks.

    Raises:
        SourceError: There is no zoo in the folder.
        CorruptFileError: Its files contradict themselves.
        UsageError: The name cannot be used, the store has another zoo of this name, imported or analysed, or nothing is
            left of it.
        OutputError: The files cannot be written.
        StoreError: The store cannot be written.
    """
    whole = read_zoo(folder)
    zoo = replace(whole, name=check_zoo_name(name if name is not None else whole.name))
    about = about_zoo(folder)
    chosen = with_finite_weights(zoo.last() if epochs == "last" else zoo)
    if not len(chosen):
        raise ww.UsageError(f"{folder}: no network of this zoo is left: {'; '.join(chosen.notes) or 'it has none'}")
    table = reported_table(chosen, about)
    place = zoo_place(store, zoo.name)
    with held(place.parent):
        is_known = knows_zoo(store, zoo.name)
        is_placed = is_known and are_equal(folder, place)
        others = _on_other_weights(store, zoo)
        if not replaces and (others or (is_known and not is_placed and place.exists())):
            raise _taken(zoo.name)
        if others:
            store.forget(*others)
        if is_placed:
            report = _record(store, table, chosen, replaces=replaces)
        else:
            with staged(folder, place) as new:
                if is_known:
                    with aside(place):
                        report = _record(store, table, chosen, replaces=replaces)
                    put(new, place)
                else:
                    with aside(place):  # of an import that was interrupted
                        put(new, place)
                    try:
                        report = _record(store, table, chosen, replaces=replaces)
                    except BaseException:
                        shutil.rmtree(place, ignore_errors=True)
                        raise
    return ZooImport(
        name=zoo.name,
        folder=str(place),
        store=store.location,
        networks=len(np.unique(chosen.networks)),
        checkpoints=len(chosen),
        hyperparameters=tuple(chosen.hyperparameters),
        scores=report.scores,
        is_new=report.is_new or not is_placed,
        notes=chosen.notes,
    )


def knows_zoo(store: ww.Store, name: str) -> bool:
    """Tell whether a store has a zoo of this name."""
    return any(own.source == table_name(name) for own in store.reported_tables())


def about_zoo(folder: Path) -> Mapping[str, Any]:
    """Return what ``zoo.json`` says of a zoo; nothing where there is none, as in a published folder."""
    source = FileSource(folder)
    return read_about(source) if ABOUT in source.names() else {}


def with_finite_weights(zoo: ww.Zoo) -> ww.Zoo:
    """Leave out networks that have a weight that is not a finite number, with a note."""
    is_bad = np.zeros(len(zoo), bool)
    for which, rows in zoo.blocks():
        is_bad[which] = ~np.isfinite(rows).all(axis=1)
    diverged = np.unique(zoo.networks[is_bad])
    if not len(diverged):
        return zoo
    what = "weights that are no finite numbers"
    note = left_out(diverged.tolist(), f"has {what}", f"have {what}")
    return replace(zoo.chosen(~np.isin(zoo.networks, diverged)), notes=(*zoo.notes, note))


def _on_other_weights(store: ww.Store, zoo: ww.Zoo) -> list[str]:
    """Return the names of a zoo's networks that were analysed with other weights than it has now."""
    return ww.on_other_weights(zoo, [(own.model, own.version, own.digest) for own in store.versions()])


def _record(store: ww.Store, table: ww.ReportedTable, zoo: ww.Zoo, *, replaces: bool) -> ww.ImportReport:
    """Store what a zoo says of its networks.

    Raises:
        UsageError: Another zoo of this name is stored, and does not give way.
    """
    if replaces and knows_zoo(store, zoo.name):
        try:
            return ww.import_table(table, store=store)  # the same again
        except ww.UsageError:
            _remove_what_came_with(store, zoo.name)
    try:
        return ww.import_table(table, store=store, replace=replaces)
    except ww.UsageError as error:
        if knows_zoo(store, zoo.name):
            raise _taken(zoo.name) from error
        raise


def _remove_what_came_with(store: ww.Store, name: str) -> None:
    """Take scores, members and analyses of a zoo out of a store; its table gives way to the next one."""
    analyzed = [f"{own.model}@{own.version}" for own in store.versions() if own.model.startswith(f"{name}/")]
    if analyzed:
        store.forget(*analyzed)
    store.remove_scores(sources=[table_name(name)])
    if any(own.series == name for own in store.series()):
        store.remove_from_series(name)


def _taken(name: str) -> ww.UsageError:
    return ww.UsageError(
        f"the store has another zoo {name}: --replace puts this one in its place, or give this one another --name"
    )
