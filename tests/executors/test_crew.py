"""Workers with nothing left to do help with spectra: all of the work is done, once, and nobody is waited for."""

import gc
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor, wait
from queue import SimpleQueue

import numpy as np
import pytest

import ww_core as ww
from ww_core.compute.crew import Crew

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


def start(pool, *batches):
    """Let a pool do batches, functions of their crew, and ask for help behind them, as a run does."""
    crew = Crew(len(batches))
    begun = [pool.submit(crew.doing(lambda _, batch=batch: batch(crew)), ()) for batch in batches]
    helpers = [pool.submit(crew.help) for _ in range(2)]
    return begun, helpers


def done(pool, *batches):
    """Return what batches return, when the helpers are gone too."""
    begun, helpers = start(pool, *batches)
    results = [future.result(SECONDS) for future in begun]
    assert not wait(helpers, SECONDS).not_done
    return results


def test_idle_workers_take_part_and_each_item_is_done_once(pool):
    together = threading.Barrier(3)
    items_done = []

    def work(items):
        for item in items:
            together.wait(SECONDS)  # passes only if three threads have an item at the same time
            items_done.append((item, threading.get_ident()))

    done(pool, lambda share: share(work, range(6)))
    assert sorted(item for item, _ in items_done) == list(range(6))
    assert len({thread for _, thread in items_done}) == 3


def test_helpers_come_again_and_again(pool):
    threads = []

    def batch(share):
        for _ in range(5):
            together = threading.Barrier(3)

            def work(items, together=together):
                for _ in items:
                    together.wait(SECONDS)
                    threads.append(threading.get_ident())

            share(work, range(3))

    done(pool, batch)
    assert len(threads) == 15
    assert len(set(threads)) == 3


def test_who_has_the_fewest_helpers_gets_the_next(pool):
    together = threading.Barrier(4)

    def batch(share):
        share(lambda items: [together.wait(SECONDS) for _ in items], range(2))

    with ThreadPoolExecutor(4) as four:
        done(four, batch, batch)  # each of the two has one helper, or the barrier breaks


@pytest.mark.parametrize("items", [[], ["only"]])
def test_too_little_to_share_is_done_by_the_caller_alone(pool, items):
    threads = []

    def work(own):
        threads.append(threading.get_ident())
        assert list(own) == items

    (caller,) = done(pool, lambda share: share(work, items) or threading.get_ident())
    assert threads == [caller]


def test_nothing_waits_for_a_busy_worker(pool, busy):
    threads = []

    def work(items):
        threads.append(threading.get_ident())
        assert list(items) == [0, 1, 2, 3]

    batches = [lambda _: busy.wait(SECONDS)] * 2
    begun, helpers = start(pool, *batches, lambda share: share(work, range(4)))
    begun[-1].result(SECONDS)
    assert not busy.is_set()
    assert len(threads) == 1
    busy.set()
    assert not wait(helpers, SECONDS).not_done


def test_batches_in_the_queue_come_before_help(pool):
    order = []

    def batch(name):
        def compute(share):
            order.append(name)
            share(lambda items: [order.append("piece") for _ in items], range(2))

        return compute

    with ThreadPoolExecutor(1) as one:
        done(one, *map(batch, "abc"))
    assert [name for name in order if name != "piece"] == ["a", "b", "c"]


def test_nobody_waits_for_a_batch_that_has_not_begun():
    crew = Crew(2)
    crew.doing(lambda batch: [])(())
    begun = time.perf_counter()
    crew.help()
    assert time.perf_counter() - begun < 1


def test_helpers_go_when_all_batches_have_ended_or_the_run_has():
    ended, interrupted = Crew(1), Crew(1)
    ended.doing(lambda batch: [])(())
    ended.help()

    def wait_for_help(batch):
        with ThreadPoolExecutor(2) as pool:
            helpers = [pool.submit(interrupted.help) for _ in range(2)]
            interrupted.close()
            assert not wait(helpers, SECONDS).not_done
        return []

    interrupted.doing(wait_for_help)(())


def test_a_batch_that_raises_has_ended(pool):
    def batch(share):
        raise ZeroDivisionError

    (failed,), helpers = start(pool, batch)
    assert isinstance(failed.exception(SECONDS), ZeroDivisionError)
    assert not wait(helpers, SECONDS).not_done


def test_what_a_helper_raises_is_raised(pool):
    together = threading.Barrier(2)

    def batch(share):
        caller = threading.get_ident()

        def work(items):
            for _ in items:
                together.wait(SECONDS)
                if threading.get_ident() != caller:
                    raise ZeroDivisionError("in a helper")

        share(work, range(2))

    with pytest.raises(ZeroDivisionError, match="in a helper"):
        done(pool, batch)


def test_what_the_caller_raises_ends_the_work_when_its_helpers_have_done_their_piece(pool):
    together = threading.Barrier(2)
    released = threading.Event()
    seen = []

    def batch(share):
        caller = threading.get_ident()

        def work(items):
            for item in items:
                if item < 2:
                    together.wait(SECONDS)
                if threading.get_ident() == caller:
                    raise ZeroDivisionError("here")
                released.wait(SECONDS)
                seen.append(item)

        threading.Timer(0.1, released.set).start()  # after the caller has failed
        try:
            share(work, range(2))
        finally:
            seen.append("returned")

    with pytest.raises(ZeroDivisionError, match="here"):
        done(pool, batch)
    assert len(seen) == 2
    assert seen[0] in {0, 1}
    assert seen[1] == "returned"


def test_what_was_shared_is_kept_alive_by_nobody(pool, busy):
    together = threading.Barrier(2)

    def shared():
        array = np.zeros(1000)

        def work(items):
            for item in items:
                array[item] += 1
                if item < 2:
                    together.wait(SECONDS)

        share(work, range(1000))
        assert array.all()
        return weakref.ref(array)

    def batch(crew):
        nonlocal share
        share = crew
        arrays.put(shared())
        busy.wait(SECONDS)  # so that the helpers wait for more

    share = None
    arrays = SimpleQueue()
    start(pool, batch)
    array = arrays.get(timeout=SECONDS)
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
