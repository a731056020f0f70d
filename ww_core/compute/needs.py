"""What is behind the columns that are missing."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ww_core.domain.spectrum import SpectrumKind
    from ww_core.plugins.resolver import Node


def kinds_behind(
    nodes: Mapping[str, Node], missing: Sequence[str], known: Collection[tuple[str, str]]
) -> tuple[SpectrumKind, ...]:
    """Return the kinds of spectra behind metrics of a matrix, short of what follows from known columns.

    Args:
        nodes: All nodes of the selection.
        missing: Qualified names of the metrics.
        known: Qualified name of the metric, and column, of what is stored.
    """
    kinds: dict[SpectrumKind, None] = {}
    reached = dict.fromkeys(missing)
    waiting = list(reached)
    while waiting:
        node = nodes[waiting.pop()]
        kinds |= dict.fromkeys(node.kinds.values())
        for need in node.needs:
            if need.quantity and need.quantity not in reached and (need.quantity, need.column) not in known:
                reached[need.quantity] = None
                waiting.append(need.quantity)
    return tuple(kinds)
