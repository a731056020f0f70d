"""Sums of regression trees as plain arrays, which are checked and evaluated without the program that grew them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

import ww_core as ww
from ww_plugins.estimators.training import all_within, check_columns, check_state_names, state_array

Array = npt.NDArray[Any]

LEAF = -1
"""Stands in ``feature``, ``left`` and ``right`` of a leaf."""

MOST_TREES = 100_000
MOST_LEVELS = 10_000
LARGEST_SINGLE = 1e30
"""Of float32, with room for the sum of all features, which scikit-learn takes."""

TINY = float(np.float32(1e-35))

PAIRS = 1 << 15
"""Pairs of a network and a tree that descend at once: so many that NumPy's calls count little, and fit the cache."""


def to_float32(features: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return features rounded to float32, as float64, as scikit-learn compares them; those beyond 1e30 at 1e30."""
    return np.clip(features, -LARGEST_SINGLE, LARGEST_SINGLE).astype(np.float32, order="C").astype(np.float64)


def tiny_to_zero(features: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return features in which those within 1e-35 of zero are zero, as LightGBM compares them."""
    return np.ascontiguousarray(np.where(np.abs(features) <= TINY, 0.0, features), np.float64)


Rounding = Literal["zero", "float32"]
ROUNDINGS: Mapping[Rounding, Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]]] = {
    "zero": tiny_to_zero,
    "float32": to_float32,
}
"""How programs that grow trees round features. A file has the place in this table, to which others are appended."""


_DTYPES: Mapping[str, type[np.generic]] = {
    "feature": np.int32,
    "threshold": np.float64,
    "left": np.int32,
    "right": np.int32,
    "value": np.float64,
}


