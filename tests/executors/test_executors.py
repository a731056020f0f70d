import os
import threading

import pytest

from ww_plugins.executors import ww_register_executors

STARTED = []


def start(word):
    STARTED.append(word)


def who(_):
    return os.getpid(), threading.current_thread().name, list(STARTED)


@pytest.mark.parametrize("executor", ww_register_executors(), ids=lambda executor: executor.name)
def test_workers_run_the_initializer_and_share_what_they_say(executor):
    STARTED.clear()
    with executor.create(1, start, ("ready",)) as pool:
        process, thread, started = pool.submit(who, 0).result()
    assert started == ["ready"]
    assert (process == os.getpid()) is executor.shares_memory
    assert (STARTED == ["ready"]) is executor.shares_memory
    if executor.shares_memory:
        assert thread.startswith("ww")


def test_names():
    assert [executor.name for executor in ww_register_executors()] == ["threads", "processes"]
