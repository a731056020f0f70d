"""The options of an estimator, searched at random by cross-validation. Networks that are held out are not seen."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

import ww_core as ww
from ww_plugins.predictors.agreement import agreement_of

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    from ww_plugins.predictors.predictor import Agreement


def searched(
    estimator: ww.Estimator,
    features: npt.NDArray[np.float64],
    targets: npt.NDArray[np.float64],
    groups: npt.NDArray[np.int64],
    *,
    trials: int,
    folds: int,
    seed: int,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[ww.Estimator, tuple[Agreement, ...]]:
    """Return the estimator whose options have the least mean squared error over the folds, and what it scored in each.

    The estimator as it was given is always tried; options that it was given other values than their defaults keep them.

    Args:
        estimator: With options.
        features: Shape (n, k).
        targets: Shape (n,).
        groups: Networks of one group are in one fold, shape (n,).
        trials: How many others are drawn from its ranges.
        folds: How many parts; each is predicted by what the others teach.
        seed: From which parts and options are drawn.
        progress: Is told how many fits are done, of how many.
    """
    rng = np.random.default_rng([seed, 1])
    fold_of = folds_of(groups, folds, rng)
    candidates = [estimator, *_drawn(estimator, features.shape[1], trials, rng)]
    best: tuple[float, ww.Estimator, tuple[Agreement, ...]] | None = None
    for number, candidate in enumerate(candidates):
        scores: list[Agreement] = []
        for fold in range(folds):
            out = fold_of == fold
            predictions = predicted(candidate, features[~out], targets[~out], features[out], seed)
            scores.append(agreement_of(predictions, targets[out]))
            if progress is not None:
                progress(number * folds + fold + 1, len(candidates) * folds)
        error = float(np.mean([own.mse for own in scores]))
        if best is None or error < best[0]:
            best = (error, candidate, tuple(scores))
    assert best is not None  # noqa: S101 - the estimator as given is a candidate
    return best[1], best[2]


def predicted(
    estimator: ww.Estimator,
    features: npt.NDArray[np.float64],
    targets: npt.NDArray[np.float64],
    others: npt.NDArray[np.float64],
    seed: int,
) -> npt.NDArray[np.float64]:
    """Return what an estimator that learned from some networks predicts of others, float64, shape (len(others),)."""
    return predictions_of(fitted(estimator, features, targets, seed), others, estimator)


def fitted(
    estimator: ww.Estimator, features: npt.NDArray[np.float64], targets: npt.NDArray[np.float64], seed: int
) -> ww.Fitted:
    """Let an estimator learn.

    Raises:
        WWError: What it says.
        PluginError: It failed.
    """
    try:
        return estimator.fit(features, targets, seed)
    except (ww.WWError, MemoryError):
        raise
    except Exception as error:
        raise ww.PluginError(f"estimator {estimator.label} failed: {type(error).__name__}: {error}") from error


def predictions_of(
    learned: ww.Fitted, features: npt.NDArray[np.float64], estimator: ww.Estimator
) -> npt.NDArray[np.float64]:
    """Return predictions, float64, shape (n,), all of them finite.

    Raises:
        PluginError: The estimator failed, or gave something else.
    """
    try:
        told: Any = np.asarray(learned.predict(features), np.float64)
    except (ww.WWError, MemoryError):
        raise
    except Exception as error:
        raise ww.PluginError(f"estimator {estimator.label} failed: {type(error).__name__}: {error}") from error
    if told.shape != (len(features),) or not np.isfinite(told).all():
        raise ww.PluginError(f"estimator {estimator.label} gave no finite number for each of {len(features)} networks")
    return np.ascontiguousarray(told)


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
