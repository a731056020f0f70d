"""A predictor on the networks of a zoo that it has not seen."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

import ww_core as ww
from ww_plugins.predictors.agreement import agreement_of
from ww_plugins.predictors.fitting import networks_with
from ww_plugins.predictors.intervals import interval_of
from ww_plugins.predictors.reach import inside_of

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

    from ww_plugins.predictors.predictor import Agreement, Predictor


@dataclass(frozen=True, eq=False)
class Evaluation:
    """How a predictor does on a zoo. Arrays have shape (n,), float64, in the order of the networks.

    Attributes:
        zoo: The networks that were predicted.
        predictions: What it says of each.
        targets: What was measured.
        low: Lower end of the interval of each.
        high: Upper end.
        agreement: Predictions against what was measured.
        coverage: Share of the networks whose result is in the interval.
        mean_width: Mean width of the intervals; infinite where one is.
        outside: Share of the networks that are unlike those that it learned from.
        seen: How many networks were left out, as the predictor was made with them.
    """

    zoo: ww.Zoo
    predictions: npt.NDArray[np.float64]
    targets: npt.NDArray[np.float64]
    low: npt.NDArray[np.float64]
    high: npt.NDArray[np.float64]
    agreement: Agreement
    coverage: float
    mean_width: float
    outside: float
    seen: int


def evaluated(
    predictor: Predictor,
    zoo: ww.Zoo,
    *,
    epoch: int | None = None,
    confidence: float = 0.9,
    rate: float = 0.01,
    store: ww.Store | str | Path | None = None,
    profile: str = "default",
    registry: ww.Registry | None = None,
) -> Evaluation:
    """Predict a checkpoint of every network of a zoo. Networks that the predictor was made with are left out.

    Args:
        predictor: The predictor.
        zoo: The zoo.
        epoch: Of the checkpoints; None for the last ones.
        confidence: Of the intervals, between 0 and 1.
        rate: At which networks like those it learned from are taken for others.
        store: Where metrics are, if features are metrics.
        profile: Profile of these.
        registry: Loaded plugins, if they are loaded already.

    Raises:
        UsageError: The zoo has not what is predicted, or other features, or no network that was not seen.
    """
    last = networks_with(zoo.last(), predictor.target)
    found = ww.zoo_features(last, predictor.features, store=store, profile=profile, registry=registry)
    predictor.check_features(found)
    seen = seen_networks(predictor, found)
    if epoch is not None:
        asked = networks_with(_at(zoo, epoch), predictor.target)
        found = ww.zoo_features(asked, predictor.features, store=store, profile=profile, registry=registry)
    new = ~np.isin(found.zoo.networks, seen)
    if not new.any():
        raise ww.UsageError(f"zoo {zoo.name}: the predictor has seen all of its networks: name another zoo")
    return evaluated_on(predictor, found, new, confidence=confidence, rate=rate)


def evaluated_on(
    predictor: Predictor,
    found: ww.ZooFeatures,
    which: npt.NDArray[np.bool_],
    *,
    confidence: float = 0.9,
    rate: float = 0.01,
) -> Evaluation:
    """Predict some networks from features that were made already.

    Args:
        predictor: The predictor.
        found: Its features, of networks of which was measured what it predicts.
        which: The networks that are predicted, shape (n,), one at least; the others count as seen.
        confidence: Of the intervals, between 0 and 1.
        rate: At which networks like those it learned from are taken for others.

    Raises:
        UsageError: The confidence or the rate is not between 0 and 1.
    """
    features, targets = found.values[which], found.zoo.results[predictor.target][which]
    predictions = predictor.predict(features)
    intervals = [interval_of(own, predictor, confidence) for own in predictions.tolist()]
    low, high = (np.array([getattr(own, end) for own in intervals], np.float64) for end in ("low", "high"))
    return Evaluation(
        zoo=found.zoo.chosen(which),
        predictions=predictions,
        targets=targets,
        low=low,
        high=high,
        agreement=agreement_of(predictions, targets),
        coverage=float(np.mean((low <= targets) & (targets <= high))),
        mean_width=float(np.mean(high - low)),
        outside=float(np.mean(~inside_of(features, predictor, rate))),
        seen=int(np.sum(~which)),
    )


def unseen_features(
    predictor: Predictor,
    zoo: ww.Zoo,
    *,
    store: ww.Store | str | Path | None = None,
    profile: str = "default",
    registry: ww.Registry | None = None,
) -> ww.ZooFeatures:
    """Return the features of the last checkpoint of every network that a predictor was not made with.

    Args:
        predictor: The predictor.
        zoo: The zoo.
        store: Where metrics are, if features are metrics.
        profile: Profile of these.
        registry: Loaded plugins, if they are loaded already.

    Raises:
        UsageError: The zoo has not what is predicted, or other features, or no network that was not seen.
    """
    last = networks_with(zoo.last(), predictor.target)
    found = ww.zoo_features(last, predictor.features, store=store, profile=profile, registry=registry)
    predictor.check_features(found)
    new = ~np.isin(found.zoo.networks, seen_networks(predictor, found))
    if not new.any():
        raise ww.UsageError(f"zoo {zoo.name}: the predictor has seen all of its networks: name another zoo")
    return replace(found, zoo=found.zoo.chosen(new), values=found.values[new])


def seen_networks(predictor: Predictor, last: ww.ZooFeatures) -> npt.NDArray[np.int64]:
    """Return numbers of networks that a predictor was made with, int64: of which it has the last features and result.

    Names and numbers do not tell: two zoos may have one name.
    """
    known = {
        (row.tobytes(), target)
        for own in (predictor.training, predictor.calibration)
        for row, target in zip(own.features, own.targets.tolist(), strict=True)
    }
    targets = last.zoo.results[predictor.target].tolist()
    is_known = np.array([(row.tobytes(), own) in known for row, own in zip(last.values, targets, strict=True)], bool)
    numbers: npt.NDArray[np.int64] = last.zoo.networks[is_known]
    return numbers


def _at(zoo: ww.Zoo, epoch: int) -> ww.Zoo:
    found = zoo.at(epoch)
    if not len(found):
        there = ", ".join(map(str, sorted(set(zoo.epochs.tolist()))[:12]))
        raise ww.UsageError(f"zoo {zoo.name} has no checkpoint of epoch {epoch}: it has {there}")
    return found
