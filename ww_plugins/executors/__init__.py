"""Where the work runs: threads of this process, or processes of their own."""

from __future__ import annotations

import concurrent.futures
from typing import TYPE_CHECKING, Any

import ww_core as ww

if TYPE_CHECKING:
    from collections.abc import Callable


class Threads(ww.Executor):
    """Threads of this process. NumPy and LAPACK release the lock of Python while they work."""

    name = "threads"
    description = "Threads of this process; the default."
    shares_memory = True
    takes_help = True

    def create(
        self, jobs: int, initializer: Callable[..., None], initargs: tuple[Any, ...]
    ) -> concurrent.futures.Executor:
        """Return a pool of ``jobs`` threads, each of which runs ``initializer(*initargs)`` first."""
        return concurrent.futures.ThreadPoolExecutor(
            max_workers=jobs, thread_name_prefix="ww", initializer=initializer, initargs=initargs
        )


class Processes(ww.Executor):
    """Processes started afresh, not forked, so that no thread or lock of the parent is copied into them."""

    name = "processes"
    description = "Spawned processes: for metrics that hold the lock of Python; tensors are read in each."
    shares_memory = False

    def create(
        self, jobs: int, initializer: Callable[..., None], initargs: tuple[Any, ...]
    ) -> concurrent.futures.Executor:
        """Return a pool of ``jobs`` spawned processes, each of which runs ``initializer(*initargs)`` first."""
        import multiprocessing

        return concurrent.futures.ProcessPoolExecutor(
            max_workers=jobs,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=initializer,
            initargs=initargs,
        )


@ww.hookimpl
def ww_register_executors() -> list[ww.Executor]:
    """The built-in executors."""
    return [Threads(), Processes()]
