"""Processes of this machine."""

from __future__ import annotations

import concurrent.futures
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import ParamSpec, TypeVar

import ww_core as ww
from ww_plugins.executors import interrupts

P = ParamSpec("P")
R = TypeVar("R")

LOOK, MOMENT = 0.002, 0.3
"""Seconds from one look at a thread to the next, and for which one is looked at that is about to end."""


class Processes(ww.Executor):
    """Processes started afresh, not forked, so that no thread or lock of the parent is copied into them."""

    name = "processes"
    description = "Spawned processes: for metrics that hold the lock of Python; tensors are read in each."
    shares_memory = False

    def create(self, jobs: int) -> concurrent.futures.Executor:
        """Return a pool of ``jobs`` spawned processes."""
        import multiprocessing

        return _Pool(jobs, mp_context=multiprocessing.get_context("spawn"), initializer=print_to_stderr)


def print_to_stderr() -> None:
    """Let what plugins print in a process that was started for them go where messages go: on stdout ww answers."""
    with suppress(OSError):
        os.dup2(2, 1)


class _Pool(concurrent.futures.ProcessPoolExecutor):
    """Processes that leave Ctrl-C to their parent."""

    def submit(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> concurrent.futures.Future[R]:
        """Give a call to a process, which may be started now."""
        with interrupts.left_to_the_parent():
            return super().submit(fn, *args, **kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls, and wait for those that were begun.

        What interrupts this may have killed the processes. Then the thread that watches them is about to end, and has a
        moment for it: Python's own end would now and then meet it while it closes, and print a traceback. Its ``join``
        is of no use here: once that is interrupted, Python 3.11 and 3.12 take the thread for ended.
        """
        watching: threading.Thread | None = vars(self).get("_executor_manager_thread")
        super().shutdown(wait=False, cancel_futures=cancel_futures)
        if wait and watching is not None:
            try:
                while watching.is_alive():
                    time.sleep(LOOK)
            except KeyboardInterrupt:
                until = time.monotonic() + MOMENT
                while watching.is_alive() and time.monotonic() < until:
                    time.sleep(LOOK)
                raise
