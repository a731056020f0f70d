"""Processes of this machine."""

from __future__ import annotations

import concurrent.futures
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

import ww_core as ww

P = ParamSpec("P")
R = TypeVar("R")


class Processes(ww.Executor):
    """Processes started afresh, not forked, so that no thread or lock of the parent is copied into them."""

    name = "processes"
    description = "Spawned processes: for metrics that hold the lock of Python; tensors are read in each."
    shares_memory = False

    def create(self, jobs: int) -> concurrent.futures.Executor:
        """Return a pool of ``jobs`` spawned processes."""
        from multiprocessing import get_context, resource_tracker

        resource_tracker.ensure_running()  # when it starts, it lets interrupts in
        return _Pool(jobs, mp_context=get_context("spawn"))


class _Pool(concurrent.futures.ProcessPoolExecutor):
    """Processes that leave Ctrl-C, which the terminal sends to all of them, to their parent."""

    def submit(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> concurrent.futures.Future[R]:
        """Give a call to a process, which may be started now."""
        with _interrupts_held():
            return super().submit(fn, *args, **kwargs)


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Let interrupts wait; a process that is started meanwhile never gets one."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
