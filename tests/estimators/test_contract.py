"""The built-in estimators, and one of three lines, keep the contract."""

from dataclasses import dataclass, replace
from types import SimpleNamespace

import ww_core as ww
import ww_plugins.estimators
from ww_core.testing import EstimatorContract

FAST = {"gbm": {"trees": 20}, "extra-trees": {"trees": 10}, "forest": {"trees": 5}, "dnn": {"epochs": 15}}


class TestEstimators(EstimatorContract):
    plugin = ww_plugins.estimators

    def fast(self, estimator):
        return replace(estimator, **FAST.get(estimator.name, {}))


@dataclass(frozen=True)
class Ridge(ww.Estimator):
    name = "ridge"
    version = "1"
    description = "a linear function"
    alpha: float = 1.0

    def fit(self, features, targets, seed):
        from sklearn.linear_model import Ridge as Regressor

        return Regressor(alpha=self.alpha).fit(features, targets)


class TestThreeLines(EstimatorContract):
    plugin = SimpleNamespace(ww_register_estimators=ww.hookimpl(lambda: [Ridge()]))
