"""Feature sets and estimators on one zoo, on the same networks (arXiv:2002.11448, tables 1, 2 and 5 to 8)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

import ww_core as ww
from ww_plugins.predictors.agreement import MEASURES
from ww_plugins.predictors.evaluating import evaluated_on
from ww_plugins.predictors.fitting import fit_features, networks_with

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import numpy.typing as npt

    from ww_plugins.predictors.evaluating import Evaluation
    from ww_plugins.predictors.fitting import FitRequest
    from ww_plugins.predictors.predictor import Predictor


OF_INTERVALS = ("coverage", "mean_width", "outside")
"""What is told of intervals and of reach, as of `Evaluation`."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """One way to predict a zoo, with several seeds.

    Attributes:
        features: Feature sets and metrics.
        estimator: As it was asked for.
        predictors: One for each seed.
        evaluations: Of each predictor, on the networks that were held out.
    """

    features: str
    estimator: str
    predictors: tuple[Predictor, ...]
    evaluations: tuple[Evaluation, ...]

    def mean(self, measure: str) -> float:
        """Mean over the seeds of a measure of the networks that were held out, such as ``r2`` or ``coverage``."""
        return float(np.mean(self._all(measure)))

    def deviation(self, measure: str) -> float:
        """Standard deviation over the seeds (ddof 1); NaN of one, and where one is not finite."""
        several = self._all(measure)
        return float(np.std(several, ddof=1)) if len(several) > 1 and np.isfinite(several).all() else float("nan")

    def _all(self, measure: str) -> npt.NDArray[np.float64]:
        told = [own.agreement if measure in MEASURES else own for own in self.evaluations]
        return np.array([getattr(own, measure) for own in told], np.float64)


def compared(
    zoo: ww.Zoo,
    features: Sequence[str],
    estimators: Sequence[str],
    request: FitRequest,
    *,
    seeds: int = 1,
    confidence: float = 0.9,
    store: ww.Store | str | Path | None = None,
    profile: str = "default",
    registry: ww.Registry | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Comparison]:
    """Fit every feature set by every estimator. With one seed, all of them hold out the same networks.

    Args:
        zoo: The networks.
        features: Feature sets and metrics.
        estimators: Estimators, with options.
        request: All the rest.
        seeds: How many seeds, from that of the request on; each splits the networks in another way.
        confidence: Of the intervals, between 0 and 1.
        store: Where metrics are, if features are metrics.
        profile: Profile of these.
        registry: Loaded plugins, if they are loaded already.
        progress: Is told how many predictors are fitted, of how many.

    Raises:
        UsageError: As of `fit_predictor`.
    """
    registry = registry or ww.load_plugins()
    for estimator in estimators:
        ww.ready_estimator(registry, estimator)
    request.check()
    measured = networks_with(zoo.last(), request.target)
    for spec in features:  # nothing is fitted before all of them are known, and they may be too large to be kept
        ww.zoo_features(measured, spec, store=store, profile=profile, registry=registry)
    told: list[Comparison] = []
    for spec in features:
        found = ww.zoo_features(measured, spec, store=store, profile=profile, registry=registry)
        for estimator in estimators:
            fitted: list[Predictor] = []
            for seed in range(request.seed, request.seed + seeds):
                own = replace(request, features=spec, estimator=estimator, seed=seed)
                fitted.append(fit_features(found, own, registry=registry))
                if progress is not None:
                    progress(len(told) * seeds + len(fitted), len(features) * len(estimators) * seeds)
            held_out = [np.isin(found.zoo.networks, one.held_out) for one in fitted]
            evaluations = [
                evaluated_on(one, found, which, confidence=confidence)
                for one, which in zip(fitted, held_out, strict=True)
            ]
            told.append(Comparison(spec, estimator, tuple(fitted), tuple(evaluations)))
    return told
