"""The memory that an analysis may take, which the workers of a process share."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

LEAST_DEFAULT = 2**28
"""Bytes that an analysis may take by default, however little is available."""

UNKNOWN = 2**33
"""Bytes that are taken to be available where the system does not tell."""

OPERATIONS_PER_BYTE = 2**14
"""Operations that are allowed for each byte. A dense matrix that fits in memory takes fewer."""


class Memory:
    """What may be taken at once. Who needs more than is free waits until others have done.

    Args:
        limit: Bytes; 0 for half of what is available now.
        workers: How many share it.
    """

    def __init__(self, limit: int = 0, workers: int = 1) -> None:
        self.limit = limit or max(LEAST_DEFAULT, available() // 2)
        self.workers = workers
        self._free = self.limit
        self._changed = threading.Condition()

    @property
    def operations(self) -> int:
        """Most operations that one extractor may take for one layer."""
        return self.limit * OPERATIONS_PER_BYTE

    @contextmanager
    def taken(self, nbytes: int) -> Iterator[None]:
        """Take so many bytes, or all there are, as long as the context lasts."""
        nbytes = min(nbytes, self.limit)
        with self._changed:
            self._changed.wait_for(lambda: nbytes <= self._free)
            self._free -= nbytes
        try:
            yield
        finally:
            with self._changed:
                self._free += nbytes
                self._changed.notify_all()


def available() -> int:
    """Return the bytes that this process could get now: of the machine, or of its container if those are fewer."""
    return min([_of_machine(), *_of_container()])


def _of_machine() -> int:
    with suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    with suppress(AttributeError, OSError, ValueError):  # of a system that does not say how much of it is free
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    return UNKNOWN


def _of_container() -> Iterator[int]:
    """Yield what control groups of both versions leave, where there are any."""
    for limit, usage, files in _CONTROLS:
        with suppress(OSError, ValueError):  # "max" is no number
            taken = int(_CGROUP.joinpath(usage).read_text()) - _cached(_CGROUP.joinpath(usage).parent, files)
            yield int(_CGROUP.joinpath(limit).read_text()) - taken


def _cached(group: Path, names: tuple[str, ...]) -> int:
    """Return the bytes of files that a control group only remembers, and gives up when memory is needed."""
    told = dict(line.split() for line in group.joinpath("memory.stat").read_text().splitlines())
    return sum(int(told.get(name, 0)) for name in names)


_CGROUP = Path("/sys/fs/cgroup")
_CONTROLS = (
    ("memory.max", "memory.current", ("inactive_file", "active_file")),
    (
        "memory/memory.limit_in_bytes",
        "memory/memory.usage_in_bytes",
        ("total_inactive_file", "total_active_file"),
    ),
)
"""Limit and usage of a group, and what of the usage are files that were read, by version."""
