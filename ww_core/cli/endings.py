"""Ctrl-C and requests to terminate: the first lets what runs come to its end, the second ends the program at once."""

from __future__ import annotations

import _thread
import contextlib
import os
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING

from ww_core.command import INTERRUPTED, TERMINATED

if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENCE = 1.0
"""Seconds after which somebody who waits for the end is told how to have it at once."""

GRACE = 0.5
"""Seconds in which the program may still end by itself when it was told to end at once."""

ADVICE = "the work in progress is being finished; interrupt again to end at once, the store stays intact"
AT_ONCE = "interrupted: ended at once; the store is intact, and the same command continues from there"


@contextlib.contextmanager
def heeded() -> Iterator[list[int]]:
    """Let Ctrl-C (SIGINT) and a request to terminate (SIGTERM) end what runs, so that nothing half done stays behind.

    What does not come to its end, as a plugin that never returns, is ended by the next one, whatever it is doing.

    Yields:
        The exit codes that the requests so far ask for.
    """
    codes: list[int] = []
    over = threading.Event()

    def end(number: int, _frame: object) -> None:
        codes.append(TERMINATED if number == signal.SIGTERM else INTERRUPTED)
        # Not by threading's own way: it takes a lock that may be held by what was interrupted.
        if len(codes) == 1:
            _thread.start_new_thread(_advise, (over,))
        else:
            _kill_processes()
            _thread.start_new_thread(_leave, (codes[0], over))
        raise KeyboardInterrupt

    numbers = [signal.SIGTERM]
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # else it was to be ignored, as by nohup
        numbers.append(signal.SIGINT)
    before = {number: signal.signal(number, end) for number in numbers}
    try:
        yield codes
    finally:
        over.set()
        for number, handler in before.items():
            signal.signal(number, handler)


def _advise(over: threading.Event) -> None:
    if not over.wait(PATIENCE):
        _write(ADVICE)


def _kill_processes() -> None:
    """End the processes that this one started: they leave Ctrl-C to it."""
    multiprocessing = sys.modules.get("multiprocessing")
    if multiprocessing is not None:
        for process in multiprocessing.active_children():
            process.kill()


def _leave(code: int, over: threading.Event) -> None:
    """End the program unless it ends by itself now, which a thread that never returns prevents."""
    if over.wait(GRACE):
        time.sleep(GRACE)
    else:
        _write(AT_ONCE)
    os._exit(code)


def _write(sentence: str) -> None:
    """Write a line on stderr, past the buffers that what was interrupted may be writing to."""
    with contextlib.suppress(OSError):
        os.write(2, f"{sentence}\n".encode())
