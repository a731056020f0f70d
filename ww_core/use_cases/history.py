"""How a model went over its versions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ww_core.use_cases.naming import opened_store

if TYPE_CHECKING:
    import os

    from ww_core.domain.history import History
    from ww_core.store.store import Store


def history(
    model: str,
    *,
    store: Store | str | os.PathLike[str],
    metrics: Sequence[str] = (),
    layers: Sequence[str] = (),
    leave_out: str = "",
    profile: str = "default",
    scores: Sequence[str] = (),
) -> History:
    """Tell how columns of a model went over its versions, and what was reported about these. No weight is read.

    Args:
        model: Name of the model.
        store: An open store, or its path or URL.
        metrics: As of ``Store.history``, as are all others.
        layers: Globs that choose layers.
        leave_out: Label of a bool column.
        profile: Name of the profile.
        scores: Names of scores; empty for all.

    Raises:
        WWError: As of ``Store.history`` and ``open_store``.
    """
    with opened_store(store, mode="read") as opened:
        return opened.history(model, metrics, layers, leave_out=leave_out, profile=profile, scores=scores)
