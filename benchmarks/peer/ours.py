"""Our side: the analysis with a store, and its computation by itself."""

from __future__ import annotations

import concurrent.futures
import functools
import shutil
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import ww_core as ww
from ww_core.plugins.discovery import load_plugins

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from benchmarks.peer.models import Weights

AS_PEER: dict[str, Any] = {"profile": "weightwatcher"}
"""What makes our analysis that of the peer: its columns, under its rules."""

AS_PEER_FULLY: dict[str, Any] = {"profile": "weightwatcher-full"}
"""The same with what its ``mp_fit=True, randomize=True, detX=True`` add, of one permutation."""


@dataclass(frozen=True, slots=True)
class Work:
    """The computation of an analysis: calls that may be made again and again, and the report of a run of them."""

    calls: list[Callable[[], object]]
    report: ww.AnalysisReport

    def compute(self, jobs: int = 1) -> None:
        """Make all calls, in so many threads."""
        if jobs == 1:
            for call in self.calls:
                call()
            return
        with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
            for future in [pool.submit(call) for call in self.calls]:
                future.result()


class Ours:
    """ww with its plugins loaded once.

    Args:
        folder: Where stores may be made.
    """

    def __init__(self, folder: Path) -> None:
        self._registry = load_plugins()
        self._recorder = Recorder()
        plugin = SimpleNamespace(ww_register_executors=ww.hookimpl(lambda: [self._recorder]))
        self._recorded = load_plugins(objects=[plugin])
        self._empty, self._stores = folder / "empty.sqlite", folder / "stores"
        ww.open_store(self._empty).close()

    def work(self, weights: Weights, *, jobs: int = 1, request: Mapping[str, Any] = AS_PEER) -> Work:
        """Return what a run hands to its workers. It is computed once, so nothing is cold afterwards.

        Raises:
            RuntimeError: The run lost something, or handed nothing out.
        """
        self._recorder.calls = []
        report = ww.analyze(weights, registry=self._recorded, executor=self._recorder.name, jobs=jobs, **request)
        if report.failures or not self._recorder.calls:
            raise RuntimeError(f"ww: {report.failures or 'nothing was given to the executor'}")
        return Work(self._recorder.calls, report)

    def analyze(self, weights: Weights, store: Path, *, jobs: int = 1) -> ww.AnalysisReport:
        """Analyse as the peer does, with a store: from digests to report.

        Raises:
            RuntimeError: The run lost something.
        """
        report = ww.analyze(weights, store=store, registry=self._registry, jobs=jobs, **AS_PEER)
        if report.failures:
            raise RuntimeError(f"ww: {report.failures}")
        return report

    def fresh_store(self) -> Path:
        """Return a store of the newest schema without results, in the place of the one before."""
        shutil.rmtree(self._stores, ignore_errors=True)
        self._stores.mkdir()
        return shutil.copyfile(self._empty, self._stores / "ww.sqlite")


class Recorder(ww.Executor, concurrent.futures.Executor):
    """Runs what it is given at once, and keeps it."""

    name = "recorder"
    description = "Runs what it is given at once, and keeps it."
    shares_memory = True

    def __init__(self) -> None:
        self.calls: list[Callable[[], object]] = []

    def create(self, jobs: int) -> concurrent.futures.Executor:  # noqa: ARG002 - part of the contract
        """Return itself."""
        return self

    def submit(self, call: Callable[..., Any], /, *args: Any, **kwargs: Any) -> concurrent.futures.Future[Any]:
        """Run a call; its result is there when this returns."""
        self.calls.append(functools.partial(call, *args, **kwargs))
        future: concurrent.futures.Future[Any] = concurrent.futures.Future()
        try:
            future.set_result(self.calls[-1]())
        except Exception as error:  # noqa: BLE001 - it belongs to whoever asks the future
            future.set_exception(error)
        return future
