"""What a form offers before anything was asked, and what is chosen where nothing was."""

from __future__ import annotations

from typing import TYPE_CHECKING

import ww_core as ww
from ww_plugins.pages.server.asked import address

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ww_plugins.pages.server.asked import Asked

MOST = 12
PROFILE = "default"
"""What commands take where no profile was named."""

RESAMPLES = 200
"""Resamples behind the intervals of a page that names no other number."""

MOST_RESAMPLES = 1000

MOST_RESAMPLED = 2000
"""Models of which intervals are made unasked: those of more take longer than all else on a page."""

CHOOSERS = ("models", "series", "where")
"""What leaves models out: of how many a page is then, nobody knows before it is made."""


def suggested_columns(store: ww.Store, path: str, given: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return the headline columns of one stored analysis, each with the address of a page about it."""
    with store.reading() as reader:
        models = reader.counted_versions()
    if not models:
        return []
    report = store.report(next(iter(models)))
    better = {column.name: column.better for column in report.columns}
    labels = [label for label in report.headline if better.get(label, "none") != "none"]
    profile = "" if report.run.profile == PROFILE else report.run.profile
    return [(label, address(path, {"metric": label, **given, "profile": profile})) for label in labels[:MOST]]


def suggested_scores(store: ww.Store) -> list[str]:
    """Return names of reported scores."""
    with store.reading() as reader:
        return reader.score_names()[:MOST]


def stored_profile(store: ww.Store, asked: Asked) -> Asked:
    """Return the question about a model under the profile of its newest run, unless another is meant.

    Raises:
        NotStoredError: There is no such model, or it was never analysed.
    """
    if "profile" in asked.given:
        return asked
    with store.reading() as reader:
        try:
            reader.history_columns(asked.text("model"), PROFILE)
        except ww.NotStoredError:
            newest = reader.find_versions(asked.text("model"))[-1]
            return asked.with_value("profile", reader.runs(newest)[0].profile)
    return asked


def few_resamples(store: ww.Store, asked: Asked) -> Asked:
    """Return the question with few resamples, none of many models, unless it names their number."""
    if "bootstrap" in asked.given:
        return asked
    with store.reading() as reader:
        counts = reader.counted_versions()
    models = sum(counts.values()) if asked.is_set("all-versions") else len(counts)
    is_small = models <= MOST_RESAMPLED or any(name in asked.given for name in CHOOSERS)
    return asked.with_value("bootstrap", str(RESAMPLES if is_small else 0))


def resamples(asked: Asked) -> int | None:
    """Return how many resamples were asked for; None for as many as the command takes.

    Raises:
        UsageError: They are more than a server should take for one reader.
    """
    count = asked.count("bootstrap")
    if count is not None and count > MOST_RESAMPLES:
        raise ww.UsageError(f"bootstrap={count}: a page takes at most {MOST_RESAMPLES}, the command more")
    return count
