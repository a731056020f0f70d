"""What a form offers before anything was asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import ww_core as ww
from ww_plugins.pages.server.asked import address

if TYPE_CHECKING:
    from collections.abc import Mapping

MOST = 12


def suggested_columns(store: ww.Store, path: str, given: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return the headline columns of one stored analysis, each with the address of a page about it."""
    for version in store.versions()[:1]:
        report = store.report(f"{version.model}@{version.version}")
        better = {column.name: column.better for column in report.columns}
        labels = [label for label in report.headline if better.get(label, "none") != "none"]
        return [(label, address(path, {"metric": label, **given})) for label in labels[:MOST]]
    return []


def suggested_scores(store: ww.Store) -> list[str]:
    """Return names of reported scores."""
    return list(dict.fromkeys(score.name for score in store.scores()))[:MOST]
