"""A backup is a whole store or it is not there, whatever happens meanwhile."""

import contextlib
import os
import resource
import sqlite3
import threading

import numpy as np
import pytest

import ww_core as ww
from ww_core.store import new_files
from ww_core.store.store import open_store


def net(number):
    return {f"{n}.weight": np.random.default_rng((number, n)).standard_normal((30, 20)) for n in range(3)}


@pytest.fixture
def path(tmp_path):
    """Path of a store of one model."""
    ww.analyze(net(0), store=tmp_path / "store.sqlite", name="net", metrics=["stable_rank"])
    return tmp_path / "store.sqlite"


@pytest.fixture
def target(tmp_path):
    """Path of a copy, in a folder of its own."""
    (tmp_path / "copies").mkdir()
    return tmp_path / "copies" / "copy.sqlite"


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_copy_is_a_store_with_the_same_content(path, target, content_of):
    with open_store(path, mode="read") as store:
        assert store.backup(target) == target.stat().st_size
    assert content_of(target) == content_of(path)
    assert names_in(target.parent) == ["copy.sqlite"]
    assert ww.analyze(net(0), store=target, name="net", metrics=["stable_rank"]).run.computed == 0


def test_a_store_in_memory_can_be_kept(target):
    with open_store() as store:
        report = ww.analyze(net(0), store=store, name="net")
        store.backup(target)
    with open_store(target, mode="read") as store:
        assert store.report("net").layers == report.layers


def test_a_copy_made_while_others_write_is_a_state_that_was(path, target):
    done = threading.Event()

    def write():
        number = 1
        while not done.is_set():
            ww.analyze(net(number), store=path, name="net", metrics=["stable_rank"])
            number += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        with open_store(path, mode="read") as store:
            for number in range(8):
                store.backup(target.with_name(f"{number}.sqlite"))
    finally:
        done.set()
        writer.join()
    versions = []
    for number in range(8):
        with open_store(target.with_name(f"{number}.sqlite"), mode="read") as store:
            assert store.verify().faults.keys() <= {"summary"}  # of a run that had just ended
            versions.append(len(store.versions()))
    assert versions == sorted(versions)
    assert versions[-1] > versions[0]


@pytest.mark.parametrize("kind", ["file", "folder", "dangling link", "the store itself"])
def test_nothing_is_overwritten(path, target, kind):
    if kind == "file":
        target.write_bytes(b"precious")
    elif kind == "folder":
        target.mkdir()
    elif kind == "dangling link":
        target.symlink_to("nowhere")
    else:
        target = path
    before = names_in(target.parent)
    with open_store(path) as store, pytest.raises(ww.UsageError, match=f"{target} exists already"):
        store.backup(target)
    assert [name for name in names_in(target.parent) if "-" not in name] == [n for n in before if "-" not in n]
    if kind == "file":
        assert target.read_bytes() == b"precious"


@pytest.mark.parametrize("links", [True, False], ids=["links", "no links"])
@pytest.mark.parametrize("taken", [True, False], ids=["taken", "free"])
def test_who_takes_the_name_meanwhile_keeps_it(path, target, monkeypatch, links, taken):
    link = os.link

    def take_and_link(source, name):
        if taken:
            target.write_bytes(b"theirs")
        if not links:
            raise PermissionError(1, "Operation not permitted")
        link(source, name)

    monkeypatch.setattr(os, "link", take_and_link)
    with open_store(path) as store:
        if taken:
            with pytest.raises(ww.UsageError, match="exists already"):
                store.backup(target)
            assert target.read_bytes() == b"theirs"
        else:
            store.backup(target)
            with open_store(target, mode="read") as copy:
                assert len(copy.versions()) == 1
    assert names_in(target.parent) == ["copy.sqlite"]


@pytest.mark.parametrize("ending", ["-journal", "-wal", "-shm"])
def test_what_is_left_of_another_store_is_no_part_of_a_copy(path, target, ending):
    left = target.with_name(target.name + ending)
    left.write_bytes(b"of a store that was removed")
    with open_store(path, mode="read") as store, pytest.raises(ww.UsageError, match=f"{ending} is there, and would be"):
        store.backup(target)
    assert names_in(target.parent) == [left.name]


def test_a_folder_that_is_missing(path, target):
    with open_store(path) as store, pytest.raises(ww.StoreError, match=r"no copy can be made at .*No such file"):
        store.backup(target.parent / "missing" / "copy.sqlite")


def test_a_full_disk_leaves_nothing(path, target):
    with open_store(path) as store:
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
        try:
            with pytest.raises(ww.StoreError, match=f"{target} failed"):
                store.backup(target)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert names_in(target.parent) == []
        store.backup(target)


def test_what_goes_wrong_at_the_end_leaves_nothing(path, target, monkeypatch):
    def interrupted(copy, target):
        raise KeyboardInterrupt

    monkeypatch.setattr(new_files, "_take_place", interrupted)
    with open_store(path) as store, pytest.raises(KeyboardInterrupt):
        store.backup(target)
    assert names_in(target.parent) == []


def test_of_a_damaged_store_no_copy_is_made(path, target):
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        ((page,),) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'value'")
        ((size,),) = connection.execute("PRAGMA page_size")
    with path.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\x00" * 100)
    with open_store(path) as store, pytest.raises(ww.StoreError, match="damaged"):
        store.backup(target)
    assert names_in(target.parent) == []


@pytest.mark.postgres
def test_a_server_has_its_own_way(make_database, target):
    with open_store(make_database()) as store, pytest.raises(ww.UsageError, match="pg_dump"):
        store.backup(target)
