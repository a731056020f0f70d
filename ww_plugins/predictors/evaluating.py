"""A predictor on the networks of a zoo that it has not seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

import ww_core as ww
from ww_plugins.predictors.agreement import agreement_of
from ww_plugins.predictors.fitting import networks_with
from ww_plugins.predictors.intervals import intervals_of
from ww_plugins.predictors.reach import p_values_of

if TYPE_CHECKING:
    from pathlib import Path

    from ww_plugins.predictors.predictor import Agreement, Predictor


@dataclass(frozen=True, slots=True)
class Evaluation:
    """How a predictor does on a zoo.

    Attributes:
        agreement: Predictions against what was measured.
        coverage: Share of the networks whose result is in the interval.
        mean_width: Mean width of the intervals; infinite where one is.
        outside: Share of the networks that are unlike those that it learned from.
        seen: How many networks were left out, as the predictor was made with them.
    """

    agreement: Agreement
    coverage: float
    mean_width: float
    outside: float
    seen: int


def evaluated(
    predictor: Predictor,
    zoo: ww.Zoo,
    *,
    confidence: float = 0.9,
    rate: float = 0.01,
    store: ww.Store | str | Path | None = None,
    profile: str = "default",
    registry: ww.Registry | None = None,
) -> Evaluation:
    """Predict the last checkpoint of every network of a zoo. A network with the features of one that was seen is not.

    Args:
        predictor: The predictor.
        zoo: The zoo.
        confidence: Of the intervals, between 0 and 1.
        rate: At which networks like those it learned from are taken for others.
        store: Where metrics are, if features are metrics.
        profile: Profile of these.
        registry: Loaded plugins, if they are loaded already.

    Raises:
        UsageError: The zoo has not what is predicted, or other features, or no network that was not seen.
    """
    measured = networks_with(zoo.last(), predictor.target)
    found = ww.zoo_features(measured, predictor.features, store=store, profile=profile, registry=registry)
    refuse_other_features(predictor, found)
    known = {row.tobytes() for own in (predictor.training, predictor.calibration) for row in own.features}
    new = np.array([row.tobytes() not in known for row in found.values])
    if not new.any():
        raise ww.UsageError(f"zoo {zoo.name}: the predictor has seen all of its networks: name another zoo")
    features, targets = found.values[new], found.zoo.results[predictor.target][new]
    predictions = predictor.predict(features)
    low, high = intervals_of(predictions, predictor, confidence)
    return Evaluation(
        agreement=agreement_of(predictions, targets),
        coverage=float(np.mean((low <= targets) & (targets <= high))),
        mean_width=float(np.mean(high - low)),
        outside=float(np.mean(p_values_of(features, predictor) <= rate)),
        seen=int(np.sum(~new)),
    )


def refuse_other_features(predictor: Predictor, found: ww.ZooFeatures) -> None:
    """Raise if features are not those that a predictor learned from.

    Names of layers may be others: a feature is known by its place, and by what stands behind its layer's name.

    Raises:
        UsageError: They are.
    """
    own, wanted = tuple(map(_ending, found.names)), tuple(map(_ending, predictor.names))
    if own == wanted:
        return
    if len(own) != len(wanted):
        raise ww.UsageError(
            f"zoo {found.zoo.name}: its networks have {len(own)} features {predictor.features!r}, and the predictor "
            f"learned from {len(wanted)}, of networks of zoo {predictor.zoo}: their layers are others"
        )
    place = next(at for at, pair in enumerate(zip(own, wanted, strict=True)) if pair[0] != pair[1])
    raise ww.UsageError(
        f"zoo {found.zoo.name}: feature {place + 1} is {found.names[place]!r}, where the predictor learned from "
        f"{predictor.names[place]!r}: the networks have other layers"
    )


def _ending(name: str) -> str:
    return name.rpartition("/")[2]
