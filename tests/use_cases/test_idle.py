"""Workers with nothing left to do help with spectra: all of the work is done, once, and nobody is waited for."""

import gc
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue

import numpy as np
import pytest
from ww_core.compute.idle import IdleWorkers

import ww_core as ww

SECONDS = 20
"""A wait that takes longer has hung."""


@pytest.fixture
def pool():
    """Three workers."""
    with ThreadPoolExecutor(3) as pool:
        yield pool


@pytest.fixture
def busy():
    """What a busy worker waits for; it is set at the end in any case, so that a failing test ends too."""
    event = threading.Event()
    yield event
    event.set()


def as_worker(pool, function):
    """Call it in a worker of the pool, as layers are worked on."""
    return pool.submit(function).result(SECONDS)


def occupy(pool, count, until):
    """Make as many workers busy until the event is set; returns when they are."""
    begun = threading.Barrier(count + 1)

    def wait():
        begun.wait(SECONDS)
        until.wait(SECONDS)

    for _ in range(count):
        pool.submit(wait)
    begun.wait(SECONDS)


def test_idle_workers_take_part_and_each_item_is_done_once(pool):
    together = threading.Barrier(3)
    done = []

    def work(items):
        for item in items:
            together.wait(SECONDS)  # passes only if three threads have an item at the same time
            done.append((item, threading.get_ident()))

    as_worker(pool, lambda: IdleWorkers(pool, 3)(work, range(6)))
    assert sorted(item for item, _ in done) == list(range(6))
    assert len({thread for _, thread in done}) == 3


@pytest.mark.parametrize("items", [[], ["only"]])
def test_too_little_to_share_is_done_by_the_caller_alone(pool, items):
    threads = []

    def work(own):
        threads.append(threading.get_ident())
        assert list(own) == items

    caller = as_worker(pool, lambda: IdleWorkers(pool, 3)(work, items) or threading.get_ident())
    assert threads == [caller]


def test_nothing_waits_for_a_busy_worker(pool, busy):
    occupy(pool, 2, busy)
    threads = []

    def work(items):
        threads.append(threading.get_ident())
        assert list(items) == [0, 1, 2, 3]

    as_worker(pool, lambda: IdleWorkers(pool, 3)(work, range(4)))
    assert not busy.is_set()
    busy.set()
    pool.shutdown()  # whatever was left in the queue has run now
    assert len(threads) == 1


def test_layers_in_the_queue_come_before_help(pool):
    order = []
    layers_done = threading.Barrier(3)

    def layer(name):
        order.append(name)
        layers_done.wait(SECONDS)

    def work(items):
        order.append("help" if threading.get_ident() != caller else "own")
        for item in items:
            if item == 0:
                layers_done.wait(SECONDS)
                together.wait(SECONDS)
            else:
                together.wait(SECONDS)

    together = threading.Barrier(2)
    caller = None

    def share():
        nonlocal caller
        caller = threading.get_ident()
        for name in ("first", "second"):
            pool.submit(layer, name)
        IdleWorkers(pool, 3)(work, range(2))

    as_worker(pool, share)
    assert max(order.index("first"), order.index("second")) < order.index("help")


def test_what_a_helper_raises_is_raised(pool):
    together = threading.Barrier(2)

    def work(items):
        for _ in items:
            together.wait(SECONDS)
            if threading.get_ident() != caller:
                raise ZeroDivisionError("in a helper")

    caller = None

    def share():
        nonlocal caller
        caller = threading.get_ident()
        IdleWorkers(pool, 2)(work, range(2))

    with pytest.raises(ZeroDivisionError, match="in a helper"):
        as_worker(pool, share)


def test_what_the_caller_raises_ends_the_work_when_its_helpers_have_done_their_piece(pool):
    together = threading.Barrier(2)
    done = []

    def work(items):
        for item in items:
            if item < 2:
                together.wait(SECONDS)
            if threading.get_ident() == caller:
                raise ZeroDivisionError("here")
            released.wait(SECONDS)
            done.append(item)

    caller = None
    released = threading.Event()

    def share():
        nonlocal caller
        caller = threading.get_ident()
        threading.Timer(0.1, released.set).start()  # after the caller has failed
        try:
            IdleWorkers(pool, 2)(work, range(100))
        finally:
            done.append("returned")

    with pytest.raises(ZeroDivisionError, match="here"):
        as_worker(pool, share)
    assert len(done) == 2
    assert done[0] in {0, 1}
    assert done[1] == "returned"


def test_help_that_nobody_gave_keeps_no_array_alive(pool, busy):
    occupy(pool, 2, busy)

    def share():
        array = np.zeros(1000)

        def work(items):
            for item in items:
                array[item] += 1

        IdleWorkers(pool, 3)(work, range(1000))
        assert array.all()
        return weakref.ref(array)

    def share_and_go_on():
        shared.put(share())
        busy.wait(SECONDS)  # so that no worker is free to clear the queue

    shared = SimpleQueue()
    pool.submit(share_and_go_on)
    array = shared.get(timeout=SECONDS)
    gc.collect()
    assert array() is None
    assert not busy.is_set()


def test_shared_spectra_are_those_of_one_worker():
    rng = np.random.default_rng(0)
    weights = {"conv.weight": rng.standard_normal((48, 40, 3, 3)), "fc.weight": rng.standard_normal((300, 4000))}
    alone, together = (ww.analyze(weights, extractors=["fft[n=16]"], jobs=jobs) for jobs in (1, 4))
    assert together.layers == alone.layers  # to the last digit
    assert not together.failures


def test_what_a_helper_refuses_is_refused_for_the_layer():
    weight = np.random.default_rng(0).standard_normal((400, 5000))
    weight[-1, -1] = np.nan
    for jobs in (1, 4):
        (row,) = ww.analyze({"fc.weight": weight}, jobs=jobs, metrics=["alpha"]).layers
        assert row.metrics["alpha"].explain() == "refused: 1 of 2000000 weights are NaN or infinite"