@dataclass(frozen=True, eq=False)
class Trees:
    """Regression trees whose predictions are added. A network goes left where its feature is at most the threshold.

    The nodes of all trees are in one table, each tree's together, its root first and children after their parents.

    Attributes:
        columns: How many features a network has.
        roots: Where each tree starts in the table, int64, shape (trees,), ascending from 0.
        feature: Which feature decides at each node, int32, shape (nodes,); -1 at a leaf.
        threshold: float64, shape (nodes,).
        left: Node to the left, counted over the whole table, int32; -1 at a leaf.
        right: Node to the right.
        value: What a leaf adds to the prediction, in the unit of the target, float64; 0 elsewhere.
        rounding: What happens to features before they are compared: one of ``ROUNDINGS``.
    """

    columns: int
    roots: npt.NDArray[np.int64]
    feature: npt.NDArray[np.int32]
    threshold: npt.NDArray[np.float64]
    left: npt.NDArray[np.int32]
    right: npt.NDArray[np.int32]
    value: npt.NDArray[np.float64]
    rounding: Rounding

    def predict(self, features: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return the sums of the trees' values, shape (n,), for features of shape (n, columns).

        Trees are added in their order, so that a network has its prediction to the last bit in any company.

        Raises:
            UsageError: There are more or fewer columns.
        """
        check_columns(features, self.columns)
        numbers = ROUNDINGS[self.rounding](features)
        sums = np.zeros(len(numbers))
        at_once = max(1, PAIRS // max(1, len(numbers)))
        for first in range(0, len(self.roots), at_once):
            for values in self._values(numbers, self.roots[first : first + at_once]):
                sums += values
        return sums

    def _values(self, numbers: npt.NDArray[np.float64], roots: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """Return the value of each of some trees for each network, shape (trees, n): all go down a level at a time."""
        feature, threshold, children = self._steps
        flat = numbers.ravel()
        n = len(numbers)
        nodes = np.repeat(roots, n)
        offsets = np.tile(np.arange(n) * self.columns, len(roots))
        moving = np.flatnonzero(feature[nodes] != LEAF)
        at = nodes[moving]
        where = offsets[moving]
        while moving.size:
            goes_right = flat[where + feature[at]] > threshold[at]
            at = children[2 * at + goes_right]
            nodes[moving] = at
            goes_on = feature[at] != LEAF
            moving, at, where = moving[goes_on], at[goes_on], where[goes_on]
        return self.value[nodes].reshape(len(roots), n)

    @cached_property
    def _steps(self) -> tuple[Array, Array, Array]:
        """Features, thresholds, and the children of node i at 2 i and 2 i + 1, as indexes of the machine's size."""
        children = np.stack([self.left, self.right], axis=1).astype(np.intp).ravel()
        return self.feature.astype(np.intp), self.threshold, children

    def state(self) -> dict[str, Array]:
        """Return it as arrays."""
        own: dict[str, Array] = {name: getattr(self, name) for name in ("roots", *_DTYPES)}
        return own | {"rounding": np.array([list(ROUNDINGS).index(self.rounding)], np.uint8)}

    @classmethod
    def from_state(cls, state: Mapping[str, Array], columns: int) -> Trees:
        """Return it from arrays of a file.

        Raises:
            CorruptFileError: They are no trees over so many features.
        """
        check_state_names(state, {"roots", "rounding", *_DTYPES})
        roots = state_array(state, "roots", np.int64, (None,))
        rounding = int(state_array(state, "rounding", np.uint8, (1,))[0])
        nodes = len(state_array(state, "feature", np.int32, (None,)))
        table = {name: state_array(state, name, dtype, (nodes,)) for name, dtype in _DTYPES.items()}
        if rounding >= len(ROUNDINGS):
            _refuse(f"features are rounded in a way that is not known: {rounding}")
        trees = cls(columns, roots, rounding=list(ROUNDINGS)[rounding], **table)
        trees.check()
        return trees

    def check(self) -> None:
        """Check that every tree is one, and ends.

        Raises:
            CorruptFileError: An index points elsewhere, a node has no parent or two, a number is none, or there are
                too many trees or levels.
        """
        nodes = np.arange(len(self.feature))
        is_leaf = self.feature == LEAF
        inner = np.flatnonzero(~is_leaf)
        is_root = np.zeros(len(nodes), bool)
        if not 0 < len(self.roots) <= MOST_TREES:
            _refuse(f"it has {len(self.roots)} trees, and may have 1 to {MOST_TREES}")
        if self.roots[0] != 0 or (np.diff(self.roots) <= 0).any() or self.roots[-1] >= len(nodes):
            _refuse("the trees' first nodes are not ascending from 0")
        is_root[self.roots] = True
        if ((self.feature < LEAF) | (self.feature >= self.columns)).any():
            _refuse(f"a node asks for a feature that is none of the {self.columns}")
        ends = np.append(self.roots[1:], len(nodes))
        end = np.repeat(ends, ends - self.roots)  # of the tree of each node
        parents = np.zeros(len(nodes), np.int64)
        for children in (self.left, self.right):
            if (children[is_leaf] != LEAF).any():
                _refuse("a leaf has a child")
            if ((children[inner] <= inner) | (children[inner] >= end[inner])).any():
                _refuse("a child does not come after its parent, or is in another tree")
            parents += np.bincount(children[inner], minlength=len(nodes))
        if (parents != ~is_root).any():
            _refuse("a node has no parent, or two")
        if not (all_within(self.threshold) and all_within(self.value)):
            _refuse("a threshold or a value is a number that no fit gives")
        self._check_levels()

    def _check_levels(self) -> None:
        """Go down all trees at once, which are known to be trees.

        Raises:
            CorruptFileError: One is too deep.
        """
        level = self.roots
        for _ in range(MOST_LEVELS):
            inner = level[self.feature[level] != LEAF]
            if not inner.size:
                return
            level = np.concatenate([self.left[inner], self.right[inner]])
        _refuse(f"a tree has more than {MOST_LEVELS} levels")


def joined(columns: int, tables: list[dict[str, Array]], *, rounding: Rounding) -> Trees:
    """Return trees that are given one by one.

    Args:
        columns: How many features there are.
        tables: Arrays ``feature``, ``threshold``, ``left``, ``right``, ``value`` of each; children are counted within
            the tree, and -1 at a leaf.
        rounding: As of ``Trees``.
    """
    sizes = np.array([len(table["feature"]) for table in tables], np.int64)
    roots = np.cumsum(sizes) - sizes
    for table, root in zip(tables, roots, strict=True):
        for side in ("left", "right"):
            table[side] = np.where(table[side] == LEAF, LEAF, table[side] + root)
    whole = {name: np.concatenate([t[name] for t in tables]).astype(dtype) for name, dtype in _DTYPES.items()}
    return Trees(columns, roots, rounding=rounding, **whole)


def _refuse(why: str) -> None:
    raise ww.CorruptFileError(f"the predictor's trees are damaged: {why}")
