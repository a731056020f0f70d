"""In which version what a layer is today came to be."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ww_core.domain.answer import AVERAGED
from ww_core.domain.blame import Blame, ValueOrigin
from ww_core.domain.difference import verdict_on
from ww_core.domain.name import check_text, texts_of
from ww_core.errors import NotStoredError, UsageError
from ww_core.use_cases.naming import opened_store

if TYPE_CHECKING:
    import os

    from ww_core.domain.history import History, LayerContent
    from ww_core.store.store import Store


def blame(
    model: str,
    layer: str,
    *,
    store: Store | str | os.PathLike[str],
    metrics: Sequence[str] = (),
    profile: str = "default",
) -> Blame:
    """Tell in which version a layer, and each number that is known of it, came to be what it is. No weight is read.

    Args:
        model: ``MODEL``, whose newest version is asked about, or ``MODEL@VERSION``.
        layer: Name of the layer.
        store: An open store, or its path or URL.
        metrics: Labels of columns of numbers; then ``version`` is the latest in which one of them changed. Empty for
            all of the layer, and ``version`` is the one in which its weight and bias came to be.
        profile: Name of the profile.

    Raises:
        UsageError: A name is empty, or a column holds texts.
        UnknownNameError: There is no such column or layer.
        NotStoredError: There is no such version, the layer is not in it, or it has no complete analysis.
        StoreError: The store cannot be read.
    """
    metrics = texts_of(metrics, "metrics")
    for what, text in {"the name": model, "the layer": layer, "the profile": profile}.items():
        check_text(what, text)
    with opened_store(store, mode="read") as opened, opened.reading() as reader:
        ref = reader.find(model)
        if not ref.model:
            raise UsageError(f"{model} names content without a version: give MODEL or MODEL@VERSION")
        contents = reader.layer_contents(ref.model, layer)
        columns = reader.history_columns(ref.model, profile)
        wanted = metrics or [own.name for own in columns if own.type in AVERAGED and own.scope != "model"]
        history = reader.history(ref.model, wanted, profile)
    last = [content.version for content in contents].index(ref.version)
    contents = contents[: last + 1]
    if contents[-1].content is None:
        raise NotStoredError(f"{ref.name} has no layer {layer!r}: `ww show {ref.name}` lists those it has")
    origins = tuple(sorted(_origins(history, layer, last), key=lambda own: -_place(history, own.version)))
    version, previous = _content_origin(contents)
    if metrics:
        if not origins:
            others = {label: track.not_comparable.get(ref.version) for label, track in history.tracks.items()}
            reasons = "".join(f"; {label}: {reason}" for label, reason in others.items() if reason)
            raise NotStoredError(f"{ref.name} has no number of {', '.join(metrics)} for layer {layer!r}{reasons}")
        version, previous = origins[0].version, origins[0].previous
    return Blame(ref.model, layer, ref.version, version, previous, origins, profile)


def _content_origin(contents: Sequence[LayerContent]) -> tuple[str, str]:
    """Return the first version of the last run of equal content, and the one before it.

    Versions that lack the layer are passed over, as those without a number are for a column.
    """
    there = [own for own in contents if own.content is not None]
    at = len(there) - 1
    while at and there[at].content and there[at - 1].content == there[at].content:
        at -= 1
    return there[at].version, there[at - 1].version if at else ""


def _origins(history: History, layer: str, last: int) -> Iterator[ValueOrigin]:
    """Yield where each number that a layer has in a version came to be."""
    import numpy as np

    for label, track in history.tracks.items():
        for at, place in enumerate(track.places):
            if place.name != layer or not np.isfinite(track.values[last, at]):
                continue
            rows = [int(row) for row in np.flatnonzero(np.isfinite(track.values[: last + 1, at]))]
            values = track.values[rows, at].tolist()
            first = len(rows) - 1
            while first and values[first - 1] == values[-1]:
                first -= 1
            before = values[first - 1] if first else None
            yield ValueOrigin(
                column=label,
                extractor=place.extractor,
                index=place.matrix_index,
                value=values[-1],
                version=history.versions[rows[first]].version,
                previous=history.versions[rows[first - 1]].version if first else "",
                before=before,
                verdict="none" if before is None else verdict_on(values[-1] - before, track.column.better),
            )


def _place(history: History, version: str) -> int:
    return [own.version for own in history.versions].index(version)
