"""Which numbers of a row are not to be trusted: flags, columns of yes or no, cast doubt on the columns they name."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ww_core.domain.report import ReportColumn


def doubted_names(doubts: str) -> list[str]:
    """Return the names in what a flag doubts, ``"A,B"``, each once."""
    return list(dict.fromkeys(filter(None, map(str.strip, doubts.split(",")))))


def flags_by_label(columns: Iterable[ReportColumn]) -> dict[str, list[str]]:
    """Return the labels of the flags that cast doubt on a column, by the label of that column.

    A flag speaks of the columns of its own scope, and of its own plugin's where several have the name.
    """
    known = list(columns)
    labels: dict[tuple[str, str], list[str]] = {}
    for column in known:
        labels.setdefault((column.scope, column.name.partition("[")[0]), []).append(column.name)
    flags: dict[str, list[str]] = {}
    for flag in known:
        plugin = flag.metric.rpartition(":")[0]
        for name in doubted_names(flag.doubts):
            doubted = labels.get((flag.scope, f"{plugin}:{name}")) or labels.get((flag.scope, name), [])
            for label in doubted:
                flags.setdefault(label, []).append(flag.name)
    return flags
