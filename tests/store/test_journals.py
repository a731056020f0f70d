"""What lies beside a store: a journal that names another file, and links, would change what is not the store's."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import struct
from pathlib import Path

import numpy as np
import pytest

import ww_core as ww
from ww_core.store.store import open_existing_store, open_store, upgrade_store

pytestmark = pytest.mark.migrations

MAGIC = bytes.fromhex("d9d505f920a163d7")


@pytest.fixture(scope="module")
def sound_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("sound") / "store.sqlite"
    ww.analyze({"fc.weight": np.eye(4)}, store=path, name="net")
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
    return path


@pytest.fixture
def file(sound_file, tmp_path):
    """Path of a store in a file, with a rollback journal."""
    return shutil.copyfile(sound_file, tmp_path / "store.sqlite")


@pytest.fixture
def victim(tmp_path):
    """A file that is none of the store's."""
    path = tmp_path / "thesis.txt"
    path.write_text("ten years of work")
    return path


def hot_journal(file: Path, *, pages: int = 1) -> bytes:
    """Return a journal that SQLite would play back: it brings the first pages back as they are."""
    content = file.read_bytes()
    size = struct.unpack(">H", content[16:18])[0]
    nonce = 7
    head = MAGIC + struct.pack(">IIIII", pages, nonce, len(content) // size, 512, size)
    journal = head.ljust(512, b"\0")
    for number in range(1, pages + 1):
        page = content[(number - 1) * size : number * size]
        checksum = (nonce + sum(page[size - 200 : 0 : -200])) & 0xFFFFFFFF
        journal += struct.pack(">I", number) + page + struct.pack(">I", checksum)
    return journal


def naming(path: Path) -> bytes:
    """Return the end of a journal that names another file."""
    name = os.fsencode(path)
    lock_page = struct.pack(">I", 262145)
    return lock_page + name + struct.pack(">II", len(name), sum(name)) + MAGIC


DOORS = {
    "read": lambda path: open_store(path, mode="read"),
    "write": open_store,
    "existing": open_existing_store,
    "upgrade": upgrade_store,
}


def test_sqlite_does_what_is_feared(file, victim):
    """The journals of these tests are ones that SQLite believes: else they would show nothing."""
    file.with_name("store.sqlite-journal").write_bytes(hot_journal(file) + naming(victim))
    with contextlib.closing(sqlite3.connect(file)) as connection:
        connection.execute("SELECT count(*) FROM model").fetchone()
    assert not victim.exists()


@pytest.mark.parametrize("door", DOORS.values(), ids=DOORS)
@pytest.mark.parametrize("name", ["thesis.txt", "missing.txt", "wrong checksum"])
def test_a_journal_that_names_another_file_is_refused(file, victim, door, name):
    ending = naming(victim.with_name(name) if name != "wrong checksum" else victim)
    if name == "wrong checksum":
        ending = ending[:-12] + b"\0\0\0\1" + MAGIC
    journal = file.with_name("store.sqlite-journal")
    journal.write_bytes(hot_journal(file) + ending)
    before = {path: path.read_bytes() for path in file.parent.iterdir()}
    with pytest.raises(ww.StoreError, match="names another file, which SQLite would delete") as caught:
        door(file)
    assert "with no program" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert {path: path.read_bytes() for path in file.parent.iterdir()} == before


def test_a_journal_behind_a_link_is_refused(file, victim, tmp_path):
    file.with_name("store.sqlite-journal").write_bytes(hot_journal(file) + naming(victim))
    link = tmp_path / "elsewhere" / "link.sqlite"
    link.parent.mkdir()
    link.symlink_to(file)
    with pytest.raises(ww.StoreError, match="names another file"):
        open_store(link)
    assert victim.exists()


@pytest.mark.parametrize("command", ["show", "analyze {}", "db check --repair"])
def test_no_command_opens_it(ww_here, file, victim, model_file, command):
    assert ww_here.store == file
    file.with_name("store.sqlite-journal").write_bytes(hot_journal(file) + naming(victim))
    done = ww_here(*command.format(model_file).split())
    assert done.returncode == 3
    assert "names another file" in done.stderr
    assert victim.exists()


def test_a_journal_of_the_store_alone_is_played_back_by_what_writes(file):
    journal = file.with_name("store.sqlite-journal")
    journal.write_bytes(hot_journal(file))
    with pytest.raises(ww.StoreError, match="was not closed, and is not repaired by reading"):
        open_store(file, mode="read")
    with open_store(file) as store:
        assert store.info().counts["model"] == 1
    assert not journal.exists()


@pytest.mark.parametrize("ending", ["-journal", "-wal", "-shm"])
@pytest.mark.parametrize("kind", ["link", "dangling link", "pipe"])
@pytest.mark.parametrize("has_store", [True, False])
def test_a_part_that_is_no_file_is_refused(sound_file, tmp_path, victim, ending, kind, has_store):
    file = tmp_path / "store.sqlite"
    if has_store:
        shutil.copyfile(sound_file, file)
    part = tmp_path / f"store.sqlite{ending}"
    match kind:
        case "link":
            part.symlink_to(victim)
        case "dangling link":
            part.symlink_to(tmp_path / "new.txt")
        case "pipe":
            os.mkfifo(part)
    for door in [*DOORS.values()] if has_store else [open_store]:
        with pytest.raises(ww.StoreError, match=f"{part} is a link, a pipe or a device"):
            door(file)
    assert victim.read_text() == "ten years of work"
    assert not (tmp_path / "new.txt").exists()
    assert file.exists() == has_store


def test_a_log_of_another_store_is_not_believed(file, tmp_path):
    """SQLite goes by numbers in the log, which are drawn anew for each: nothing of ours looks at it."""
    other = tmp_path / "other.sqlite"
    ww.analyze({"fc.weight": 2 * np.eye(4)}, store=other, name="other")
    with open_store(other) as store, store.writing() as writer:
        writer.record_members("series", ["other"])
        log = other.with_name("other.sqlite-wal").read_bytes()
    file.with_name("store.sqlite-wal").write_bytes(log)
    with open_store(file) as store:
        assert [version.model for version in store.versions()] == ["net"]
        assert store.verify().faults == {}
