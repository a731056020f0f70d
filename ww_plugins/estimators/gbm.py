"""Gradient boosting by LightGBM, kept as its text model and read without LightGBM."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

import ww_core as ww
from ww_plugins.estimators.trees import Trees, checked_trees

if TYPE_CHECKING:
    import numpy.typing as npt

EXTRA = "predictors"
MANY_COLUMNS = 1000
"""From so many features on, each tree sees few of them, as in the paper's search."""

MOST_BYTES = 2**28
_CATEGORICAL, _ZERO_IS_MISSING = 1, 4
"""Bits of LightGBM's ``decision_type``."""


@dataclass(frozen=True, eq=False)
class Boosted:
    """A boosted ensemble.

    Attributes:
        trees: Its trees.
        text: LightGBM's text model.
    """

    trees: Trees
    text: bytes

    def predict(self, features: npt.NDArray[np.float64], /) -> npt.NDArray[np.float64]:
        """Return the predictions, float64, shape (n,), for features of shape (n, k)."""
        return self.trees.predict(features)


@dataclass(frozen=True)
class GradientBoosting(ww.Estimator):
    """Gradient boosting with squared errors: the paper's best estimator. Options have LightGBM's meaning."""

    name: ClassVar[str] = "gbm"
    version: ClassVar[str] = "1"
    description: ClassVar[str] = "gradient boosting (LightGBM)"
    extra: ClassVar[str] = EXTRA

    trees: int = 600
    learning_rate: float = 0.03
    leaves: int = 31
    depth: int = 8
    bins: int = 255
    min_child_weight: float = 1.0
    min_child_samples: int = 5
    reg_lambda: float = 1.0
    reg_alpha: float = 0.0
    subsample: float = 0.8
    colsample: float = 0.7

    def check(self) -> None:
        """Try to import LightGBM.

        Raises:
            MissingExtraError: It is not installed, or a library of the system that it needs.
        """
        try:
            import lightgbm  # noqa: F401 - whether it is there
        except (ImportError, OSError) as error:
            raise ww.MissingExtraError(
                f"lightgbm cannot be imported ({error}): pip install 'ww-core[{EXTRA}]'"
            ) from None

    def ranges(self, columns: int) -> Mapping[str, ww.Between | ww.Among]:
        """Return where options are searched: the paper's ranges, with fewer leaves, as zoos of ours are smaller."""
        return {
            "learning_rate": ww.Between(0.01, 0.1, log=True),
            "leaves": ww.Between(7, 63),
            "depth": ww.Between(5, 14),
            "bins": ww.Among((63, 127, 255)),
            "min_child_weight": ww.Between(1, 5),
            "reg_lambda": ww.Between(0.0, 100.0),
            "reg_alpha": ww.Between(0.0, 4.0),
            "subsample": ww.Between(0.1, 1.0),
            "colsample": ww.Between(0.01, 0.1, log=True) if columns >= MANY_COLUMNS else ww.Between(0.7, 1.0),
        }

    def fit(self, features: npt.NDArray[np.float64], targets: npt.NDArray[np.float64], seed: int) -> Boosted:
        """Boost on one core; the same input gives the same bits."""
        import lightgbm

        options = {
            "objective": "regression",
            "learning_rate": self.learning_rate,
            "num_leaves": self.leaves,
            "max_depth": self.depth,
            "max_bin": self.bins,
            "min_sum_hessian_in_leaf": self.min_child_weight,
            "min_data_in_leaf": self.min_child_samples,
            "lambda_l2": self.reg_lambda,
            "lambda_l1": self.reg_alpha,
            "bagging_fraction": self.subsample,
            "bagging_freq": 1,
            "feature_fraction": self.colsample,
            "seed": seed % 2**31,
            "deterministic": True,
            "force_row_wise": True,
            "num_threads": 1,
            "verbosity": -1,
        }
        data = lightgbm.Dataset(np.ascontiguousarray(features), targets, free_raw_data=True)
        try:
            model = lightgbm.train(options, data, num_boost_round=self.trees)
        except lightgbm.basic.LightGBMError as error:
            raise ww.UsageError(f"estimator {self.label}: LightGBM refuses it: {error}") from None
        text = model.model_to_string().encode()
        return Boosted(trees_of(text, features.shape[1]), text)

    def state(self, fitted: Any) -> Mapping[str, npt.NDArray[Any]]:
        """Return the text model, bytes of shape (length,)."""
        boosted: Boosted = fitted
        return {"model": np.frombuffer(boosted.text, np.uint8)}

    def from_state(self, state: Mapping[str, npt.NDArray[Any]], columns: int) -> Boosted:
        """Read the text model. LightGBM itself does not see it: it is no reader of strangers' files."""
        own = state.get("model")
        if own is None or own.dtype != np.uint8 or own.ndim != 1 or own.size > MOST_BYTES:
            raise ww.CorruptFileError("it has no text model of LightGBM")
        text = own.tobytes()
        return Boosted(trees_of(text, columns), text)


