"""From what a person calls a zoo to the zoo: a folder, a zoo beside the store, or one that only the store knows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import ww_core as ww
from ww_core.loading.files import FileSource, why_missing
from ww_core.loading.names import quoted, shown_address
from ww_plugins.zoos.folder import is_zoo, read_zoo
from ww_plugins.zoos.places import zoo_place
from ww_plugins.zoos.records import WEIGHTS, table_name

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

Place = ww.Store | str | Path | None
"""An open store, its path or URL; None for none."""


def find_zoo(zoo: str | os.PathLike[str], store: Place = None) -> ww.Zoo:
    """Return a zoo that a person named.

    A folder that holds a zoo wins over a name in the store. Of a zoo in a
    store all checkpoints of its files are there, those that are no models of the store too. Where its files are not on
    this machine, ``stored`` is None, and the checkpoints are the models that the store has.

    Args:
        zoo: A folder, or the name of a zoo of the store.
        store: The store; None if only a folder is meant.

    Raises:
        SourceError: There is neither such a folder nor such a zoo, or the folder holds none.
        CorruptFileError: Its files contradict themselves.
        StoreError: The store cannot be read.
    """
    folder = zoo_folder(zoo, store)
    if isinstance(folder, Path):
        found = read_zoo(folder)
        is_named = folder.resolve() != Path(zoo).resolve()
        return replace(found, name=folder.name) if is_named else found
    return folder


def zoo_folder(zoo: str | os.PathLike[str], store: Place = None) -> Path | ww.Zoo:
    """Return the folder of a zoo that a person named; the zoo itself, where only the store knows it.

    Raises:
        SourceError: There is neither such a folder nor such a zoo, or it is an address.
        StoreError: The store cannot be read.
    """
    text = str(zoo)
    path = path_of(text)
    is_there = bool(text) and _is_there(path)
    if is_there and (store is None or _holds_a_zoo(path)):
        return path
    name = text.removesuffix("/")
    if store is None:
        raise ww.SourceError(f"{quoted(text)}: {why_missing(path)}")
    try:
        if isinstance(store, ww.Store):
            return _in_store(name, store)
        with ww.open_store(store, mode="read") as opened:
            return _in_store(name, opened)
    except ww.NotAStoreError as error:
        if is_there:
            return path  # reading it says what is missing
        told = f"{quoted(text)}: {why_missing(path)}, and there is no store that could know it"
        raise ww.SourceError(f"{told} ({error})") from None
    except ww.SourceError:
        if is_there:
            return path
        raise


def path_of(text: str) -> Path:
    """Return a path that a person named.

    Raises:
        SourceError: It is an address.
    """
    if "://" in text:
        raise ww.SourceError(f"{shown_address(text)}: a zoo is read from a path of this machine, not from an address")
    return Path(text)


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def _holds_a_zoo(path: Path) -> bool:
    try:
        return is_zoo(FileSource(path))
    except ww.SourceError:
        return False


def _in_store(name: str, store: ww.Store) -> Path | ww.Zoo:
    known = [own.source.removeprefix(table_name("")) for own in store.reported_tables() if _is_zoo(own.source)]
    if name not in known:
        there = f"the store has {', '.join(known[:8])}" if known else "`ww zoo import` takes one into a store"
        raise ww.SourceError(
            f"{quoted(name)}: {why_missing(Path(name))}, and there is no such zoo in {store.location}: {there}"
        )
    if not store.in_memory and (place := zoo_place(store, name)).is_dir():
        return place
    return _known_to(store, name)


def _is_zoo(source: str) -> bool:
    return source.startswith(table_name(""))


def _known_to(store: ww.Store, name: str) -> ww.Zoo:
    """Return what a store knows of a zoo whose weights are not here."""
    table = store.reported_table(table_name(name))
    models, versions = table.places["model"].tolist(), table.places["version"].tolist()
    place_of = {own: at for at, own in enumerate(zip(models, versions, strict=True))}
    results: dict[str, npt.NDArray[np.float64]] = {}
    for score in store.scores(sources=[table_name(name)]):
        at = place_of.get((score.model or "", score.version or ""))
        if at is not None:
            results.setdefault(score.name, np.full(len(place_of), np.nan))[at] = score.value
    return ww.Zoo(
        name=name,
        tensors=(),
        layout="keras",
        stored=None,
        rows=np.zeros(len(place_of), np.int64),
        networks=_numbers([own.rpartition("/")[2] for own in models], name),
        epochs=_numbers(versions, name),
        hyperparameters=_hyperparameters(table.numbers, table.texts),
        results=dict(sorted(results.items())),
        notes=("its weights are not on this machine: only the data in the store is shown",),
    )


def _numbers(texts: Sequence[str], name: str) -> npt.NDArray[np.int64]:
    """Read the numbers of networks and epochs, which are in the names of models and versions.

    Raises:
        SourceError: Another program stored something else under the name of a zoo.
    """
    if not all(text.isdecimal() and len(text) < 16 for text in texts):
        raise ww.SourceError(f"what the store has as {table_name(name)} was not imported by `ww zoo import`")
    return np.array(list(map(int, texts)), np.int64)


def _hyperparameters(
    numbers: Mapping[str, npt.NDArray[Any]], texts: Mapping[str, npt.NDArray[Any]]
) -> dict[str, npt.NDArray[Any]]:
    told = {
        name: np.array(["" if own is None else own for own in column], object)
        for name, column in texts.items()
        if name != WEIGHTS
    }
    return {**numbers, **told}
