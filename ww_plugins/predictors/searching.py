"""The options of an estimator, searched at random by cross-validation. Networks that are held out are not seen."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

import ww_core as ww
from ww_plugins.predictors.agreement import agreement_of
from ww_plugins.predictors.predictor import predictions_of

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    from ww_core.plugins.registry import Owned
    from ww_plugins.predictors.predictor import Agreement


@dataclass(frozen=True, slots=True)
class Searched:
    """What a search found.

    Attributes:
        owned: The estimator with the options that were best.
        scores: What it scored in each fold.
        trials: How many other options were tried.
    """

    owned: Owned[ww.Estimator]
    scores: tuple[Agreement, ...]
    trials: int


def searched(
    owned: Owned[ww.Estimator],
    features: npt.NDArray[np.float64],
    targets: npt.NDArray[np.float64],
    groups: npt.NDArray[np.int64],
    *,
    target: str,
    trials: int,
    folds: int,
    seed: int,
    progress: Callable[[int, int], None] | None = None,
) -> Searched:
    """Find the options of an estimator that have the least mean squared error over the folds.

    The estimator as it was given is always tried; options that it was given other values than their defaults keep them.

    Args:
        owned: The estimator, with options.
        features: Shape (n, k).
        targets: Shape (n,).
        groups: Networks of one group are in one fold, shape (n,).
        target: What is predicted.
        trials: How many others are drawn from its ranges.
        folds: How many parts; each is predicted by what the others teach.
        seed: From which parts and options are drawn.
        progress: Is told how many fits are done, of how many.
    """
    rng = np.random.default_rng([seed, 1])
    fold_of = folds_of(groups, folds, rng)
    with ww.estimator_at_work(owned):
        drawn = _drawn(owned.object, features.shape[1], trials, rng)
    candidates = [owned, *(replace(owned, object=own) for own in drawn)]
    best: tuple[float, Owned[ww.Estimator], tuple[Agreement, ...]] | None = None
    for number, candidate in enumerate(candidates):
        scores: list[Agreement] = []
        for fold in range(folds):
            out = fold_of == fold
            learned = fitted(candidate, features[~out], targets[~out], seed)
            scores.append(
                agreement_of(predictions_of(learned, features[out], target, candidate.qualified), targets[out])
            )
            if progress is not None:
                progress(number * folds + fold + 1, len(candidates) * folds)
        error = float(np.mean([own.mse for own in scores]))
        if best is None or error < best[0]:
            best = (error, candidate, tuple(scores))
    assert best is not None  # noqa: S101 - the estimator as given is a candidate
    return Searched(best[1], best[2], len(drawn))


def fitted(
    owned: Owned[ww.Estimator], features: npt.NDArray[np.float64], targets: npt.NDArray[np.float64], seed: int
) -> ww.Fitted:
    """Let an estimator learn.

    Raises:
        WWError: What it says.
        PluginError: It failed.
    """
    with ww.estimator_at_work(owned):
        return owned.object.fit(features, targets, seed)


def folds_of(groups: npt.NDArray[np.int64], folds: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Return the fold of each network, int64, shape (n,): groups are dealt out at random, and stay whole."""
    different = rng.permutation(np.unique(groups))
    fold_of = {int(group): place % folds for place, group in enumerate(different.tolist())}
    return np.array([fold_of[group] for group in groups.tolist()], np.int64)


def _drawn(estimator: ww.Estimator, columns: int, trials: int, rng: np.random.Generator) -> list[ww.Estimator]:
    declared = {own.name: own for own in estimator.parameters()}
    values = estimator.values
    free = {
        name: where
        for name, where in estimator.ranges(columns).items()
        if name in declared and values[name] == declared[name].default
    }
    if not free:
        return []
    return [
        replace(  # type: ignore[type-var] # whatever has options is a dataclass
            estimator, **{name: where.draw(rng, whole=declared[name].type is int) for name, where in free.items()}
        )
        for _ in range(trials)
    ]
