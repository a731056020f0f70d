"""Memory that is used again."""

from __future__ import annotations

import threading

import numpy as np

from ww_core.spectral.room import Room


def test_what_is_taken_next_lies_where_the_last_lay():
    room = Room(64)
    first, second = room.take((2, 4), "d"), room.take((4, 4), "f")
    assert (first.shape, first.dtype, second.shape, second.dtype) == ((2, 4), np.float64, (4, 4), np.float32)
    assert np.shares_memory(first, second)
    assert first.flags.c_contiguous
    assert first.flags.writeable


def test_what_does_not_fit_has_memory_of_its_own():
    room = Room(64)
    assert not np.shares_memory(room.take((8,), "d"), room.take((9,), "d"))


def test_each_thread_has_its_own():
    room = Room(64)
    taken = [room.take((8,), "d")]
    other = threading.Thread(target=lambda: taken.append(room.take((8,), "d")))
    other.start()
    other.join()
    assert not np.shares_memory(*taken)