def trees_of(text: bytes, columns: int) -> Trees:
    """Read the trees of a text model of LightGBM, version 4 of the format.

    Raises:
        CorruptFileError: It is none, it decides by what is missing or by categories, or it contradicts itself.
    """
    try:
        lines = text.decode("ascii").split("\n")
    except UnicodeDecodeError:
        raise ww.CorruptFileError("its text model is no model of LightGBM") from None
    parts: dict[str, list[npt.NDArray[Any]]] = {name: [] for name in ("feature", "threshold", "left", "right", "value")}
    roots: list[int] = []
    start = 0
    for block in _blocks(lines):
        own = _tree_of(block, start)
        for name, array in own.items():
            parts[name].append(array)
        roots.append(start)
        start += len(own["feature"])
    if not roots:
        raise ww.CorruptFileError("its text model has no tree")
    state = {name: np.concatenate(arrays) for name, arrays in parts.items()}
    return checked_trees(state | {"roots": np.array(roots, np.int64), "is_single": np.array(False)}, columns)


def _blocks(lines: list[str]) -> Iterator[dict[str, str]]:
    """Give the entries of each tree, up to ``end of trees``.

    Raises:
        CorruptFileError: The model does not begin or end as one of LightGBM's does.
    """
    head = dict(line.partition("=")[::2] for line in lines[:12])
    if lines[0] != "tree" or head.get("version") != "v4" or head.get("num_tree_per_iteration") != "1":
        raise ww.CorruptFileError("its text model is no model of LightGBM 4 with one output")
    block: dict[str, str] | None = None
    for line in lines:
        if line == "end of trees":
            if block is not None:
                yield block
            return
        if re.fullmatch("Tree=[0-9]{1,9}", line):
            if block is not None:
                yield block
            block = {}
        elif block is not None and "=" in line:
            name, _, value = line.partition("=")
            block[name] = value
    raise ww.CorruptFileError("its text model has no end")


def _tree_of(block: Mapping[str, str], start: int) -> dict[str, npt.NDArray[Any]]:
    """Return the nodes of a tree, the inner ones first, then its leaves.

    Raises:
        CorruptFileError: It contradicts itself, or is of a kind that is not read.
    """
    if block.get("num_cat", "0") != "0" or block.get("is_linear", "0") != "0":
        raise ww.CorruptFileError("its text model has a tree with categories or lines in it, which is not read")
    value = _numbers(block, "leaf_value", np.float64)
    leaves = len(value)
    inner = leaves - 1
    names = ("split_feature", "threshold", "decision_type", "left_child", "right_child")
    types = (np.int64, np.float64, np.int64, np.int64, np.int64)
    feature, threshold, decision, left, right = (
        _numbers(block, name, kind) if inner else np.zeros(0, kind) for name, kind in zip(names, types, strict=True)
    )
    if any(len(own) != inner for own in (feature, threshold, decision, left, right)) or inner < 0:
        raise ww.CorruptFileError("a tree of its text model has other counts of nodes and leaves")
    if np.any(decision & (_CATEGORICAL | _ZERO_IS_MISSING)):
        raise ww.CorruptFileError("its text model decides by categories or by zeros, which is not read")
    if inner and (min(left.min(), right.min()) < -leaves or max(left.max(), right.max()) >= inner or feature.min() < 0):
        raise ww.CorruptFileError("a node of its text model leads nowhere")
    ahead = [start + np.where(own < 0, inner - own - 1, own) for own in (left, right)]  # leaf 0 is -1, leaf 1 is -2
    if inner and max(own.max() for own in (*ahead, feature)) > np.iinfo(np.int32).max:
        raise ww.CorruptFileError("its text model has too many nodes")
    rest = np.zeros(leaves)
    return {
        "feature": np.concatenate([feature, np.full(leaves, -1)]).astype(np.int32),
        "threshold": np.concatenate([threshold, rest]),
        "left": np.concatenate([ahead[0], rest]).astype(np.int32),
        "right": np.concatenate([ahead[1], rest]).astype(np.int32),
        "value": np.concatenate([np.zeros(inner), value]),
    }


def _numbers(block: Mapping[str, str], name: str, kind: type) -> npt.NDArray[Any]:
    try:
        return np.array(block.get(name, "").split(), kind)
    except (ValueError, OverflowError):
        raise ww.CorruptFileError(f"{name} of a tree of its text model is no list of numbers") from None
