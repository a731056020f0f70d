from __future__ import annotations

import threading
import time

import pytest
import ww_core as ww
from ww_core.testing import ExecutorContract

import plugin_name


class TestContract(ExecutorContract):
    plugin = plugin_name


def test_there_are_no_more_threads_than_the_limit() -> None:
    def name_of_thread(_: int) -> str:
        time.sleep(0.001)  # long enough for other threads to take the next call
        return threading.current_thread().name

    with plugin_name.ObjectName(most=2).create(8) as pool:
        assert len(set(pool.map(name_of_thread, range(20)))) <= 2


def test_no_thread_at_all_is_refused() -> None:
    with pytest.raises(ww.UsageError, match="most=0"):
        plugin_name.ObjectName(most=0)
