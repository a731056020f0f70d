"""An executor: a few threads, whatever `--jobs` says, for a machine that is shared with others."""

from __future__ import annotations

import concurrent.futures
from dataclasses import dataclass

import ww_core as ww


@dataclass(frozen=True)
class ObjectName(ww.Executor):
    """Threads of this process, no more than a limit.

    Attributes:
        most: The limit.
    """

    name = "object-name"
    description = "A few threads, whatever --jobs says, for a machine that is shared."
    shares_memory = True  # threads see the caller's objects, so nothing is pickled
    most: int = 2

    def __post_init__(self) -> None:
        if self.most < 1:
            raise ww.UsageError(f"executor {self.name}: most={self.most} leaves no thread")

    def create(self, jobs: int) -> concurrent.futures.Executor:
        """Return a pool of `jobs` threads, or of as many as there may be."""
        return concurrent.futures.ThreadPoolExecutor(min(jobs, self.most), thread_name_prefix=self.name)


@ww.hookimpl
def ww_register_executors() -> list[ww.Executor]:
    """The executors of this plugin."""
    return [ObjectName()]
