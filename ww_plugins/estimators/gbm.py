"""Gradient boosting by LightGBM, with which the paper's best predictors were made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

import ww_core as ww
from ww_plugins.estimators.lightgbm_text import trees_of_text
from ww_plugins.estimators.training import check_options, check_state_names, check_training, state_array

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    from ww_plugins.estimators.trees import Trees

SEEDS = 1 << 31
"""LightGBM's seeds are below it."""

LARGEST_LABEL = 1e18
"""Targets are float32 in LightGBM, and so are sums of them."""

_LIMITS = {
    "trees": (1, 100_000),
    "learning_rate": (1e-9, 10.0),
    "max_depth": (0, 1000),
    "num_leaves": (2, 131_072),
    "max_bin": (2, 65_535),
    "min_child_weight": (0.0, np.inf),
    "min_child_samples": (0, 2**31 - 1),
    "reg_lambda": (0.0, np.inf),
    "reg_alpha": (0.0, np.inf),
    "subsample": (1e-9, 1.0),
    "colsample": (1e-9, 1.0),
}


@dataclass(frozen=True, eq=False)
class Boosted:
    """Trees that correct each other, with the text from which they were read.

    Attributes:
        text: LightGBM's model.
        trees: The same as arrays.
    """

    text: str
    trees: Trees

    def predict(self, features: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return the predictions, shape (n,), for features of shape (n, k)."""
        return self.trees.predict(features)


@dataclass(frozen=True)
class GradientBoosting(ww.Estimator):
    """Gradient-boosted trees with squared loss. G. Ke et al., LightGBM, NeurIPS 2017; arXiv:2002.11448, appendix A.

    The defaults are for some hundred to some thousand networks; there is no early stopping, for which networks would
    have to be set aside. One thread, so that the same input gives the same bytes.

    Attributes:
        trees: How many.
        learning_rate: Share of each tree's correction that is made.
        max_depth: Levels of a tree at most; 0 for as many as its leaves need.
        num_leaves: Leaves of a tree at most.
        max_bin: Values at which a feature may be split at most.
        min_child_weight: Sum of second derivatives in a leaf at least; here it is the number of networks.
        min_child_samples: Networks in a leaf at least.
        reg_lambda: L2 penalty on the values of leaves.
        reg_alpha: L1 penalty on them.
        subsample: Share of the networks that each tree sees.
        colsample: Share of the features that each tree sees.
    """

    name = "gbm"
    version = "1"
    description = "gradient boosting by LightGBM: the paper's best"
    extra = "predictors"
    trees: int = 600
    learning_rate: float = 0.03
    max_depth: int = 8
    num_leaves: int = 31
    max_bin: int = 255
    min_child_weight: float = 1.0
    min_child_samples: int = 5
    reg_lambda: float = 1.0
    reg_alpha: float = 0.0
    subsample: float = 0.7
    colsample: float = 0.7

    def __post_init__(self) -> None:
        check_options(self, _LIMITS)

    def check(self) -> None:
        """Try whether LightGBM is installed.

        Raises:
            MissingExtraError: It is not.
        """
        try:
            import lightgbm  # noqa: F401 - tried here, used later
        except (ImportError, OSError) as error:  # OSError: a library that it needs is not there
            raise ww.MissingExtraError(
                f"estimator {self.label!r} needs LightGBM ({error}): pip install 'ww-core[predictors]', "
                "or take forest or extra-trees"
            ) from None

    def ranges(self, columns: int) -> Mapping[str, ww.Between | ww.Among]:
        """Return where options are searched: the paper's ranges, with penalties that some hundred networks bear.

        The paper has 15,000 networks and reg_lambda up to 100. Of thousands of features a tree sees 1 to 10 %.
        """
        return {
            "learning_rate": ww.Between(0.01, 0.1, log=True),
            "max_depth": ww.Between(4, 14),
            "num_leaves": ww.Among((7, 15, 31, 63)),
            "max_bin": ww.Among((63, 127, 255)),
            "min_child_weight": ww.Between(1, 5),
            "min_child_samples": ww.Among((2, 5, 10, 20)),
            "reg_lambda": ww.Between(0.01, 30.0, log=True),
            "reg_alpha": ww.Between(1e-4, 0.1, log=True),
            "subsample": ww.Between(0.3, 1.0),
            "colsample": ww.Between(0.01, 0.1, log=True) if columns > 1000 else ww.Between(0.7, 1.0),
        }

    def fit(self, features: npt.NDArray[np.float64], targets: npt.NDArray[np.float64], seed: int) -> Boosted:
        """Learn from features of shape (n, k) and targets of shape (n,), which LightGBM rounds to float32.

        Raises:
            UsageError: There is nothing to learn from, a number is not finite, or a target is beyond 1e18.
            MissingExtraError: LightGBM is not installed.
        """
        self.check()
        check_training(features, targets, self.label)
        if np.abs(targets).max() > LARGEST_LABEL:
            raise ww.UsageError(f"estimator {self.label}: a target is beyond {LARGEST_LABEL:g}")
        import lightgbm

        options = self._options(seed, len(features))
        networks = lightgbm.Dataset(np.ascontiguousarray(features), targets, params=options)
        text = lightgbm.train(options, networks, num_boost_round=self.trees).model_to_string()
        return Boosted(text, trees_of_text(text, features.shape[1]))

    def _options(self, seed: int, networks: int) -> dict[str, Any]:
        is_share = self.subsample < 1.0 and int(self.subsample * networks) > 0  # LightGBM refuses a share of none
        return {
            "objective": "regression",
            "learning_rate": self.learning_rate,
            "max_depth": self.max_depth or -1,
            "num_leaves": self.num_leaves,
            "max_bin": self.max_bin,
            "min_sum_hessian_in_leaf": self.min_child_weight,
            "min_data_in_leaf": self.min_child_samples,
            "lambda_l2": self.reg_lambda,
            "lambda_l1": self.reg_alpha,
            "bagging_fraction": self.subsample if is_share else 1.0,
            "bagging_freq": 1 if is_share else 0,
            "feature_fraction": self.colsample,
            "feature_pre_filter": False,
            "use_missing": False,  # there are none, and trees without them are simpler
            "seed": seed % SEEDS,
            "deterministic": True,
            "force_row_wise": True,
            "num_threads": 1,
            "verbosity": -1,
        }

    def state(self, fitted: Boosted) -> Mapping[str, npt.NDArray[Any]]:
        """Return LightGBM's text: ``model``, uint8, UTF-8."""
        return {"model": np.frombuffer(fitted.text.encode(), np.uint8)}

    def from_state(self, state: Mapping[str, npt.NDArray[Any]], columns: int) -> Boosted:
        """Return the trees of a text, which LightGBM never sees.

        Raises:
            CorruptFileError: It is no such text, or its trees are none.
        """
        check_state_names(state, {"model"})
        try:
            text = state_array(state, "model", np.uint8, (None,)).tobytes().decode("ascii")
        except UnicodeDecodeError:
            raise ww.CorruptFileError(
                "the predictor's LightGBM model has characters that LightGBM writes none of"
            ) from None
        return Boosted(text, trees_of_text(text, columns))
