"""Forests of scikit-learn: averages of trees that see the networks by chance, and need no search."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

import ww_core as ww
from ww_plugins.estimators.training import check_options, check_training
from ww_plugins.estimators.trees import LEAF, Trees, joined, to_float32

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

SEEDS = 1 << 32
"""scikit-learn's seeds are below it."""

_LIMITS = {
    "trees": (1, 10_000),
    "max_depth": (0, 1000),
    "min_samples_leaf": (1, np.inf),
    "max_features": (1e-9, 1.0),
}


@dataclass(frozen=True)
class _Forest(ww.Estimator):
    """What both forests have in common: scikit-learn grows them, and ww keeps their trees as arrays.

    Attributes:
        trees: How many.
        max_depth: Levels of a tree at most; 0 for as many as it takes.
        min_samples_leaf: Networks in a leaf at least.
        max_features: Share of the features that each split chooses from.
    """

    version = "1"
    extra = "predictors"
    grown_by: ClassVar[str]
    trees: int = 32
    max_depth: int = 0
    min_samples_leaf: int = 1
    max_features: float = 1.0

    def __post_init__(self) -> None:
        check_options(self, _LIMITS)

    def check(self) -> None:
        """Try whether scikit-learn is installed.

        Raises:
            MissingExtraError: It is not.
        """
        try:
            import sklearn.ensemble  # noqa: F401 - tried here, used later
        except ImportError:
            raise ww.MissingExtraError(
                f"estimator {self.label!r} needs scikit-learn: pip install 'ww-core[predictors]'"
            ) from None

    def ranges(self, columns: int) -> Mapping[str, ww.Between | ww.Among]:
        """Return where options are searched: as for gbm, few of many features, many of few."""
        share = ww.Between(0.01, 0.3, log=True) if columns > 1000 else ww.Between(0.2, 1.0)
        return {"max_features": share, "min_samples_leaf": ww.Between(1, 5)}

    def fit(self, features: npt.NDArray[np.float64], targets: npt.NDArray[np.float64], seed: int) -> Trees:
        """Learn from features of shape (n, k), rounded to float32, and targets of shape (n,). Leaves share the average.

        Raises:
            UsageError: There is nothing to learn from, or a number is not finite.
            MissingExtraError: scikit-learn is not installed.
        """
        self.check()
        import sklearn.ensemble

        check_training(features, targets, self.label)
        forest = getattr(sklearn.ensemble, self.grown_by)(
            n_estimators=self.trees,
            max_depth=self.max_depth or None,
            min_samples_leaf=self.min_samples_leaf,
            max_features=self.max_features,
            random_state=seed % SEEDS,
            n_jobs=1,
        ).fit(to_float32(features), targets)
        return joined(features.shape[1], [_table(tree.tree_, self.trees) for tree in forest], rounding="float32")

    def state(self, fitted: Trees) -> Mapping[str, npt.NDArray[Any]]:
        """Return the trees as arrays."""
        return fitted.state()

    def from_state(self, state: Mapping[str, npt.NDArray[Any]], columns: int) -> Trees:
        """Return the trees.

        Raises:
            CorruptFileError: The arrays are none.
        """
        return Trees.from_state(state, columns)


@dataclass(frozen=True)
class Forest(_Forest):
    """Random forest: trees on networks drawn with replacement. L. Breiman, Machine Learning 45 (2001).

    The 32 trees are those of arXiv:2002.11448, appendix E. Options are those of all forests here.
    """

    name = "forest"
    description = "random forest of 32 trees, by scikit-learn"
    grown_by = "RandomForestRegressor"


@dataclass(frozen=True)
class ExtraTrees(_Forest):
    """Extremely randomized trees: thresholds are drawn by chance. P. Geurts et al., Machine Learning 63 (2006).

    Options are those of all forests here.
    """

    name = "extra-trees"
    description = "extremely randomized trees, 200 of them, by scikit-learn; good without a search"
    grown_by = "ExtraTreesRegressor"
    trees: int = 200


def _table(tree: Any, trees: int) -> dict[str, npt.NDArray[Any]]:
    """Return the nodes of one of scikit-learn's trees, in which a leaf has -1 for children, and other marks."""
    is_leaf = tree.children_left == LEAF
    return {
        "feature": np.where(is_leaf, LEAF, tree.feature),
        "threshold": np.where(is_leaf, 0.0, tree.threshold),
        "left": tree.children_left,
        "right": tree.children_right,
        "value": np.where(is_leaf, tree.value[:, 0, 0] / trees, 0.0),
    }
