"""An export or an import that is killed leaves what was there, or all of it, and nothing in between."""

from __future__ import annotations

import contextlib
import random
import signal
import sqlite3
import time

import numpy as np
import pytest
from safetensors.numpy import save_file

import ww_core as ww
from ww_core.store import tables
from ww_core.store.store import open_store

pytestmark = [pytest.mark.slow, pytest.mark.long_on_a_server]

KILLS = 4


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Path of a store whose rows take some time."""
    folder = tmp_path_factory.mktemp("source")
    drawn = np.random.default_rng(0)
    for version in range(3):
        net = {f"{n}.weight": drawn.standard_normal((12, 10 + n % 3), dtype=np.float32) for n in range(150)}
        save_file(net, folder / "net.safetensors")
        ww.analyze(folder / "net.safetensors", store=folder / "store.sqlite", name="net", version=str(version))
    return folder / "store.sqlite"


def kill_at(process, moment):
    """Kill a process some seconds after its start, and return whether it was at work."""
    time.sleep(moment)
    process.kill()
    process.join()
    assert process.exitcode in {0, -signal.SIGKILL}
    return process.exitcode != 0


def seconds_of(start):
    began = time.perf_counter()
    process = start()
    process.join()
    assert process.exitcode == 0
    return time.perf_counter() - began


def is_written(location):
    """Whether a transaction is going on that writes."""
    if "://" in location:
        import psycopg

        with psycopg.connect(location, autocommit=True) as connection:
            return connection.execute("SELECT 1 FROM pg_locks WHERE locktype = 'advisory'").fetchone() is not None
    with contextlib.closing(sqlite3.connect(location, timeout=0, isolation_level=None)) as connection:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return True
        connection.execute("ROLLBACK")
    return False


def content(location):
    """Versions, and rows of all tables together, of a store that is sound."""
    with open_store(location) as store:
        assert store.verify().faults == {}
        with store._reading() as connection:
            counts = [len(connection.execute(own.select()).all()) for own in tables.metadata.tables.values()]
        return len(store.versions()), sum(counts)


def fill(store):
    ww.analyze({"w.weight": np.eye(5)}, store=store, name="here")


@pytest.mark.stress
def test_an_import_that_is_killed(source, make_copy, forked_ww, tmp_path):
    ww.export_folder(tmp_path / "folder", store=source)

    def start(target):
        """Start an import, and wait for its transaction."""
        process = forked_ww("import", tmp_path / "folder", "--store", target)
        while process.is_alive() and not is_written(target):
            time.sleep(0.002)
        return process

    undisturbed = make_copy(fill)
    before = content(undisturbed)
    process, began = start(undisturbed), time.perf_counter()
    process.join()
    span, after = time.perf_counter() - began, content(undisturbed)
    assert (before[0], after[0]) == (1, 4)
    moments, undone = random.Random(1), 0
    for _ in range(6 * KILLS):
        target = make_copy(fill)
        kill_at(start(target), moments.uniform(0.0, 0.9) * span)
        found = content(target)
        assert found in {before, after}
        undone += found == before
        if undone == KILLS:
            break
    assert undone == KILLS
    start(target).join()
    assert content(target) == after


def test_an_export_that_is_killed(source, forked_ww, tmp_path):
    def start():
        return forked_ww("export", "--output", tmp_path / "folder", "--store", source)

    span = seconds_of(start)
    expected = ww.export_folder(tmp_path / "expected", store=source).digest
    moments, killed = random.Random(2), 0
    for _ in range(4 * KILLS):
        with contextlib.suppress(FileNotFoundError):
            (tmp_path / "folder").rename(tmp_path / f"before-{time.perf_counter_ns()}")
        was_killed = kill_at(start(), moments.uniform(0.3, 1.0) * span)
        killed += was_killed
        span *= 1.0 if was_killed else 0.8  # the first one may have taken longer than those that follow
        if (tmp_path / "folder").exists():
            with open_store() as store:
                assert store.import_folder(tmp_path / "folder").digest == expected
        if killed == KILLS:
            break
    assert killed > 0
