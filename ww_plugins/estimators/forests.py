"""Forests of scikit-learn, as plain arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

import ww_core as ww
from ww_plugins.estimators.trees import Trees, checked_trees

if TYPE_CHECKING:
    import numpy.typing as npt

EXTRA = "predictors"


class _Forest(ww.Estimator):
    version: ClassVar[str] = "1"
    extra: ClassVar[str] = EXTRA

    def check(self) -> None:
        """Try to import scikit-learn.

        Raises:
            MissingExtraError: It is not installed.
        """
        try:
            import sklearn.ensemble  # noqa: F401 - whether it is there
        except ImportError:
            raise ww.MissingExtraError(f"scikit-learn is not installed: pip install 'ww-core[{EXTRA}]'") from None

    def state(self, fitted: Any) -> Mapping[str, npt.NDArray[Any]]:
        """Return the trees."""
        trees: Trees = fitted
        return trees.state()

    def from_state(self, state: Mapping[str, npt.NDArray[Any]], columns: int) -> Trees:
        """Return the trees, checked."""
        return checked_trees(state, columns)


@dataclass(frozen=True)
class Forest(_Forest):
    """A random forest. The paper takes one of 32 trees for its fully connected networks (appendix E)."""

    name: ClassVar[str] = "forest"
    description: ClassVar[str] = "random forest (scikit-learn)"

    trees: int = 32
    depth: int | None = None
    leaf: int = 1
    columns: float = 1.0

    def ranges(self, columns: int) -> Mapping[str, ww.Between | ww.Among]:
        """Return where options are searched."""
        del columns
        return {"leaf": ww.Between(1, 8), "columns": ww.Between(0.1, 1.0)}

    def fit(self, features: npt.NDArray[np.float64], targets: npt.NDArray[np.float64], seed: int) -> Trees:
        """Grow the forest, on one core."""
        from sklearn.ensemble import RandomForestRegressor

        forest = RandomForestRegressor(
            self.trees,
            max_depth=self.depth,
            min_samples_leaf=self.leaf,
            max_features=self.columns,
            random_state=seed % 2**32,
            n_jobs=1,
        )
        return _arrays_of(forest.fit(features, targets))


@dataclass(frozen=True)
class ExtraTrees(_Forest):
    """Extremely randomized trees: thresholds are drawn, not searched. P. Geurts et al., Machine Learning 63 (2006)."""

    name: ClassVar[str] = "extra-trees"
    description: ClassVar[str] = "extremely randomized trees (scikit-learn)"

    trees: int = 200
    depth: int | None = None
    leaf: int = 1
    columns: float = 1.0

    def ranges(self, columns: int) -> Mapping[str, ww.Between | ww.Among]:
        """Return where options are searched."""
        del columns
        return {"leaf": ww.Between(1, 8), "columns": ww.Between(0.1, 1.0)}

    def fit(self, features: npt.NDArray[np.float64], targets: npt.NDArray[np.float64], seed: int) -> Trees:
        """Grow the trees, on one core."""
        from sklearn.ensemble import ExtraTreesRegressor

        forest = ExtraTreesRegressor(
            self.trees,
            max_depth=self.depth,
            min_samples_leaf=self.leaf,
            max_features=self.columns,
            random_state=seed % 2**32,
            n_jobs=1,
        )
        return _arrays_of(forest.fit(features, targets))


def _arrays_of(forest: Any) -> Trees:
    """Return the trees of a fitted forest; its mean over them is the sum of leaves that are divided by their count."""
    own = [tree.tree_ for tree in forest.estimators_]
    counts = np.array([tree.node_count for tree in own], np.int64)
    roots = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)[:-1]])
    starts = np.repeat(roots, counts)
    feature = np.concatenate([tree.feature for tree in own])
    is_leaf = feature < 0
    left, right = (
        np.where(is_leaf, 0, np.concatenate([getattr(tree, side) for tree in own]) + starts)
        for side in ("children_left", "children_right")
    )
    return Trees(
        feature=np.where(is_leaf, -1, feature).astype(np.int32),
        threshold=np.where(is_leaf, 0.0, np.concatenate([tree.threshold for tree in own])),
        left=left.astype(np.int32),
        right=right.astype(np.int32),
        value=np.concatenate([tree.value[:, 0, 0] for tree in own]) / len(own),
        roots=roots,
        is_single=np.array(True),
    )
