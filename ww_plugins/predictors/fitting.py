"""A predictor, fitted on the last checkpoint of every network of a zoo.

Half of the networks are held out and predicted once, at the end. Networks of one configuration stand on one side,
however many seeds it was trained with. See arXiv:2002.11448, section 3, for the protocol; what the authors' notebook
does besides, to stop early on the networks that it tests, is left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

import ww_core as ww
from ww_core.loading.names import quoted
from ww_plugins.predictors.agreement import agreement_of
from ww_plugins.predictors.predictor import Learned, Predictor, predictions_of
from ww_plugins.predictors.searching import fitted, searched

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    import numpy.typing as npt

    from ww_core.plugins.registry import Owned

FEWEST = 20
"""Networks of a zoo that a predictor is fitted on: of fewer no half says how good it is."""

MOST_SEEDS = 2**63

MOST_FAMILIES = 20
"""Of more, no family has the networks that an interval takes; so many values are a number, and tell no families."""

SEEDS = frozenset({"random_seed", "seed", "modeldir"})
"""Hyperparameters that do not tell configurations apart."""


@dataclass(frozen=True, slots=True)
class FitRequest:
    """What is fitted, and how.

    Attributes:
        features: Feature sets and metrics with ``+`` between them.
        estimator: Name of the estimator, with options.
        target: What is predicted: a result of the zoo.
        trials: How many options are drawn from the estimator's ranges, besides the given ones.
        folds: Of the cross-validation.
        seed: Random seed.
        held_out: Share of the networks that are held out.
        calibration: Share of the others that the intervals come from.
        family_by: A hyperparameter that tells families, whose intervals are told apart; empty for none.
    """

    features: str = "statistics"
    estimator: str = "gbm"
    target: str = "test_accuracy"
    trials: int = 0
    folds: int = 3
    seed: int = 0
    held_out: float = 0.5
    calibration: float = 0.2
    family_by: str = ""

    def check(self) -> None:
        """Raise if something cannot be.

        Raises:
            UsageError: It cannot.
        """
        if not 0.0 < self.held_out < 1.0:
            raise ww.UsageError(f"the share {self.held_out} that is held out is not between 0 and 1")
        if not 0.0 < self.calibration < 1.0:
            raise ww.UsageError(f"the share {self.calibration} for calibration is not between 0 and 1")
        if self.folds < 2:
            raise ww.UsageError(f"{self.folds} folds: a cross-validation takes 2 or more")
        if not 0 <= self.seed < MOST_SEEDS:
            raise ww.UsageError(f"the seed {self.seed} is not from 0 to {MOST_SEEDS - 1}")
        if self.trials < 0:
            raise ww.UsageError(f"{self.trials} trials: there are 0 or more")


def fit_predictor(
    zoo: ww.Zoo,
    request: FitRequest,
    *,
    store: ww.Store | str | Path | None = None,
    profile: str = "default",
    registry: ww.Registry | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Predictor:
    """Fit a predictor.

    Args:
        zoo: The networks; of each the last checkpoint counts.
        request: What is fitted, and how.
        store: Where metrics are, if features are metrics.
        profile: Profile of these.
        registry: Loaded plugins, if they are loaded already.
        progress: Is told how many fits of the cross-validation are done, of how many.

    Raises:
        UsageError: The zoo has too few networks, or has not what is predicted or what features are made of, or all
            networks have one result.
        MissingExtraError: What the estimator needs is not installed.
        PluginError: A feature set or the estimator failed.
    """
    request.check()
    registry = registry or ww.load_plugins()
    ww.ready_estimator(registry, request.estimator)
    measured = networks_with(zoo.last(), request.target)
    features = ww.zoo_features(measured, request.features, store=store, profile=profile, registry=registry)
    return fit_features(features, request, registry=registry, progress=progress)


def fit_features(
    features: ww.ZooFeatures,
    request: FitRequest,
    *,
    registry: ww.Registry,
    progress: Callable[[int, int], None] | None = None,
) -> Predictor:
    """Fit a predictor on features that were made already.

    Args:
        features: What the request names, of the last checkpoint of each network that has a result.
        request: What is fitted, and how.
        registry: Loaded plugins.
        progress: As of `fit_predictor`.

    Raises:
        WWError: As of `fit_predictor`.
    """
    zoo = features.zoo
    owned = ww.ready_estimator(registry, request.estimator)
    learned = learned_of(features, request.target, request.family_by)
    _refuse_names(features, request, learned)
    _refuse_too_few(zoo, learned)
    rng = np.random.default_rng([request.seed, 0])
    groups = _joined(configurations_of(features.zoo), features.values)
    out = _share_of(groups, request.held_out, rng)
    seen = np.flatnonzero(~out)
    calibrating = np.zeros(len(learned), bool)
    calibrating[seen] = _share_of(groups[seen], request.calibration, rng)
    training = part_of(learned, ~out & ~calibrating)
    _refuse_too_small(training, request.folds, groups[~out & ~calibrating])
    found = searched(
        owned,
        training.features,
        training.targets,
        groups[~out & ~calibrating],
        target=request.target,
        trials=request.trials,
        folds=request.folds,
        seed=request.seed,
        progress=progress,
    )
    chosen = found.owned
    model = fitted(chosen, training.features, training.targets, request.seed)
    calibration, held_out = part_of(learned, calibrating), part_of(learned, out)
    told = [predictions_of(model, own.features, request.target, chosen.qualified) for own in (calibration, held_out)]
    return Predictor(
        program=ww.__version__,
        features=request.features,
        feature_versions=features.versions,
        names=features.names,
        estimator=f"{chosen.plugin}:{chosen.object.label}",
        estimator_version=chosen.object.version,
        target=request.target,
        zoo=zoo.name,
        data=_data_of(zoo),
        tensors=zoo.tensors,
        layout=zoo.layout,
        family_by=request.family_by,
        seed=request.seed,
        trials=found.trials,
        folds=request.folds,
        fold_scores=found.scores,
        training=training,
        calibration=calibration,
        calibrated=told[0],
        held_out=held_out.networks,
        held_out_score=agreement_of(told[1], held_out.targets),
        fitted=model,
        state=_state_of(chosen, model, calibration.features),
    )


def _state_of(
    owned: Owned[ww.Estimator], model: ww.Fitted, features: npt.NDArray[np.float64]
) -> Mapping[str, npt.NDArray[Any]] | None:
    """Return what was learned as arrays, after it was seen that the same comes of them.

    Raises:
        PluginError: It does not.
    """
    with ww.estimator_at_work(owned):
        state = owned.object.state(model)
        if state is None:
            return None
        if not all(isinstance(own, np.ndarray) for own in state.values()):
            raise TypeError("its state is no mapping of arrays")
        again = owned.object.from_state(state, features.shape[1])
        if not np.allclose(again.predict(features), model.predict(features), rtol=1e-9, atol=1e-9):
            raise ValueError("its state gives other predictions")
        return state


def networks_with(zoo: ww.Zoo, target: str) -> ww.Zoo:
    """Return the checkpoints of which something was measured.

    Raises:
        UsageError: It was measured of none.
    """
    measured = zoo.results.get(target)
    if measured is None or not np.isfinite(measured).any():
        there = ", ".join(name for name, own in zoo.results.items() if np.isfinite(own).any())
        raise ww.UsageError(f"zoo {zoo.name} has no {target!r}: it has {there or 'no result of any network'}")
    return zoo.chosen(np.isfinite(measured))


def learned_of(features: ww.ZooFeatures, target: str, family_by: str = "") -> Learned:
    """Return features with what was measured, and the family of each network.

    Raises:
        UsageError: The zoo has no such hyperparameter.
    """
    zoo = features.zoo
    families = np.full(len(zoo), "", object)
    if family_by:
        if family_by not in zoo.hyperparameters:
            there = ", ".join(zoo.hyperparameters) or "none"
            raise ww.UsageError(f"zoo {zoo.name} has no hyperparameter {family_by!r}: it has {there}")
        values = len(np.unique(zoo.hyperparameters[family_by].astype(str)))
        if values > MOST_FAMILIES:
            raise ww.UsageError(
                f"{family_by} has {values} different values in zoo {zoo.name}: families are told by a hyperparameter "
                f"of at most {MOST_FAMILIES} values, such as optimizer"
            )
        families = np.array(list(map(str, zoo.hyperparameters[family_by].tolist())), object)
    return Learned(zoo.networks, features.values, zoo.results[target], families)


def part_of(learned: Learned, which: npt.NDArray[np.bool_]) -> Learned:
    """Return some of the networks."""
    return Learned(learned.networks[which], learned.features[which], learned.targets[which], learned.families[which])


def configurations_of(zoo: ww.Zoo) -> npt.NDArray[np.int64]:
    """Return which networks were trained with the same hyperparameters but for a seed, int64, shape (n,).

    Where no hyperparameter is known, each network is one of its own.
    """
    columns = [own.tolist() for name, own in zoo.hyperparameters.items() if name not in SEEDS]
    if not columns:
        return np.arange(len(zoo), dtype=np.int64)
    numbers: dict[str, int] = {}
    return np.array([numbers.setdefault(repr(own), len(numbers)) for own in zip(*columns, strict=True)], np.int64)


def _joined(groups: npt.NDArray[np.int64], features: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Join groups of which two networks have the same features: copies of a network stand on one side."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    _, same = np.unique(features, axis=0, return_inverse=True)
    count = int(groups.max()) + 1
    edges = (np.ones(len(groups)), (groups, count + same.reshape(-1)))
    size = count + int(same.max()) + 1
    _, parts = connected_components(coo_matrix(edges, (size, size)), directed=False)
    joined: npt.NDArray[np.int64] = parts[groups].astype(np.int64)
    return joined


def _share_of(groups: npt.NDArray[np.int64], share: float, rng: np.random.Generator) -> npt.NDArray[np.bool_]:
    """Choose groups at random, whole ones, until they hold this share of the networks."""
    chosen: list[int] = []
    wanted, count = share * len(groups), 0
    sizes: dict[int, int] = dict(zip(*(own.tolist() for own in np.unique(groups, return_counts=True)), strict=True))
    for group in rng.permutation(sorted(sizes)).tolist():
        if count >= wanted:
            break
        chosen.append(group)
        count += sizes[group]
    return np.isin(groups, chosen)


def _refuse_names(features: ww.ZooFeatures, request: FitRequest, learned: Learned) -> None:
    """Raise before anything is fitted if a name of the zoo cannot be written into a predictor.

    Raises:
        UsageError: One cannot.
    """
    zoo = features.zoo
    told = {
        "the name of the zoo": [zoo.name],
        "what its networks were trained on": [_data_of(zoo)],
        "what is predicted": [request.target],
        "a tensor": [text for own in zoo.tensors for text in (own.name, own.layer)],
        "a feature": features.names,
        "a family": set(learned.families.tolist()),
    }
    for what, names in told.items():
        for name in names:
            if not name.isprintable():
                raise ww.UsageError(f"{what}, {quoted(name)}, cannot be printed, as with a line break: rename it")


def _refuse_too_few(zoo: ww.Zoo, learned: Learned) -> None:
    if len(learned) < FEWEST:
        raise ww.UsageError(
            f"zoo {zoo.name}: a predictor needs {FEWEST} networks with features and a result, and there are "
            f"{len(learned)}"
        )
    if not np.ptp(learned.targets):
        raise ww.UsageError(
            f"zoo {zoo.name}: all {len(learned)} networks have the same result, {learned.targets[0]:g}: there is "
            "nothing to learn"
        )


def _refuse_too_small(training: Learned, folds: int, groups: npt.NDArray[np.int64]) -> None:
    if len(np.unique(groups)) < folds:
        raise ww.UsageError(
            f"{len(training)} networks of {len(np.unique(groups))} configurations are left to learn from, and {folds} "
            "folds need as many: hold out fewer, calibrate on fewer, or take a zoo of more configurations"
        )


def _data_of(zoo: ww.Zoo) -> str:
    told: Any = zoo.hyperparameters.get("dataset")
    names = sorted(set(map(str, told.tolist()))) if told is not None else []
    return names[0] if len(names) == 1 else ""
