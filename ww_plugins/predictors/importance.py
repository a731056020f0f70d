"""Which features a predictor uses: permutation importance, on networks that it has not seen.

A feature is permuted among the networks, and the predictor is asked again: the growth of its mean squared error
is the importance of the feature. It is of the predictor as it is, whatever the estimator; nothing is fitted anew.
L. Breiman, "Random Forests", Machine Learning 45 (2001), section 10; for any model, A. Fisher, C. Rudin, F. Dominici,
"All Models are Wrong, but Many are Useful", JMLR 20 (2019).

Where features say the same, each alone matters little, as the others still say it: so features can be permuted
together, those of a layer or those of one statistic.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

import ww_core as ww
from ww_plugins.predictors.evaluating import unseen_features

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import numpy.typing as npt

    from ww_plugins.predictors.predictor import Predictor

By = Literal["feature", "layer", "statistic"]
"""What is permuted together: one feature, all features of a layer, or one statistic of all layers."""

_OF_A_LAYER = re.compile(r"(.+?)(?:\.[^.\[\]]+\[\d+\])?\.((?:(?:weight|bias)\.)?[^.]+)")
"""``layer1.weight.q75``, ``all.mean``, ``conv1.alpha``, ``conv1.slice[3].alpha``: a layer, and what is said of it."""


@dataclass(frozen=True, slots=True)
class Importance:
    """How much a predictor depends on features that are permuted together.

    Attributes:
        name: The feature, the layer or the statistic.
        features: How many features these are.
        importance: By how much their permutation increases the mean squared error: the mean over the repeats, in the
            unit of the target squared. It may be below zero by chance.
        importance_std: Its standard deviation over the repeats (ddof 1); NaN of one.
    """

    name: str
    features: int
    importance: float
    importance_std: float


@dataclass(frozen=True, slots=True)
class Importances:
    """How much a predictor depends on each of its features.

    Attributes:
        networks: How many networks were predicted.
        mse: Mean squared error of their predictions, with nothing permuted.
        groups: The most important one first.
    """

    networks: int
    mse: float
    groups: tuple[Importance, ...]


def importances(
    predictor: Predictor,
    zoo: ww.Zoo,
    *,
    by: By = "feature",
    most: int = 1000,
    repeats: int = 5,
    seed: int = 0,
    store: ww.Store | str | Path | None = None,
    profile: str = "default",
    registry: ww.Registry | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Importances:
    """Permute features of networks that a predictor has not seen, and see how much worse its predictions are.

    Args:
        predictor: The predictor.
        zoo: A zoo; networks that the predictor was made with are left out.
        by: What is permuted together.
        most: How many networks are taken, at random, at most.
        repeats: Number of permutations. All features are permuted in the same ways.
        seed: Random seed.
        store: Where metrics are, if features are metrics.
        profile: Profile of these.
        registry: Loaded plugins, if they are loaded already.
        progress: Is told how many groups of features are done, of how many.

    Raises:
        UsageError: The features are others, or fewer than two networks are left.
        UnknownNameError: Features are put together by something else.
    """
    if by not in get_args(By):
        raise ww.UnknownNameError("way to put features together", by, get_args(By))
    if most < 2 or repeats < 1:
        raise ww.UsageError(f"{most} networks, {repeats} repeats: it takes two networks and one repeat at least")
    found = unseen_features(predictor, zoo, store=store, profile=profile, registry=registry)
    rng = np.random.default_rng(seed)
    taken = np.sort(rng.permutation(len(found))[:most])
    if len(taken) < 2:
        raise ww.UsageError(f"zoo {zoo.name}: one network is left that the predictor has not seen: it takes two")
    features, targets = found.values[taken], found.zoo.results[predictor.target][taken]
    ways = [rng.permutation(len(taken)) for _ in range(repeats)]

    def error(changed: npt.NDArray[np.float64]) -> float:
        return float(np.mean((predictor.predict(changed) - targets) ** 2))

    mse = error(features)
    groups = groups_of(predictor, by)
    told: list[Importance] = []
    for name, columns in groups.items():
        grown = [error(_permuted(features, columns, way)) - mse for way in ways]
        deviation = float(np.std(grown, ddof=1)) if repeats > 1 else float("nan")
        told.append(Importance(name, len(columns), float(np.mean(grown)), deviation))
        if progress is not None:
            progress(len(told), len(groups))
    return Importances(len(taken), mse, tuple(sorted(told, key=lambda own: -own.importance)))


def groups_of(predictor: Predictor, by: By) -> dict[str, list[int]]:
    """Return the places of the features that are permuted together, by the name of the group, in the features' order.

    What speaks of no layer is a group of its own: a hyperparameter, with all columns that tell its values apart.
    """
    groups: dict[str, list[int]] = {}
    for place, name in enumerate(predictor.names):
        own = name if by == "feature" else _parts_of(name, predictor.tensors)[by == "statistic"]
        groups.setdefault(own, []).append(place)
    return groups


def _parts_of(name: str, tensors: Sequence[ww.ZooTensor]) -> tuple[str, str]:
    """Return the layer of a feature, and which statistic of it; of a weight, the role of its tensor."""
    weight = re.fullmatch(r"(sorted\.)?(.+)\[\d+\]", name)
    for tensor in tensors if weight else ():
        if weight and weight[2] == tensor.name:
            kind = weight[1] or ""
            return kind + tensor.layer, kind + tensor.role
    prefix, rest = ("relative.", name.removeprefix("relative.")) if name.startswith("relative.") else ("", name)
    found = _OF_A_LAYER.fullmatch(rest)
    if found:
        return prefix + found[1], prefix + found[2]
    hyperparameter = name.partition("=")[0]
    return hyperparameter, hyperparameter


def _permuted(
    features: npt.NDArray[np.float64], columns: list[int], way: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    changed = features.copy()
    changed[:, columns] = features[:, columns][way]
    return changed
