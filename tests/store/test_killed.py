"""A program that is killed loses nothing but the work of a moment: the same command goes on from there."""

import contextlib
import random
import signal
import sqlite3
import time

import pytest

from ww_core.errors import StoreError
from ww_core.store.store import open_store

pytestmark = [pytest.mark.slow, pytest.mark.migrations]

LAYERS = 60


@pytest.fixture
def start(forked_ww, many_layers):
    """A function that starts the analysis of the model into a store, and returns the process."""
    return lambda store: forked_ww("analyze", many_layers, "--store", store, "--jobs", 2)


@pytest.fixture
def finish(start, forked_ww):
    """A function that analyses the model into a store, all of it."""

    def finished(store):
        code, output = forked_ww.output(start(store))
        assert code == 0, output

    return finished


def ask(store, question):
    """Ask a store that may not be there yet; None if it has no answer."""
    with contextlib.suppress(sqlite3.OperationalError), contextlib.closing(reader(store)) as connection:
        return connection.execute(question).fetchone()
    return None


def reader(store):
    return sqlite3.connect(f"{store.as_uri()}?mode=ro", uri=True)


def written(store):
    """Bytes of a store, those in its log included."""
    size = 0
    for path in (store, store.with_name(f"{store.name}-wal")):
        with contextlib.suppress(FileNotFoundError):
            size += path.stat().st_size
    return size


def kill(process):
    """Kill a process in the midst of its work, and return whether it was not over before."""
    process.kill()
    process.join()
    assert process.exitcode in {0, -signal.SIGKILL}
    return process.exitcode != 0


def is_sound(store):
    with contextlib.closing(sqlite3.connect(store)) as connection:
        faults = connection.execute("PRAGMA integrity_check").fetchall()
        return faults == [("ok",)] and connection.execute("PRAGMA foreign_key_check").fetchall() == []


@pytest.mark.parametrize(
    ("new_store", "count"),
    [
        ("WAL", 2),
        pytest.param("WAL", 20, marks=pytest.mark.stress),
        pytest.param("rollback journal", 10, marks=pytest.mark.stress),
    ],
    indirect=["new_store"],
)
def test_moments_while_rows_are_written(new_store, count, start, finish, content_of):
    undisturbed = new_store()
    process, sizes = start(undisturbed), []
    while process.is_alive():
        stored = ask(undisturbed, "SELECT count(*) FROM spectrum")
        if stored and 0 < stored[0] < LAYERS:
            sizes.append(written(undisturbed))
    process.join()
    expected = content_of(undisturbed)
    assert len(expected["spectrum"]) == LAYERS

    moments, inside = random.Random(20), 0
    for _ in range(5 * count):
        store = new_store()
        moment = moments.uniform(min(sizes), max(sizes))
        process = start(store)
        while written(store) < moment and process.is_alive():
            pass  # no pause: a transaction of some hundred pages is over within a millisecond
        kill(process)
        finish(store)
        assert is_sound(store)
        assert content_of(store) == expected
        computed, reused = ask(store, "SELECT computed, reused FROM run ORDER BY id DESC")
        assert computed + reused == LAYERS
        inside += computed > 0 and reused > 0  # else it was before the first row, or after the last one
        if inside == count:
            break
    assert inside == count


def test_moments_while_the_store_is_made(new_store, start, finish, content_of):
    undisturbed = new_store()
    process = start(undisturbed)
    made = registered = 0.0
    while process.is_alive() and not registered:
        made = made or (undisturbed.exists() and time.perf_counter())
        registered = ask(undisturbed, "SELECT 1 FROM run") and time.perf_counter()
    process.join()
    expected = content_of(undisturbed)

    moments, killed, span = random.Random(5), 0, registered - made
    for _ in range(15):
        store = new_store()
        process = start(store)
        while not store.exists() and process.is_alive():
            pass
        time.sleep(moments.uniform(0.0, span))
        if not kill(process):
            span /= 2  # this one was faster than the first: an earlier moment is drawn
            continue
        killed += 1
        with contextlib.suppress(StoreError):  # a reader may be told that there is no store yet
            open_store(store, mode="read").close()
        finish(store)
        assert is_sound(store)
        assert content_of(store) == expected
        if killed == 5:
            break
    assert killed == 5


@pytest.mark.postgres
def test_moments_while_a_server_stores_rows(start, finish, make_database, content_of):
    psycopg = pytest.importorskip("psycopg")
    undisturbed = make_database()
    finish(undisturbed)
    expected = content_of(undisturbed)
    moments, inside = random.Random(3), 0
    for _ in range(9):
        store, rows = make_database(), moments.randrange(1, LAYERS // 2)
        process = start(store)
        with psycopg.connect(store, autocommit=True) as connection:
            while process.is_alive():
                with contextlib.suppress(psycopg.errors.UndefinedTable):
                    if connection.execute("SELECT count(*) FROM spectrum").fetchone()[0] >= rows:
                        break
            kill(process)
            finish(store)
            computed, reused = connection.execute("SELECT computed, reused FROM run ORDER BY id DESC").fetchone()
        assert computed + reused == LAYERS
        assert reused >= rows
        assert content_of(store) == expected
        inside += computed > 0  # else the last row was faster than the signal
        if inside == 3:
            break
    assert inside == 3
