"""Feature sets and estimators on one zoo, on the same networks (arXiv:2002.11448, tables 1, 2 and 5 to 8)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

import ww_core as ww
from ww_plugins.predictors.fitting import fit_predictor

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import numpy.typing as npt

    from ww_plugins.predictors.fitting import FitRequest
    from ww_plugins.predictors.predictor import Predictor


@dataclass(frozen=True, slots=True)
class Comparison:
    """One way to predict a zoo, with several seeds.

    Attributes:
        features: Feature sets and metrics.
        estimator: As it was asked for.
        predictors: One for each seed.
    """

    features: str
    estimator: str
    predictors: tuple[Predictor, ...]

    def mean(self, measure: str) -> float:
        """Mean over the seeds of a measure of the networks that were held out, such as ``r2``."""
        return float(np.mean(self._all(measure)))

    def deviation(self, measure: str) -> float:
        """Standard deviation over the seeds (ddof 1); NaN of one."""
        return float(np.std(self._all(measure), ddof=1)) if len(self.predictors) > 1 else float("nan")

    def _all(self, measure: str) -> npt.NDArray[np.float64]:
        return np.array([getattr(own.held_out_score, measure) for own in self.predictors], np.float64)


def compared(
    zoo: ww.Zoo,
    features: Sequence[str],
    estimators: Sequence[str],
    request: FitRequest,
    *,
    seeds: int = 1,
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
    pairs = [(spec, estimator) for spec in features for estimator in estimators]
    told: list[Comparison] = []
    for spec, estimator in pairs:
        fitted: list[Predictor] = []
        for seed in range(request.seed, request.seed + seeds):
            own = replace(request, features=spec, estimator=estimator, seed=seed)
            fitted.append(fit_predictor(zoo, own, store=store, profile=profile, registry=registry))
            if progress is not None:
                progress(len(told) * seeds + len(fitted), len(pairs) * seeds)
        told.append(Comparison(spec, estimator, tuple(fitted)))
    return told
