"""Run a command and print what it cost as JSON: wall seconds, CPU seconds, peak resident bytes.

It is a small process between a large one and the command because Linux starts the peak of a child at that of the
process which forked it.
"""

from __future__ import annotations

import json
import os
import sys
import time


def main() -> int:
    """Run ``argv[1:]``, its output thrown away, and return its exit code."""
    silent = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
    started = time.perf_counter()
    child = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ, file_actions=silent)
    _, status, usage = os.wait4(child, 0)
    wall = time.perf_counter() - started
    unit = 1 if sys.platform == "darwin" else 1024
    print(json.dumps({"wall": wall, "cpu": usage.ru_utime + usage.ru_stime, "peak": usage.ru_maxrss * unit}))
    return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    sys.exit(main())
