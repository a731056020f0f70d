"""Processes of this machine."""

from __future__ import annotations

import concurrent.futures
import os
from collections.abc import Callable
from contextlib import suppress
from typing import ParamSpec, TypeVar

import ww_core as ww
from ww_plugins.executors import interrupts

P = ParamSpec("P")
R = TypeVar("R")


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
