"""Where the work of a use case is done: a pool of workers that serves all of its runs."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from concurrent.futures import BrokenExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, ParamSpec, Self, TypeVar

from ww_core.compute.blas import one_blas_thread
from ww_core.errors import PluginError, WWError
from ww_core.plugins.isolation import all_but_interrupts, forgiven, kind_of, sentence_of, text_of

if TYPE_CHECKING:
    import concurrent.futures

    from ww_core.compute.memory import Memory
    from ww_core.contracts.device import Device
    from ww_core.contracts.executor import Executor
    from ww_core.plugins.registry import Owned
    from ww_core.plugins.selection import Asked

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(slots=True, eq=False)
class Execution:
    """Where the work of a use case is done. The pool is made when there is work, and closed on leaving the context.

    Attributes:
        jobs: Count of workers.
        executor: What makes them.
        device: Where spectra are made.
        memory: What may be taken; in other processes each has as much of its own.
        warnings: Sentences the user should see: what the executor warned of.
    """

    jobs: int
    executor: Executor
    device: Owned[Device]
    memory: Memory
    warnings: list[str] = field(default_factory=list)
    _pool: concurrent.futures.Executor | None = field(default=None, init=False)
    _useless: str = field(default="", init=False)
    _opened: ExitStack = field(default_factory=ExitStack, init=False)
    _others: dict[str, Execution] = field(default_factory=dict, init=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait for what is being done, and close the pool. What was not begun is cancelled by who asked for it.

        Raises:
            PluginError: It cannot be closed.
        """
        with self._opened:
            for other in self._others.values():
                other.__exit__(kind, error, trace)
            pool, self._pool = self._pool, None
            try:
                if pool is not None:
                    pool.__exit__(kind, error, trace)
            except all_but_interrupts() as raised:
                if kind is None:  # else there is something more important to say
                    sentence = sentence_of(raised, self.executor)
                    raise PluginError(f"executor {self.executor.name!r} could not be closed: {sentence}") from raised

    def by(self, executor: Executor) -> Execution:
        """Return an execution by another executor, which ends with this one."""
        return self._others.setdefault(
            executor.label, Execution(self.jobs, executor, self.device, self.memory, self.warnings)
        )

    def start(self) -> concurrent.futures.Executor:
        """Return the pool, which is made if there is none.

        Raises:
            PluginError: The executor cannot be started, or what it starts is of no use.
        """
        if self._useless:
            raise PluginError(self._useless)
        if self._pool is None:
            self._pool = self._created()
            if self.executor.shares_memory:
                self._opened.enter_context(one_blas_thread())
        return self._pool

    def submit(self, call: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> concurrent.futures.Future[R]:
        """Give a call to the pool; one that broke is made anew.

        Raises:
            PluginError: The pool is of no use.
        """
        try:
            return self.start().submit(call, *args, **kwargs)
        except BrokenExecutor:
            return self._renewed().submit(call, *args, **kwargs)

    def _renewed(self) -> concurrent.futures.Executor:
        """Return a new pool, once a worker of it has done something.

        Raises:
            PluginError: There is none that does.
        """
        broken, self._pool = self._pool, None
        if broken is not None:
            with forgiven():
                broken.shutdown(wait=False)
        try:
            pool = self.start()
            pool.submit(int).result()
        except BrokenExecutor:
            self._useless = f"the workers of executor {self.executor.name!r} die before they have anything to do"
        except all_but_interrupts() as error:
            self._useless = sentence_of(error, self.executor)
        else:
            return pool
        raise PluginError(self._useless)

    def _created(self) -> concurrent.futures.Executor:
        name = self.executor.name
        try:
            with warnings.catch_warnings(record=True) as heard:
                warnings.simplefilter("ignore")
                warnings.simplefilter("always", UserWarning)
                pool = self.executor.create(self.jobs)
            if not all(hasattr(pool, method) for method in ("submit", "shutdown", "__enter__", "__exit__")):
                raise PluginError(f"executor {name!r} gave an object of type {kind_of(pool)}, no pool")
        except WWError:
            raise
        except all_but_interrupts() as error:
            sentence = sentence_of(error, self.executor)
            raise PluginError(f"executor {name!r} could not be started: {sentence}") from error
        said = [f"executor {name!r}: {text_of(own.message)}" for own in heard]
        self.warnings += [sentence for sentence in said if sentence not in self.warnings]
        return pool


def fitting(execution: Execution, asked: Asked, address: str) -> tuple[Execution, str]:
    """Return an execution that can do what was asked, and a sentence if it is another one.

    Args:
        execution: The one that was asked for.
        asked: What was asked, by which plugins.
        address: Where another process opens the source; empty if it cannot.
    """
    executor = execution.executor
    if executor.shares_memory or (address and not asked.registry.has_objects):
        return execution, ""
    threads = asked.registry.executors.find("threads").object
    sentence = f"executor {executor.label!r} sees neither Python objects nor the store: threads were used"
    return execution.by(threads), sentence
