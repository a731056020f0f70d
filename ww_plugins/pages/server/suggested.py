"""What a form offers before anything was asked, and what is chosen where nothing was."""

from __future__ import annotations

from typing import TYPE_CHECKING

import ww_core as ww
from ww_plugins.pages.server.asked import address

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ww_plugins.pages.server.asked import Asked

MOST = 12
RESAMPLES = 200
"""Resamples behind the intervals of a page that names no other number."""

MOST_RESAMPLES = 1000


def suggested_columns(store: ww.Store, path: str, given: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return the headline columns of one stored analysis, each with the address of a page about it."""
    with store.reading() as reader:
        models = reader.counted_versions()
    for model in [*models][:1]:
        report = store.report(model)
        better = {column.name: column.better for column in report.columns}
        labels = [label for label in report.headline if better.get(label, "none") != "none"]
        return [(label, address(path, {"metric": label, **given})) for label in labels[:MOST]]
    return []


def suggested_scores(store: ww.Store) -> list[str]:
    """Return names of reported scores."""
    return list(dict.fromkeys(score.name for score in store.scores()))[:MOST]


def few_resamples(_: ww.Store, asked: Asked) -> Asked:
    """Return the question with few resamples, unless it names their number."""
    return asked if "bootstrap" in asked.given else asked.with_value("bootstrap", str(RESAMPLES))


def resamples(asked: Asked) -> int | None:
    """Return how many resamples were asked for; None for as many as the command takes.

    Raises:
        UsageError: They are more than a server should take for one reader.
    """
    count = asked.count("bootstrap")
    if count is not None and count > MOST_RESAMPLES:
        raise ww.UsageError(f"bootstrap={count}: a page takes at most {MOST_RESAMPLES}, the command more")
    return count
