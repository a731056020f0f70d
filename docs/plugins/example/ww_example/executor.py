"""An executor with an option: threads that give way to other programs on the machine."""

import concurrent.futures
import os
import sys
import threading
from dataclasses import dataclass

import ww_core as ww


@dataclass(frozen=True)
class Polite(ww.Executor):
    """Threads of low priority, on Linux, where each thread has a priority of its own; elsewhere plain threads.

    Attributes:
        nice: From 0, as urgent as any program, to 19, which waits for everybody.
    """

    name = "polite"
    description = "Threads that give way to other programs: polite[nice=19] waits for everybody."
    shares_memory = True  # threads see the caller's objects, so nothing is pickled
    nice: int = 10

    def __post_init__(self):
        if not 0 <= self.nice <= 19:
            raise ValueError(f"nice goes from 0 to 19, and {self.nice} is outside")

    def create(self, jobs):
        return concurrent.futures.ThreadPoolExecutor(jobs, "ww-polite", self.give_way)

    def give_way(self):
        if sys.platform == "linux":
            own = os.getpriority(os.PRIO_PROCESS, 0)  # only root may become more urgent than it was
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), max(self.nice, own))


@ww.hookimpl
def ww_register_executors():
    return [Polite()]
