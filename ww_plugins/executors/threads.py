"""Threads of this process."""

from __future__ import annotations

import concurrent.futures
import threading

import ww_core as ww


class Threads(ww.Executor):
    """Threads of this process. NumPy and LAPACK release the lock of Python while they work."""

    name = "threads"
    description = "Threads of this process; the default."
    shares_memory = True

    def create(self, jobs: int) -> concurrent.futures.Executor:
        """Return a pool of ``jobs`` threads."""
        return _Pool(jobs)


class _Pool(concurrent.futures.ThreadPoolExecutor):
    """Threads that are waited for at the end, each of them: the library forgets one whose start Ctrl-C interrupted."""

    def __init__(self, jobs: int) -> None:
        begun: list[threading.Thread] = []
        super().__init__(jobs, thread_name_prefix="ww", initializer=lambda: begun.append(threading.current_thread()))
        self._begun = begun

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls, and wait for those that were begun."""
        super().shutdown(wait, cancel_futures=cancel_futures)
        if wait:
            for thread in self._begun:
                thread.join()
