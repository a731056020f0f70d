"""The contracts of executors and observers."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from ww_core.contracts.observer import LayerDone, RunObserver, RunStart
from ww_core.testing.metrics import sample_weights
from ww_core.testing.plugins import PluginContract
from ww_core.use_cases.analyze import analyze

if TYPE_CHECKING:
    from pathlib import Path

    from ww_core.domain.report import AnalysisReport


class ExecutorContract(PluginContract):
    """Tests that every executor of a plugin must pass. Set ``plugin``."""

    def test_it_gives_the_numbers_of_one_thread(self, tmp_path: Path) -> None:
        """Where the work runs changes no bit, nor does the count of workers."""
        from safetensors.numpy import save_file

        source = tmp_path / "sample.safetensors"
        save_file(sample_weights(), source)
        registry = self.registry()
        expected = analyze(source, jobs=1, registry=registry)
        for owned in self.own(registry.executors):
            for jobs in (1, 3):
                report = analyze(source, jobs=jobs, executor=owned.qualified, registry=registry)
                assert not report.failures, report.failures
                assert report.layers == expected.layers
                assert report.layer_metrics == expected.layer_metrics

    def test_its_pool_serves_many_calls_and_ends(self) -> None:
        """Calls are done where ``shares_memory`` says, and none is taken after the end."""
        for owned in self.own(self.registry().executors):
            with owned.object.create(2) as pool:
                processes = {pool.submit(os.getpid).result(timeout=60) for _ in range(4)}
                assert (processes == {os.getpid()}) is owned.object.shares_memory
                error = pool.submit(int, "no number").exception(timeout=60)
                assert isinstance(error, ValueError), f"what a call raises belongs to its future, which has {error!r}"
            with pytest.raises(RuntimeError):
                pool.submit(os.getpid)


class ObserverContract(PluginContract):
    """Tests that every observer of a plugin must pass. Set ``plugin``."""

    def test_it_takes_every_call(self) -> None:
        """Start, layers and end, in this order, without an exception."""
        registry = self.registry()
        calls: list[str] = []
        report = analyze(sample_weights(), registry=registry, observers=[_Recorder(calls)])
        assert calls[0] == "start"
        assert calls[-1] == "end"
        assert sorted(calls[1:-1]) == sorted(
            {row.name for row in report.layers} | {row.name for row in report.layer_metrics}
        )
        assert not [failure for failure in report.failures if failure.stage == "observer"]


class _Recorder(RunObserver):
    def __init__(self, calls: list[str]) -> None:
        self._calls = calls

    def on_start(self, start: RunStart) -> None:
        self._calls.append("start" if start.layers else "nothing to do")

    def on_layer(self, layer: LayerDone) -> None:
        self._calls.append(layer.name if layer.metrics or layer.matrices else "no outcomes")

    def on_end(self, report: AnalysisReport) -> None:
        self._calls.append("end" if report.digest else "no digest")
