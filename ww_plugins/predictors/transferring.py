"""Predictors of several zoos, each on the networks that every other one held out (arXiv:2002.11448, table 3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

import ww_core as ww
from ww_plugins.predictors.agreement import agreement_of
from ww_plugins.predictors.fitting import fit_predictor

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from ww_plugins.predictors.fitting import FitRequest
    from ww_plugins.predictors.predictor import Agreement, Predictor


@dataclass(frozen=True, slots=True)
class Transfer:
    """How a predictor of one zoo does on the networks that another one held out.

    Attributes:
        fitted_on: Name of the zoo it was fitted on.
        tested_on: Name of the zoo whose networks it predicts; those that this zoo's own predictor held out.
        agreement: Predictions against what was measured.
    """

    fitted_on: str
    tested_on: str
    agreement: Agreement


def transferred(
    zoos: Sequence[ww.Zoo],
    request: FitRequest,
    *,
    store: ww.Store | str | Path | None = None,
    profile: str = "default",
    registry: ww.Registry | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Transfer]:
    """Fit a predictor on each zoo, and let it predict the networks that each of them held out.

    Args:
        zoos: Two or more, of different names.
        request: What is fitted, and how.
        store: Where metrics are, if features are metrics.
        profile: Profile of these.
        registry: Loaded plugins, if they are loaded already.
        progress: Is told how many predictors are fitted, of how many.

    Returns:
        One for each pair, by the zoo that was fitted, then by the one that was tested, in the order of ``zoos``.

    Raises:
        UsageError: Two zoos have one name, or a predictor cannot be fitted or asked.
    """
    names = [zoo.name for zoo in zoos]
    if len(names) < 2:
        raise ww.UsageError("a transfer takes two zoos or more")
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ww.UsageError(f"two zoos have the name {twice!r}: name each once")
    registry = registry or ww.load_plugins()
    predictors: list[Predictor] = []
    tested: list[ww.ZooFeatures] = []
    for number, zoo in enumerate(zoos):
        predictor = fit_predictor(zoo, request, store=store, profile=profile, registry=registry)
        held_out = zoo.last().chosen(np.isin(zoo.last().networks, predictor.held_out))
        features = ww.zoo_features(held_out, request.features, store=store, profile=profile, registry=registry)
        predictors.append(predictor)
        tested.append(features)
        if progress is not None:
            progress(number + 1, len(zoos))
    for predictor in predictors:
        for features in tested:
            predictor.check_features(features)
    return [
        Transfer(
            own.zoo,
            features.zoo.name,
            agreement_of(own.predict(features.values), features.zoo.results[request.target]),
        )
        for own in predictors
        for features in tested
    ]
