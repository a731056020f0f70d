"""A full disk, a folder that vanishes, a file that becomes another: one sentence, and nothing stored is lost."""

import contextlib
import os
import re
import shutil
import sqlite3
import subprocess
import time

import pytest

import ww_core as ww
from ww_core.store.store import open_store

pytestmark = [pytest.mark.slow, pytest.mark.migrations]

PLACE = 3


@pytest.fixture
def analyze(forked_ww, many_layers):
    """A function that analyses the model into a store, and returns the exit code and what was printed."""

    def analyzed(store, **limits):
        return forked_ww.output(forked_ww("analyze", many_layers, "--jobs", 2, "--store", store, **limits))

    return analyzed


@pytest.fixture(scope="module")
def undisturbed(many_layers, tmp_path_factory):
    """A store of the model that nothing has disturbed."""
    path = tmp_path_factory.mktemp("undisturbed") / "store.sqlite"
    ww.analyze(many_layers, store=path)
    return path


def fails(answer, pattern):
    code, output = answer
    assert code == PLACE, output
    (sentence,) = output.splitlines()
    assert re.match(f"error: .*{pattern}", sentence), sentence


def ask(store, question):
    with contextlib.closing(sqlite3.connect(f"{store.as_uri()}?mode=ro", uri=True)) as connection:
        return connection.execute(question).fetchall()


# --- too little room --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("new_store", "room"),
    [
        ("WAL", 4096),  # the first page
        ("WAL", 300_000),  # the schema
        ("WAL", 500_000),  # the checkpoint
        ("WAL", 750_000),  # rows
        pytest.param("WAL", 800_000, marks=pytest.mark.stress),
        ("rollback journal", 300_000),
        pytest.param("rollback journal", 400_000, marks=pytest.mark.stress),
        pytest.param("rollback journal", 450_000, marks=pytest.mark.stress),
        ("rollback journal", 550_000),
    ],
    indirect=["new_store"],
)
def test_files_that_cannot_grow(analyze, new_store, undisturbed, content_of, room):
    store = new_store()
    fails(analyze(store, largest_file=room), f"{store} .*free space")
    assert ask(store, "PRAGMA integrity_check") == [("ok",)]
    assert analyze(store)[0] == 0
    assert content_of(store) == content_of(undisturbed)


@pytest.fixture
def small_disk(tmp_path):
    """A function that makes a disk of so many bytes, or gives the one there is another size."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def resize(size):
        options = f"size={size}" if not folder.is_mount() else f"remount,size={size}"
        command = ["mount", "-t", "tmpfs", "-o", options, "ww-test", str(folder)]
        try:
            subprocess.run(command, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            pytest.skip("no disk can be mounted here")
        return folder

    yield resize
    if folder.is_mount():
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize(
    "room",
    [
        60_000,
        pytest.param(300_000, marks=pytest.mark.stress),
        500_000,
        pytest.param(750_000, marks=pytest.mark.stress),
        800_000,
    ],
)
def test_a_disk_that_is_full(analyze, small_disk, undisturbed, content_of, room):
    store = small_disk(room) / "store.sqlite"
    fails(analyze(store), f"no room left on the disk for {store}")
    assert ask(store, "PRAGMA integrity_check") == [("ok",)]
    small_disk(10_000_000)
    assert analyze(store)[0] == 0
    assert content_of(store) == content_of(undisturbed)


# --- places that change while they are used ---------------------------------------------------------------------------


def removed(store):
    store.unlink()


def folder_removed(store):
    shutil.rmtree(store.parent)


def replaced(store):
    store.with_name("other.sqlite").replace(store)


def overwritten(store):
    with store.open("r+b") as file:
        file.write(os.urandom(store.stat().st_size))


@pytest.mark.stress
@pytest.mark.parametrize("event", [removed, folder_removed, replaced, overwritten], ids=lambda event: event.__name__)
def test_a_store_that_is_taken_away_while_rows_are_written(forked_ww, many_layers, new_store, event):
    store = new_store()
    open_store(store.with_name("other.sqlite")).close()
    command = ("analyze", many_layers, "--jobs", 2, "--store", store)
    assert forked_ww.output(forked_ww(*command, "--precision", "float32"))[0] == 0
    process = forked_ww(*command)
    while process.is_alive() and ask(store, "SELECT count(*) FROM run") == [(1,)]:
        time.sleep(0.001)
    event(store)
    reason = "is damaged|is not a SQLite database" if event is overwritten else "was moved, removed or replaced"
    fails(forked_ww.output(process), f"{store} .*({reason})")
