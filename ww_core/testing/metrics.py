"""The contract of metrics."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pytest

from ww_core.domain.outcome import State
from ww_core.plugins.extras import to_install
from ww_core.testing.plugins import PluginContract
from ww_core.use_cases.analyze import analyze

if TYPE_CHECKING:
    import numpy.typing as npt

    from ww_core.contracts.metric import Quantity
    from ww_core.domain.report import AnalysisReport, LayerRow, MatrixRow
    from ww_core.plugins.registry import Owned


def sample_weights() -> dict[str, npt.NDArray[Any]]:
    """Return weights that metrics meet: of every kind of layer, square and not, with and without bias."""
    import numpy as np

    random = np.random.Generator(np.random.Philox(7))
    return {
        "square.weight": random.standard_normal((64, 64)).astype(np.float32),
        "square.bias": random.standard_normal(64).astype(np.float32),
        "tall.weight": random.standard_t(3, (96, 32)).astype(np.float32),
        "wide.weight": random.standard_normal((16, 80)),
        "half.weight": random.standard_normal((24, 40)).astype(np.float16),
        "conv.weight": random.standard_normal((16, 8, 3, 3)).astype(np.float32),
        "norm.weight": np.ones(48, dtype=np.float32),
    }


def awkward_weights() -> dict[str, npt.NDArray[Any]]:
    """Return weights that have no good answer: a metric gives a value or a reason for them, never an exception."""
    import numpy as np

    random = np.random.Generator(np.random.Philox(8))
    poisoned = random.standard_normal((12, 10))
    poisoned[3, 4] = np.nan
    return {
        "zero.weight": np.zeros((12, 10)),
        "constant.weight": np.full((12, 10), 0.5),
        "row.weight": random.standard_normal((1, 30)),
        "number.weight": np.array([[2.0]]),
        "identity.weight": np.eye(12),
        "huge.weight": random.standard_normal((12, 10)) * 1e300,
        "tiny.weight": random.standard_normal((12, 10)) * 1e-300,
        "poisoned.weight": poisoned,
        "empty.weight": np.zeros((0, 10)),
    }


class MetricContract(PluginContract):
    """Tests that every metric of a plugin must pass. Set ``plugin``; override ``weights`` if they need others."""

    def weights(self) -> Mapping[str, npt.NDArray[Any]]:
        """Weights on which every metric must have at least one value."""
        return sample_weights()

    def metrics(self) -> list[Owned[Quantity]]:
        """All metrics of the plugin, without those whose extra is not installed."""
        own = self.own(self.registry().quantities)
        return [owned for owned in own if owned.object.is_metric and not to_install(owned.object.extra)]

    def report(self, weights: Mapping[str, npt.NDArray[Any]], **options: Any) -> AnalysisReport:
        """Analyse weights with all metrics of the plugin."""
        registry = self.registry()
        names = [owned.qualified for owned in self.metrics()]
        if not names:
            pytest.skip("every metric of the plugin needs an extra that is not installed")
        return analyze(weights, name="sample", metrics=names, registry=registry, **options)

    def test_every_metric_is_documented(self) -> None:
        """A docstring that starts with one line on what the number is."""
        for owned in self.own(self.registry().quantities):
            assert owned.object.summary, f"{owned.qualified} has no docstring"

    def test_every_metric_has_a_value_on_ordinary_weights(self) -> None:
        """No exception, and for every column at least one number or text."""
        report = self.report(self.weights())
        assert not report.failures, report.failures
        rows: list[MatrixRow | LayerRow] = [*report.layers, *report.layer_metrics]
        for label in {label for row in rows for label in row.metrics}:
            outcomes = [row.metrics[label] for row in rows if label in row.metrics]
            assert any(outcome.is_ok for outcome in outcomes), f"{label}: {outcomes[0].explain()}"
        for label, outcome in report.model_metrics.items():
            assert outcome.is_ok, f"{label}: {outcome.explain()}"

    def test_awkward_weights_give_a_value_or_a_reason(self) -> None:
        """Zero, constant, 1 x N, empty, huge, tiny, NaN: no exception, and no state without its reason."""
        report = self.report(awkward_weights())
        assert not report.failures, report.failures
        rows: list[MatrixRow | LayerRow] = [*report.layers, *report.layer_metrics]
        for row in rows:
            for label, outcome in row.metrics.items():
                assert outcome.is_ok or outcome.reason, f"{row.name} {label} has no reason"
                assert outcome.state is not State.FAILED, f"{row.name} {label}"

    def test_values_are_the_same_again(self) -> None:
        """The same weights give the same bits, with one worker or two."""
        first, second = self.report(self.weights(), jobs=1), self.report(self.weights(), jobs=2)
        assert first.layers == second.layers
        assert first.layer_metrics == second.layer_metrics
        assert first.model_metrics == second.model_metrics

    def test_a_second_analysis_computes_nothing(self) -> None:
        """What is stored is found again by its identity."""
        from ww_core.store.store import open_store

        with open_store(None) as store:
            first = self.report(self.weights(), store=store)
            second = self.report(self.weights(), store=store)
        assert second.run.computed == 0
        assert first.layers == second.layers

    def test_every_parameter_takes_its_default(self) -> None:
        """Naming a default value changes nothing, the identity least of all."""
        registry = self.registry()
        for owned in self.metrics():
            if not owned.object.parameters:
                continue
            given = {f"{owned.qualified}.{p.name}": p.default for p in owned.object.parameters}
            named = analyze(self.weights(), metrics=[owned.qualified], parameters=given, registry=registry)
            plain = analyze(self.weights(), metrics=[owned.qualified], registry=registry)
            assert named.layers == plain.layers

    def test_every_metric_is_still_callable(self) -> None:
        """The decorated object is the function for anybody who calls it."""
        for owned in self.own(self.registry().quantities):
            assert callable(owned.object)
            assert inspect.signature(owned.object.function).parameters

    def test_a_wrong_parameter_is_refused(self) -> None:
        """An unknown parameter is an error that names it."""
        from ww_core.errors import UsageError

        registry = self.registry()
        for owned in self.metrics():
            with pytest.raises(UsageError):
                analyze(
                    self.weights(),
                    metrics=[owned.qualified],
                    parameters={f"{owned.qualified}.no_such": 1},
                    registry=registry,
                )
