"""Threads of this process."""

from __future__ import annotations

import concurrent.futures

import ww_core as ww


class Threads(ww.Executor):
    """Threads of this process. NumPy and LAPACK release the lock of Python while they work."""

    name = "threads"
    description = "Threads of this process; the default."
    shares_memory = True

    def create(self, jobs: int) -> concurrent.futures.Executor:
        """Return a pool of ``jobs`` threads."""
        return concurrent.futures.ThreadPoolExecutor(jobs, thread_name_prefix="ww")
