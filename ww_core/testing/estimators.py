"""The contract of estimators."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pytest

from ww_core.errors import CorruptFileError
from ww_core.testing.plugins import PluginContract

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import numpy.typing as npt

    from ww_core.contracts.estimator import Estimator
    from ww_core.plugins.registry import Owned

    State = dict[str, npt.NDArray[Any]]

NETWORKS = 40
COLUMNS = 5
DRAWS = 20
SEED = 7
CLOSE = 1e-9
"""How far predictions may differ by company: products of matrices are rounded by how many rows there are."""


class EstimatorContract(PluginContract):
    """Tests that every estimator of a plugin must pass. Set ``plugin``; all it needs must be installed.

    Attributes:
        fits: How many options, drawn from the ranges of an estimator, are fitted.
    """

    fits: ClassVar[int] = 2

    def owned(self) -> list[Owned[Estimator]]:
        """Return the plugin's estimators."""
        return self.own(self.registry().estimators)

    def fast(self, estimator: Estimator) -> Estimator:
        """Return the estimator with options that make it fast; override it where defaults take long."""
        return estimator

    def problem(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Return features of shape (n, k) and accuracies of shape (n,), from 0 to 1, that depend on them."""
        return sample_problem(NETWORKS, COLUMNS)

    def test_every_estimator_says_what_it_is(self) -> None:
        """It has one line, and a version; what it needs is there."""
        for owned in self.owned():
            assert owned.object.description.isprintable()
            assert owned.object.description
            assert owned.object.version
            owned.object.check()

    def test_predictions_are_numbers_and_the_same_for_the_same_seed(self) -> None:
        """A number for each network, finite, float64; nothing is written into features and targets."""
        features, targets = self.problem()
        before = features.copy(), targets.copy()
        for owned in self.owned():
            estimator = self.fast(owned.object)
            first = estimator.fit(features, targets, SEED).predict(features)
            second = estimator.fit(features, targets, SEED).predict(features)
            assert first.shape == targets.shape, owned.qualified
            assert first.dtype == np.float64, owned.qualified
            assert np.isfinite(first).all(), owned.qualified
            assert np.array_equal(first, second), owned.qualified
            assert np.array_equal(features, before[0]), owned.qualified
            assert np.array_equal(targets, before[1]), owned.qualified

    def test_a_network_has_its_prediction_in_any_company(self) -> None:
        """That of one does not depend on the others, nor on their order; of none there are none."""
        features, targets = self.problem()
        for owned in self.owned():
            fitted = self.fast(owned.object).fit(features, targets, SEED)
            whole = fitted.predict(features)
            assert np.allclose(fitted.predict(features[::-1]), whole[::-1], rtol=CLOSE, atol=CLOSE), owned.qualified
            for row in (0, len(features) - 1):
                alone = fitted.predict(features[row : row + 1])
                assert np.allclose(alone, whole[row : row + 1], rtol=CLOSE, atol=CLOSE), owned.qualified

    def test_constant_targets_are_learned(self) -> None:
        """Every prediction is the one number that all targets are, and nothing warns."""
        features, targets = self.problem()
        for owned in self.owned():
            fitted = self.fast(owned.object).fit(features, np.full_like(targets, 0.625), SEED)
            assert np.allclose(fitted.predict(features), 0.625, atol=0.05), owned.qualified

    def test_options_of_the_ranges_are_possible(self) -> None:
        """What is drawn from them can be constructed and learns; they are ranges of options that there are."""
        features, targets = self.problem()
        rng = np.random.default_rng(SEED)
        for owned in self.owned():
            ranges = owned.object.ranges(COLUMNS)
            options = {parameter.name: parameter for parameter in owned.object.parameters()}
            assert set(ranges) <= set(options), owned.qualified
            for draw in range(DRAWS if ranges else 0):
                values = {name: ranges[name].draw(rng, whole=options[name].type is int) for name in sorted(ranges)}
                for name, value in values.items():
                    options[name].check(value)
                drawn = replace(owned.object, **values)  # type: ignore[type-var]
                if draw < self.fits:
                    fitted = self.fast(drawn).fit(features, targets, SEED)
                    assert np.isfinite(fitted.predict(features)).all(), drawn.label

    def test_a_state_tells_all_that_was_learned(self) -> None:
        """Its arrays are plain numbers, and predictions from them are the same; so for constant targets."""
        features, targets = self.problem()
        for owned in self.owned():
            estimator = self.fast(owned.object)
            for learned in (targets, np.full_like(targets, 0.5)):
                fitted = estimator.fit(features, learned, SEED)
                state = estimator.state(fitted)
                if state is None:
                    continue
                for name, array in state.items():
                    assert isinstance(array, np.ndarray), f"{owned.qualified}: {name}"
                    assert array.dtype.kind in "biuf", f"{owned.qualified}: {name}"
                again = estimator.from_state({name: array.copy() for name, array in state.items()}, features.shape[1])
                assert np.allclose(again.predict(features), fitted.predict(features), rtol=0.0, atol=1e-12)

    def test_a_damaged_state_is_refused(self) -> None:
        """Arrays that are missing, cut, of another dtype or shape, or with impossible numbers: CorruptFileError."""
        features, targets = self.problem()
        for owned in self.owned():
            estimator = self.fast(owned.object)
            state = estimator.state(estimator.fit(features, targets, SEED))
            for what, damaged in _damaged(state or {}):
                with pytest.raises(CorruptFileError) as caught:
                    estimator.from_state(damaged, features.shape[1])
                assert str(caught.value).isprintable(), f"{owned.qualified}: {what}"


def _damaged(state: Mapping[str, npt.NDArray[Any]]) -> Iterator[tuple[str, State]]:
    """Yield damaged states, with what was done to them."""
    if state:
        yield "nothing", {}
    for name, array in state.items():
        yield f"{name} is missing", {other: kept for other, kept in state.items() if other != name}
        for what, changed in _damages(array):
            yield f"{name} {what}", {**state, name: changed}


def _damages(array: npt.NDArray[Any]) -> Iterator[tuple[str, npt.NDArray[Any]]]:
    yield "is empty", array[:0]
    yield "has an axis more", array[None]
    yield "holds texts", array.astype("U8")
    yield "is complex", array.astype(np.complex128)
    yield "holds objects", array.astype(object)
    if len(array) > 1:
        yield "is cut at its half", array[: len(array) // 2]
        yield "lacks its last", array[:-1]
    if array.dtype.kind == "f":
        for number in (np.nan, np.inf):
            changed = array.copy()
            changed.flat[-1] = number
            yield f"has {number}", changed
    elif array.dtype.kind in "iu":
        for number in {np.iinfo(array.dtype).max, np.iinfo(array.dtype).min}:
            if number:
                yield f"is {number} throughout", np.full_like(array, number)


def sample_problem(
    networks: int, columns: int, seed: int = 0
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return random features, shape (networks, columns), and accuracies that depend on the first two, from 0 to 1."""
    generator = np.random.default_rng(seed)
    features = generator.standard_normal((networks, columns))
    noise = generator.uniform(-0.02, 0.02, networks)
    accuracies = 0.5 + 0.3 * np.tanh(features[:, 0]) + 0.15 * np.sin(2.0 * features[:, min(1, columns - 1)]) + noise
    return features, accuracies
