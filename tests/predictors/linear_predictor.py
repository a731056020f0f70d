"""A predictor of the tests' own: least squares by NumPy, kept as arrays or learned again; nothing here is ww's."""

from dataclasses import dataclass, replace
from types import SimpleNamespace

import numpy as np

import ww_core as ww
from ww_plugins.predictors.predictor import Agreement, Learned, Predictor


class Line:
    def __init__(self, slope, base):
        self.slope, self.base = slope, base

    def predict(self, features):
        return features @ self.slope + self.base


@dataclass(frozen=True)
class Again(ww.Estimator):
    """Is learned again where it is loaded."""

    name = "again"
    version = "1"
    description = "least squares"
    shrink: float = 0.0

    def fit(self, features, targets, seed):
        if seed == 13:
            raise ZeroDivisionError("thirteen")
        columns = np.column_stack([features, np.ones(len(features))])
        found = np.linalg.lstsq(columns, targets, rcond=None)[0] * (1 - self.shrink)
        return Line(found[:-1], found[-1])


@dataclass(frozen=True)
class Kept(Again):
    """Is kept as arrays."""

    name = "kept"

    def state(self, fitted):
        return {"slope": fitted.slope, "base": np.array(fitted.base), "told.1": np.array([[True], [False]])}

    def from_state(self, state, columns):
        if set(state) != {"slope", "base", "told.1"} or state["slope"].shape != (columns,):
            raise ww.CorruptFileError("the slope has another number of columns")
        return Line(state["slope"], state["base"][()])


@dataclass(frozen=True)
class Loose(Kept):
    """Takes whatever else is kept."""

    name = "loose"

    def from_state(self, state, columns):
        return Line(state["slope"], state["base"][()])


@dataclass(frozen=True)
class Newer(Kept):
    version = "2"


def plugin_of(*estimators):
    @ww.hookimpl
    def ww_register_estimators():
        return list(estimators)

    return SimpleNamespace(ww_register_estimators=ww_register_estimators, __name__="lines")


def registry_of(*estimators):
    return ww.load_plugins(objects=[plugin_of(*(estimators or (Again(), Kept())))])


def spec_of(registry, name):
    owned = ww.configured_estimator(registry, name)
    return f"{owned.plugin}:{owned.object.label}"


TENSORS = (
    ww.ZooTensor("net/conv/bias:0", "net/conv", "bias", 0, 2, (2,)),
    ww.ZooTensor("net/conv/kernel:0", "net/conv", "weight", 2, 20, (3, 3, 1, 2)),
)


def predictor_for(registry, name="kept", columns=3, rows=40, seed=0, tensors=TENSORS, layout="keras", **changes):
    """A predictor of random networks, fitted by an estimator of the plugin."""
    owned = ww.configured_estimator(registry, name)
    random = np.random.default_rng(seed)
    features = random.standard_normal((rows, columns))
    targets = features @ np.arange(1.0, columns + 1) / columns + 0.01 * random.standard_normal(rows)
    families = np.array([["a", "b"][own % 2] for own in range(rows)], object)
    cut = rows * 3 // 4
    kinds = [
        Learned(np.arange(own.start, own.stop), features[own], targets[own], families[own])
        for own in (slice(0, cut), slice(cut, rows))
    ]
    fitted = owned.object.fit(features[:cut], targets[:cut], seed)
    statistics = registry.feature_sets.find("statistics")
    predictor = Predictor(
        program=ww.__version__,
        features="statistics",
        feature_versions=((f"{statistics.plugin}:statistics", statistics.object.version),),
        names=tuple(f"feature{own}" for own in range(columns)),
        estimator=spec_of(registry, name),
        estimator_version=owned.object.version,
        target="test_loss",
        zoo="digits",
        data="",
        tensors=tensors,
        layout=layout,
        family_by="optimizer",
        seed=seed,
        trials=2,
        folds=3,
        fold_scores=(Agreement(10, 0.5, 0.25, 0.125, 0.1), Agreement(10, np.nan, 0.25, 0.125, np.nan)),
        training=kinds[0],
        calibration=kinds[1],
        calibrated=fitted.predict(features[cut:]),
        held_out=np.arange(rows, rows + 5),
        held_out_score=Agreement(5, 1 / 3, 0.1, 0.2, 0.3),
        fitted=fitted,
        state=owned.object.state(fitted),
    )
    return replace(predictor, **changes)
