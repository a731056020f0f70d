"""What lies beside an SQLite store while it is read is gone when nobody has it open any more."""

import sqlite3
import threading

import numpy as np
import pytest

import ww_core as ww

WEIGHTS = {"a.weight": np.random.default_rng(0).standard_normal((12, 8))}


@pytest.fixture
def store(tmp_path):
    path = tmp_path / "store.sqlite"
    ww.analyze(WEIGHTS, store=path, name="net", version="1")
    return path


def read(path):
    with ww.open_store(path, mode="read") as opened:
        return [own.version for own in opened.versions()]


def beside(path):
    return {own.name for own in path.parent.iterdir()} - {path.name}


def test_nothing_is_left_and_nothing_was_written(store):
    before = store.read_bytes(), store.stat().st_mtime_ns
    assert read(store) == ["1"]
    assert not beside(store)
    assert (store.read_bytes(), store.stat().st_mtime_ns) == before


def test_a_reader_takes_nothing_from_others_who_have_it_open(store):
    with ww.open_store(store) as writer, ww.open_store(store, mode="read") as other:
        assert len(other.versions()) == 1
        ww.analyze(WEIGHTS, store=writer, name="net", version="2")
        assert read(store) == ["1", "2"]
        assert beside(store) == {"store.sqlite-wal", "store.sqlite-shm"}
        ww.analyze(WEIGHTS, store=writer, name="net", version="3")
        assert len(other.versions()) == 3
    assert not beside(store)
    assert read(store) == ["1", "2", "3"]
    assert not beside(store)


def test_a_log_of_a_program_that_was_killed_is_read_and_left(store, tmp_path):
    copy = tmp_path / "copy" / "store.sqlite"
    copy.parent.mkdir()
    with ww.open_store(store) as writer:
        ww.analyze(WEIGHTS, store=writer, name="net", version="2")
        for ending in ("", "-wal"):
            copy.with_name(copy.name + ending).write_bytes(store.with_name(store.name + ending).read_bytes())
    log = copy.with_name("store.sqlite-wal")
    before = copy.read_bytes(), log.read_bytes()
    assert before[1]
    assert read(copy) == ["1", "2"]
    assert (copy.read_bytes(), log.read_bytes()) == before


def test_a_log_that_leads_elsewhere_is_not_followed(store, tmp_path):
    other = tmp_path / "other"
    with ww.open_store(store, mode="read") as opened:
        opened.versions()
        log = store.with_name("store.sqlite-wal")
        log.unlink()
        log.symlink_to(other)
    assert not other.exists()
    assert log.is_symlink()


def test_readers_that_come_and_go_beside_a_writer_disturb_nobody(store):
    over, faults = threading.Event(), []

    def come_and_go():
        try:
            while not over.is_set():
                read(store)
        except Exception as error:
            faults.append(error)

    readers = [threading.Thread(target=come_and_go) for _ in range(4)]
    for reader in readers:
        reader.start()
    for number in range(2, 12):
        ww.analyze(WEIGHTS, store=store, name="net", version=str(number))
    over.set()
    for reader in readers:
        reader.join()
    assert not faults
    ww.open_store(store).close()  # a log with something in it is a writer's to empty
    assert len(read(store)) == 11
    assert not beside(store)
    with sqlite3.connect(store) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()
