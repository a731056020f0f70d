"""The contract of estimators."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from ww_core.errors import CorruptFileError, MissingExtraError
from ww_core.testing.plugins import PluginContract

if TYPE_CHECKING:
    import numpy.typing as npt

    from ww_core.contracts.estimator import Estimator
    from ww_core.plugins.registry import Owned

NETWORKS, COLUMNS = 60, 5
SEED = 3


class EstimatorContract(PluginContract):
    """Tests that every estimator of a plugin must pass. Set ``plugin``. One whose extra is not installed is skipped."""

    def owned(self) -> list[Owned[Estimator]]:
        """Return the plugin's estimators that can be had here."""
        found = []
        for owned in self.own(self.registry().estimators):
            try:
                owned.object.check()
            except MissingExtraError:
                continue
            found.append(owned)
        if not found:
            pytest.skip("no estimator can be had here: install its extra")
        return found

    def test_every_estimator_says_what_it_is(self) -> None:
        """It has one line, and a version."""
        for owned in self.own(self.registry().estimators):
            assert owned.object.description.isprintable()
            assert owned.object.description
            assert owned.object.version

    def test_it_predicts_a_number_for_each_network(self) -> None:
        """Finite, better than their mean, and the same with the same seed."""
        features, targets = sample()
        for owned in self.owned():
            told = _told(owned.object, features, targets)
            assert told.shape == (NETWORKS,), owned.qualified
            assert np.isfinite(told).all(), owned.qualified
            assert np.mean((told - targets) ** 2) < np.var(targets), owned.qualified
            assert np.array_equal(told, _told(owned.object, features, targets)), owned.qualified

    def test_a_network_is_predicted_alike_in_any_company(self) -> None:
        """Not even the last digit depends on the others."""
        features, targets = sample()
        for owned in self.owned():
            fitted = owned.object.fit(features, targets, SEED)
            whole = np.asarray(fitted.predict(features))
            assert np.array_equal(np.asarray(fitted.predict(features[7:8])), whole[7:8]), owned.qualified
            assert np.array_equal(np.asarray(fitted.predict(features[::-1])), whole[::-1]), owned.qualified

    def test_what_it_is_given_is_left_as_it_is(self) -> None:
        """Nothing is written into features or targets."""
        features, targets = sample()
        features.setflags(write=False)
        targets.setflags(write=False)
        for owned in self.owned():
            owned.object.fit(features, targets, SEED).predict(features)

    def test_options_of_its_ranges_work(self) -> None:
        """Whatever is drawn can be fitted; every name is an option."""
        features, targets = sample()
        rng = np.random.default_rng(SEED)
        for owned in self.owned():
            declared = {own.name: own for own in owned.object.parameters()}
            ranges = owned.object.ranges(COLUMNS)
            assert set(ranges) <= set(declared), owned.qualified
            drawn = {name: own.draw(rng, whole=declared[name].type is int) for name, own in ranges.items()}
            for name, value in drawn.items():
                assert declared[name].check(value) == value, owned.qualified
            changed: Any = replace(owned.object, **drawn) if drawn else owned.object  # type: ignore[type-var]
            assert np.isfinite(_told(changed, features, targets)).all(), owned.qualified

    def test_equal_targets_are_learned(self) -> None:
        """Of networks that all have one result it says about that."""
        features, _ = sample()
        for owned in self.owned():
            told = _told(owned.object, features, np.full(NETWORKS, 0.25))
            assert np.allclose(told, 0.25, atol=0.05), owned.qualified

    def test_its_state_tells_all_of_it(self) -> None:
        """Plain arrays, from which the same predictions come."""
        features, targets = sample()
        for owned in self.owned():
            fitted = owned.object.fit(features, targets, SEED)
            state = owned.object.state(fitted)
            if state is None:
                continue
            assert all(type(own) is np.ndarray and own.dtype.kind in "biuf" for own in state.values()), owned.qualified
            again = owned.object.from_state({name: own.copy() for name, own in state.items()}, COLUMNS)
            gap = np.abs(np.asarray(again.predict(features)) - np.asarray(fitted.predict(features))).max()
            assert gap < 1e-12, owned.qualified

    def test_a_state_that_was_changed_is_refused_or_used(self) -> None:
        """Whatever a stranger wrote there: a CorruptFileError, or predictions."""
        features, targets = sample()
        for owned in self.owned():
            state = owned.object.state(owned.object.fit(features, targets, SEED))
            if state is None:
                continue
            for changed in _changed(dict(state)):
                try:
                    again = owned.object.from_state(changed, COLUMNS)
                except CorruptFileError:
                    continue
                told = np.asarray(again.predict(features))
                assert told.shape == (NETWORKS,), owned.qualified


def sample(networks: int = NETWORKS, columns: int = COLUMNS) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return features, shape (networks, columns), and targets between 0 and 1 that depend on two of them."""
    rng = np.random.default_rng(SEED)
    features = rng.standard_normal((networks, columns)) * np.logspace(-3, 3, columns)
    signal = features[:, 0] / 1e-3 + np.abs(features[:, -1]) / 1e3
    return features, 1.0 / (1.0 + np.exp(-signal + rng.normal(0, 0.1, networks)))


def _told(
    estimator: Estimator, features: npt.NDArray[np.float64], targets: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    return np.asarray(estimator.fit(features, targets, SEED).predict(features), np.float64)


def _changed(state: dict[str, npt.NDArray[Any]]) -> list[dict[str, npt.NDArray[Any]]]:
    made: list[dict[str, npt.NDArray[Any]]] = [{}]
    for name, own in state.items():
        made.append({other: array for other, array in state.items() if other != name})
        worst = [own[..., :-1] if own.ndim else own[None], own.astype(np.float32), own[None], np.zeros(0, own.dtype)]
        if own.size:
            extreme = np.nan if own.dtype.kind == "f" else 1 if own.dtype.kind == "b" else np.iinfo(own.dtype).max
            for value in (extreme, 0):
                spoilt = own.copy()
                spoilt.flat[own.size // 2] = value
                worst.append(spoilt)
        made.extend(state | {name: array} for array in worst)
    return made
