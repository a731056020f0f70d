"""Numbers of the checkpoints of a zoo by their names: features, results and hyperparameters, and differences of two."""

from __future__ import annotations

from typing import TYPE_CHECKING

import ww_core as ww

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    import numpy as np
    import numpy.typing as npt

    Columns = Mapping[str, npt.NDArray[np.float64]]

MINUS = "-"


def named_columns(
    zoo: ww.Zoo,
    texts: Sequence[str],
    features: str = "statistics",
    *,
    store: ww.Store | str | Path | None = None,
    profile: str = "default",
    registry: ww.Registry | None = None,
) -> tuple[ww.Zoo, list[npt.NDArray[np.float64]]]:
    """Return columns of a zoo.

    Features are made only if a name asks for one.

    Args:
        zoo: The checkpoints.
        texts: Each is a name, such as ``layer1.bias.q100`` or ``test_accuracy``, or two names with ``-`` between them.
        features: Feature sets and metrics among whose features the names are.
        store: Where metrics are, if features are metrics.
        profile: Profile of these.
        registry: Loaded plugins, if they are loaded already.

    Returns:
        The checkpoints that have them, n of all, and a column for each text, float64, shape (n,); NaN where nothing was
        measured.

    Raises:
        UsageError: A name is that of texts, or as of `ww_core.zoo_features`.
        UnknownNameError: There is no such name.
    """
    known = _own_columns(zoo)
    if all(_found(text, known) is not None for text in texts):
        return zoo, [_column(text, known, zoo) for text in texts]
    for text in texts:
        _refuse_texts([text.strip()], zoo)
    made = ww.zoo_features(zoo, features, store=store, profile=profile, registry=registry)
    known = {**dict(zip(made.names, made.values.T, strict=True)), **_own_columns(made.zoo)}
    return made.zoo, [_column(text, known, made.zoo) for text in texts]


def _own_columns(zoo: ww.Zoo) -> Columns:
    numbers = {name: own for name, own in zoo.hyperparameters.items() if own.dtype.kind == "f"}
    return {**numbers, **zoo.results}


def _column(text: str, known: Columns, zoo: ww.Zoo) -> npt.NDArray[np.float64]:
    names = _found(text, known)
    if names is None:
        _refuse_texts([name for names in _readings(text) for name in names], zoo)
        raise ww.UnknownNameError(
            f"feature, result or hyperparameter of zoo {zoo.name}", text, {*known, *zoo.hyperparameters}
        )
    first, *others = (known[name] for name in names)
    return first - others[0] if others else first


def _found(text: str, known: Columns) -> tuple[str, ...] | None:
    """Return the name or the two names that a text is; a name may have a ``-`` itself."""
    return next((names for names in _readings(text) if all(name in known for name in names)), None)


def _readings(text: str) -> Iterator[tuple[str, ...]]:
    yield (text.strip(),)
    for place, letter in enumerate(text):
        if letter == MINUS:
            yield text[:place].strip(), text[place + 1 :].strip()


def _refuse_texts(names: Iterable[str], zoo: ww.Zoo) -> None:
    """Raise if a name is that of a hyperparameter of texts.

    Raises:
        UsageError: It is.
    """
    for name in names:
        own = zoo.hyperparameters.get(name)
        if own is not None and own.dtype.kind != "f":
            raise ww.UsageError(f"{name} of zoo {zoo.name} has texts, and an axis has numbers: tell it by colours")
