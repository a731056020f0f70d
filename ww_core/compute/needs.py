"""Which spectra are behind the columns that are missing."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from ww_core.compute.task import MatrixTask
    from ww_core.domain.spectrum import SpectrumKind
    from ww_core.plugins.resolver import Node


class KindsBehind:
    """Finds the kinds of spectra behind what a matrix lacks. They are remembered: most matrices lack the same.

    Args:
        nodes: All nodes of the selection.
    """

    def __init__(self, nodes: Mapping[str, Node]) -> None:
        self._find = functools.cache(functools.partial(kinds_behind, nodes))

    def __call__(self, task: MatrixTask) -> tuple[SpectrumKind, ...]:
        """Return the kinds behind the missing metrics, short of what follows from known columns."""
        known = frozenset((qualified, name) for qualified, columns in task.known.items() for name in columns)
        return self._find(task.missing, known)


def kinds_behind(
    nodes: Mapping[str, Node], missing: Sequence[str], known: Collection[tuple[str, str]] = ()
) -> tuple[SpectrumKind, ...]:
    """Return the kinds behind metrics, short of what follows from known columns of quantities."""
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
