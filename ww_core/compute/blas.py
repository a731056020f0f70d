"""One BLAS thread per worker: layers run side by side, and BLAS would take the cores away from them."""

from __future__ import annotations

import functools
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_lock = threading.Lock()
_running = 0
_threads: list[tuple[Any, int]] = []


@functools.cache
def blas_in_use() -> str:
    """Name the BLAS libraries of this process with their versions and the kind of processor they work for."""
    import numpy as np  # noqa: F401 - BLAS must be loaded before it can be asked
    from threadpoolctl import threadpool_info

    found = [own for own in threadpool_info() if own["user_api"] == "blas"]
    texts = (" ".join(str(own.get(key) or "") for key in ("internal_api", "version", "architecture")) for own in found)
    return "; ".join(dict.fromkeys(text.strip() for text in texts))


@functools.lru_cache(maxsize=1)
def _libraries(imported: int) -> list[Any]:  # noqa: ARG001 - an import may have brought another library
    """Find the BLAS libraries of this process that have threads, which takes half a millisecond."""
    from threadpoolctl import ThreadpoolController

    return [own for own in ThreadpoolController().lib_controllers if own.user_api == "blas"]


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Limit BLAS to one thread while any analysis of this process runs; the last to end restores what was."""
    global _running, _threads
    import numpy as np  # noqa: F401 - BLAS must be loaded before it can be limited

    with _lock:
        _running += 1
        if _running == 1:
            # By hand: what threadpoolctl asks of each library besides takes as long as judging a small matrix.
            found = [(library, library.num_threads) for library in _libraries(len(sys.modules))]
            _threads = [(library, threads) for library, threads in found if threads != 1]
            for library, _ in _threads:
                library.set_num_threads(1)
    try:
        yield
    finally:
        with _lock:
            _running -= 1
            if _running == 0:
                for library, threads in _threads:
                    library.set_num_threads(threads)
