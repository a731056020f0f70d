"""Ensembles of decision trees as plain arrays, which are checked and asked without the package that grew them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

import ww_core as ww

if TYPE_CHECKING:
    import numpy.typing as npt

MOST_NODES = 50_000_000
"""Nodes of all trees together that are read from a file."""

AT_ONCE = 4_000_000
"""Pairs of a network and a tree that are followed together."""


@dataclass(frozen=True, eq=False)
class Trees:
    """Trees whose leaves are added up. All nodes of all trees stand in arrays of shape (nodes,).

    Attributes:
        feature: Which feature a node asks for, int32; -1 at a leaf.
        threshold: A value of at most this goes left, float64.
        left: Node to the left, int32, behind the node itself; 0 at a leaf.
        right: Node to the right.
        value: What a leaf adds, float64.
        roots: First node of each tree, int64, shape (trees,).
        is_single: Whether features are rounded to single precision before they are compared, shape (), bool.
    """

    feature: npt.NDArray[np.int32]
    threshold: npt.NDArray[np.float64]
    left: npt.NDArray[np.int32]
    right: npt.NDArray[np.int32]
    value: npt.NDArray[np.float64]
    roots: npt.NDArray[np.int64]
    is_single: npt.NDArray[np.bool_]

    def predict(self, features: npt.NDArray[np.float64], /) -> npt.NDArray[np.float64]:
        """Return the sums of leaves, float64, shape (n,), for features of shape (n, k)."""
        asked = features.astype(np.float32).astype(np.float64) if self.is_single else features
        step = max(1, AT_ONCE // max(1, len(self.roots)))
        parts = [self._sums(asked[start : start + step]) for start in range(0, len(asked), step)]
        return np.concatenate(parts) if parts else np.zeros(0)

    def _sums(self, features: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        nodes = np.tile(self.roots, (len(features), 1)).reshape(-1)
        rows = np.repeat(np.arange(len(features)), len(self.roots))
        going = np.flatnonzero(self.feature[nodes] >= 0)
        while len(going):
            at = nodes[going]
            goes_left = features[rows[going], self.feature[at]] <= self.threshold[at]
            nodes[going] = np.where(goes_left, self.left[at], self.right[at])
            going = going[self.feature[nodes[going]] >= 0]
        sums: npt.NDArray[np.float64] = self.value[nodes].reshape(len(features), -1).sum(axis=1)
        return sums

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Return the arrays by their names."""
        return {own.name: getattr(self, own.name) for own in fields(self)}


def checked_trees(state: Mapping[str, npt.NDArray[Any]], columns: int) -> Trees:
    """Return trees that ask for so many features, from the arrays of a file.

    Raises:
        CorruptFileError: An array is missing or of another type, or a node leads nowhere.
    """
    kinds = {own.name: _TYPES[own.name] for own in fields(Trees)}
    for name, wanted in kinds.items():
        if name not in state or state[name].dtype != wanted:
            raise ww.CorruptFileError(f"its trees have no array {name!r} of type {wanted}")
    trees = Trees(**{name: state[name] for name in kinds})
    nodes = len(trees.feature) if trees.feature.ndim == 1 else 0
    if any(getattr(trees, name).shape != (nodes,) for name in kinds if name not in {"roots", "is_single"}):
        raise ww.CorruptFileError("the arrays of its trees have other lengths")
    if not 0 < nodes <= MOST_NODES or trees.roots.ndim != 1 or not len(trees.roots) or trees.is_single.shape != ():
        raise ww.CorruptFileError("it has no trees")
    if trees.roots.min() < 0 or trees.roots.max() >= nodes:
        raise ww.CorruptFileError("one of its trees begins nowhere")
    inner = np.flatnonzero(trees.feature >= 0)
    if trees.feature.min() < -1 or trees.feature.max() >= columns:
        raise ww.CorruptFileError(f"one of its trees asks for a feature that is none of {columns}")
    for branch in (trees.left[inner], trees.right[inner]):
        if len(inner) and not (np.all(branch > inner) and branch.max() < nodes):  # only forwards: there is no way round
            raise ww.CorruptFileError("a node of its trees leads nowhere")
    if not (np.isfinite(trees.threshold).all() and np.isfinite(trees.value).all()):
        raise ww.CorruptFileError("its trees hold a number that is not finite")
    return trees


_TYPES: Mapping[str, np.dtype[Any]] = {
    "feature": np.dtype(np.int32),
    "threshold": np.dtype(np.float64),
    "left": np.dtype(np.int32),
    "right": np.dtype(np.int32),
    "value": np.dtype(np.float64),
    "roots": np.dtype(np.int64),
    "is_single": np.dtype(np.bool_),
}
