"""Opening, closing and using a store: the same on every kind of database."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import func, insert, select, text
from sqlalchemy.exc import IntegrityError

import ww_core as ww
from ww_core.errors import MissingExtraError, NotAStoreError, ReadOnlyStoreError, StoreError
from ww_core.store import migrate, tables
from ww_core.store.default_location import default_location
from ww_core.store.engine import Location
from ww_core.store.store import open_store

pytestmark = pytest.mark.migrations


def add_model(store, name: str) -> None:
    with store._writing() as connection:
        connection.execute(insert(tables.model).values(name=name, created_at="2025-01-01T00:00:00Z"))


def names_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def count_models(connection) -> int:
    return connection.execute(select(func.count()).select_from(tables.model)).scalar_one()


# --- the contract -----------------------------------------------------------------------------------------------------


@pytest.fixture(params=["memory", "sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def store(request, tmp_path):
    """An open store of each kind."""
    if request.param == "memory":
        location = None
    elif request.param == "sqlite":
        location = tmp_path / "store.sqlite"
    else:
        location = request.getfixturevalue("make_database")()
    with open_store(location) as store:
        yield store


def test_what_is_written_is_there_after_reopening(new_store_url):
    with open_store(new_store_url) as store:
        assert not store.read_only
        add_model(store, "resnet")
    with open_store(new_store_url) as store, store._reading() as connection:
        assert count_models(connection) == 1
    with open_store(new_store_url, mode="read") as store, store._reading() as connection:
        assert store.read_only
        assert count_models(connection) == 1


def test_a_store_in_memory_ends_with_itself():
    with open_store() as store:
        add_model(store, "resnet")
        assert store.info().counts["model"] == 1
        assert store.location == ":memory:"
    with open_store() as store:
        assert store.info().counts["model"] == 0


def test_info(store_url):
    with open_store(store_url) as store:
        add_model(store, "resnet")
        info = store.info()
    assert info.revision == migrate.SCHEMA_HEAD
    assert info.counts == {
        "model": 1, "label": 0, "checkpoint": 0, "tensor": 0, "subject": 0, "value": 0, "spectrum": 0, "run": 0
    }  # fmt: skip
    if info.dialect == "sqlite":
        assert info.size > 100_000
        assert info.location == store_url
    else:
        assert info.size is None
        assert info.location.startswith("postgresql://ww@")


def test_an_exception_undoes_what_was_written(store):
    with pytest.raises(IntegrityError), store._writing() as connection:
        connection.execute(insert(tables.model), [{"name": "twice", "created_at": ""}] * 2)
    assert store.info().counts["model"] == 0


def test_transactions_do_not_nest(store):
    with pytest.raises(RuntimeError, match="do not nest"), store.reading():
        add_model(store, "resnet")
    add_model(store, "resnet")
    assert store.info().counts["model"] == 1


def test_closing_twice_is_no_error_and_using_a_closed_store_is_one(store):
    store.close()
    store.close()
    with pytest.raises(StoreError, match="closed"), store.reading():
        pass
    with pytest.raises(StoreError, match="closed"):
        add_model(store, "resnet")


def test_a_store_opened_for_reading_cannot_be_written(store_url):
    open_store(store_url).close()
    with open_store(store_url, mode="read") as store:
        with pytest.raises(ReadOnlyStoreError, match="opened for reading"):
            add_model(store, "resnet")
        with pytest.raises(ReadOnlyStoreError, match="cannot be written"), store._reading() as connection:
            connection.execute(insert(tables.model).values(name="x", created_at=""))


def test_readers_see_one_state_and_are_not_blocked(store_url):
    with open_store(store_url) as store, store._reading() as connection:
        assert count_models(connection) == 0
        writer = threading.Thread(target=add_model, args=(store, "resnet"))
        writer.start()
        writer.join(timeout=10)
        assert not writer.is_alive()
        assert count_models(connection) == 0
    with open_store(store_url) as store:
        assert store.info().counts["model"] == 1


def test_threads_share_a_store(store):
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda number: add_model(store, f"model-{number}"), range(100)))
        counts = set(threads.map(lambda _: store.info().counts["model"], range(20)))
    assert counts == {100}


# --- where a store lies -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["a b.db", "100%.db", "%20.db", "what?.db", "a#b.db", "größe-模型.db", "x.db?mode=ro", "a&b=c;d"]
)
@pytest.mark.parametrize("prefix", ["", "sqlite:///"])
def test_any_file_name_is_taken_as_it_stands(tmp_path, name, prefix):
    folder = tmp_path / name
    location = f"{prefix}{folder / name}"
    with open_store(location) as store:
        add_model(store, "resnet")
    assert names_in(folder) == [name]
    with open_store(location, mode="read") as store:
        assert store.info().counts["model"] == 1
        assert store.location == str(folder / name)


@pytest.mark.parametrize("name", ["a\0b", "a\ud800b", "~nobody-of-this-name/a"])
def test_a_path_at_which_no_file_can_be_is_one_sentence(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    with open_store(tmp_path / "store.sqlite") as store:
        for mode in ("write", "read"):
            with pytest.raises(ww.StoreError, match=": "):
                open_store(name, mode=mode)
        for write in (store.backup, store.export_folder):
            with pytest.raises(ww.UsageError, match=": "):
                write(name)
        with pytest.raises(ww.SourceError):
            store.import_folder(name)
    assert {path.name[:12] for path in tmp_path.iterdir()} == {"store.sqlite"}


def test_a_relative_path_means_one_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with open_store("x.db") as store:
        monkeypatch.chdir("/")
        add_model(store, "resnet")
    with open_store(tmp_path / "x.db", mode="read") as store:
        assert store.info().counts["model"] == 1


def test_home_is_expanded(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    open_store("~/x.db").close()
    assert (tmp_path / "x.db").is_file()


@pytest.mark.parametrize("location", [None, ":memory:", "sqlite://", "sqlite:///:memory:"])
def test_ways_to_say_memory(location):
    assert Location.of(location).in_memory


@pytest.mark.parametrize("scheme", ["postgresql", "postgresql+psycopg", "postgres"])
def test_ways_to_say_postgresql(scheme):
    location = Location.of(f"{scheme}://me:secret@host/db?sslpassword=hidden")
    assert location.url.drivername == "postgresql+psycopg"
    assert str(location) == "postgresql://me:***@host/db"


@pytest.mark.parametrize(
    "location", ["mysql://me:secret@host/db", "postgresql+psycopg2://me:secret@host/db", "s3://secret"]
)
def test_other_urls_are_refused(location):
    with pytest.raises(NotAStoreError, match="is no store: give a path") as caught:
        open_store(location)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("location", ["postgresql://me:pass@host:secret/db", "postgresql://me:secret"])
def test_an_unreadable_url_does_not_tell_its_password(location):
    with pytest.raises(NotAStoreError, match="%XX") as caught:
        open_store(location)
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is caught.value.__context__ is None  # nor does a traceback


def test_default_location(monkeypatch, tmp_path):
    monkeypatch.setenv("WW_STORE", "postgresql://host/db")
    assert default_location() == "postgresql://host/db"
    monkeypatch.setenv("WW_STORE", "")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path))
    assert Path(default_location()).name == "ww.sqlite"


def test_an_unknown_mode_is_refused():
    with pytest.raises(ValueError, match="'write' or 'read'"):
        open_store(mode="r")


def test_a_store_in_memory_cannot_be_opened_for_reading():
    with pytest.raises(NotAStoreError, match="in memory"):
        open_store(mode="read")


# --- what may be wrong with a place -----------------------------------------------------------------------------------


def test_reading_what_is_missing_makes_nothing(tmp_path):
    for path in (tmp_path / "x.db", tmp_path / "folder" / "x.db"):
        with pytest.raises(NotAStoreError, match="`ww analyze` makes one") as caught:
            open_store(path, mode="read")
        assert str(path) in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_reading_an_empty_database(new_store_url):
    if "://" not in new_store_url:
        Path(new_store_url).touch()
    with pytest.raises(NotAStoreError, match="`ww analyze` makes one"):
        open_store(new_store_url, mode="read")


def test_missing_folders_are_made(tmp_path):
    open_store(tmp_path / "a" / "b" / "x.db").close()
    assert (tmp_path / "a" / "b" / "x.db").is_file()


def test_folders_that_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="no store can be made"):
        open_store(tmp_path / "file" / "sub" / "x.db")


@pytest.mark.parametrize("mode", ["read", "write"])
def test_a_folder_is_no_store(tmp_path, mode):
    with pytest.raises(NotAStoreError, match="a store is a file"):
        open_store(tmp_path, mode=mode)


@pytest.mark.parametrize("mode", ["read", "write"])
@pytest.mark.parametrize("content", [b"x", b"name,alpha\nstem,3.5\n" * 1000, b"SQLite format 3\0" + b"x" * 5000])
def test_another_file_is_no_store(tmp_path, mode, content):
    path = tmp_path / "table.csv"
    path.write_bytes(content)
    with pytest.raises(NotAStoreError, match="not a SQLite database"):
        open_store(path, mode=mode)
    assert path.read_bytes() == content
    assert names_in(tmp_path) == ["table.csv"]


STRANGERS = {
    "plain": "CREATE TABLE model (id INTEGER PRIMARY KEY)",
    "wal": "PRAGMA journal_mode = WAL; CREATE TABLE run (id INTEGER PRIMARY KEY)",
    "alembic": "CREATE TABLE alembic_version (version_num TEXT); INSERT INTO alembic_version VALUES ('0001');"
    "CREATE TABLE studies (id INTEGER PRIMARY KEY)",
    "version": "CREATE TABLE alembic_version (version_num TEXT); INSERT INTO alembic_version VALUES ('90e64c465722')",
}


@pytest.mark.parametrize("mode", ["read", "write"])
@pytest.mark.parametrize("script", STRANGERS.values(), ids=STRANGERS)
def test_the_database_of_another_program_is_not_touched(tmp_path, mode, script):
    path = tmp_path / "stranger.db"
    connection = sqlite3.connect(path)
    connection.executescript(script)
    connection.close()
    content = path.read_bytes()
    with pytest.raises(NotAStoreError, match="another program"):
        open_store(path, mode=mode)
    assert path.read_bytes() == content
    if mode == "write":
        assert names_in(tmp_path) == ["stranger.db"]


@pytest.mark.postgres
@pytest.mark.parametrize("mode", ["read", "write"])
def test_the_server_database_of_another_program_is_not_touched(make_database, mode):
    import psycopg

    url = make_database()
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE model (id INTEGER PRIMARY KEY)")
    with pytest.raises(NotAStoreError, match="another program"):
        open_store(url, mode=mode)
    with psycopg.connect(url) as connection:
        tables_left = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
    assert tables_left == [("model",)]


@pytest.mark.postgres
def test_a_schema_of_its_own_in_a_shared_database(make_database):
    import psycopg

    url = make_database()
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE model (id INTEGER PRIMARY KEY)")
        connection.execute("CREATE SCHEMA ww")
    for mode in ("write", "read"):
        with open_store(url + "&options=-csearch_path%3Dww", mode=mode) as store:
            assert store.info().counts["model"] == 0


def test_a_folder_without_shared_memory_keeps_the_rollback_journal(tmp_path):
    path = tmp_path / "x.db"
    (tmp_path / "x.db-shm").mkdir()
    with open_store(path) as store:
        add_model(store, "resnet")
        with store._reading() as connection:
            assert connection.execute(text("PRAGMA journal_mode")).scalar_one() == "delete"


def test_pragmas(tmp_path):
    expected = {
        "busy_timeout": 30000,
        "foreign_keys": 1,
        "journal_mode": "wal",
        "synchronous": 1,
        "legacy_alter_table": 0,
    }
    open_store(tmp_path / "x.db").close()
    for mode, query_only in (("write", 0), ("read", 1)):
        with open_store(tmp_path / "x.db", mode=mode) as store, store._reading() as connection:
            for pragma, wanted in (expected | {"query_only": query_only}).items():
                assert connection.execute(text(f"PRAGMA {pragma}")).scalar_one() == wanted, pragma


# --- what may go wrong later ------------------------------------------------------------------------------------------


def set_pragma(store, pragma: str) -> None:
    """Set a pragma on the connection of a file: the pool has one, and hands it out again."""
    with store._reading() as connection:
        connection.execute(text(f"PRAGMA {pragma}"))


def test_a_locked_store(tmp_path):
    path = tmp_path / "x.db"
    with open_store(path) as store:
        set_pragma(store, "busy_timeout = 50")
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="locked by another program"):
            add_model(store, "resnet")
        assert store.info().counts["model"] == 0
        other.close()
        add_model(store, "resnet")


def test_a_full_disk(tmp_path):
    with open_store(tmp_path / "x.db") as store:
        set_pragma(store, "max_page_count = 1")
        rows = [{"name": f"{number:0250}", "created_at": ""} for number in range(1000)]
        with pytest.raises(StoreError, match="free some space"), store._writing() as connection:
            connection.execute(insert(tables.model), rows)
        assert store.info().counts["model"] == 0


@pytest.mark.parametrize("journal", ["WAL", "rollback"])
@pytest.mark.parametrize("event", ["removed", "moved", "folder removed", "replaced"])
def test_a_store_that_is_no_longer_where_it_was_opened(tmp_path, journal, event):
    path = tmp_path / "folder" / "x.db"
    path.parent.mkdir()
    if journal == "rollback":
        path.with_name("x.db-shm").mkdir()
    open_store(tmp_path / "other.db").close()
    with open_store(path) as store:
        add_model(store, "resnet")
        match event:
            case "removed":
                path.unlink()
            case "moved":
                path.rename(tmp_path / "moved.db")
            case "folder removed":
                shutil.rmtree(path.parent)
            case "replaced":
                (tmp_path / "other.db").replace(path)
        with pytest.raises(StoreError, match=f"{path} was moved, removed or replaced"):
            add_model(store, "lenet")


def test_a_store_under_a_link_and_one_that_another_program_has_written(tmp_path):
    (tmp_path / "link.db").symlink_to(tmp_path / "x.db")
    with open_store(tmp_path / "link.db") as store, open_store(tmp_path / "x.db") as other:
        for number in range(3):
            add_model(store, f"store-{number}")
            add_model(other, f"other-{number}")
        assert store.info().counts["model"] == other.info().counts["model"] == 6


@pytest.mark.parametrize("mode", ["read", "write"])
def test_a_damaged_store(tmp_path, mode):
    path = tmp_path / "x.db"
    open_store(path).close()
    content = path.read_bytes()
    path.write_bytes(content[:100] + b"\xff" * 8000 + content[8100:])
    with pytest.raises(StoreError, match="is damaged"):
        open_store(path, mode=mode)


@pytest.mark.postgres
def test_a_server_that_goes_away(make_database):
    import psycopg

    url = make_database()
    with open_store(url) as store:
        with store._reading() as connection:
            process = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
        with pytest.raises(StoreError, match=r"ended the work|no connection"), store._writing() as connection:
            connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
        with psycopg.connect(url) as other:
            other.execute("SELECT pg_terminate_backend(%s)", [process])
        add_model(store, "resnet")


@pytest.mark.postgres
def test_a_server_where_one_may_only_read(make_database):
    import psycopg

    url = make_database()
    open_store(url).close()
    with psycopg.connect(url) as connection:
        connection.execute("DROP ROLE IF EXISTS guest")
        connection.execute("CREATE ROLE guest LOGIN")
        connection.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO guest")
    try:
        with open_store(url.replace("ww@", "guest@")) as store, pytest.raises(ReadOnlyStoreError, match="permission"):
            add_model(store, "resnet")
    finally:
        with psycopg.connect(url) as connection:
            connection.execute("DROP OWNED BY guest")
            connection.execute("DROP ROLE guest")


@pytest.mark.postgres
@pytest.mark.parametrize("mode", ["read", "write"])
def test_a_database_that_the_server_does_not_have(postgresql_server, mode):
    with pytest.raises(StoreError, match='database "nowhere" does not exist'):
        open_store(f"postgresql://ww@/nowhere?host={postgresql_server}", mode=mode)


@pytest.mark.parametrize("mode", ["read", "write"])
def test_a_server_that_is_not_there(mode):
    pytest.importorskip("psycopg")
    with pytest.raises(StoreError, match="no connection to postgresql://me:") as caught:
        open_store("postgresql://me:secret@127.0.0.1:1/db?connect_timeout=2", mode=mode)
    assert "secret" not in str(caught.value)


def test_psycopg_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'ww-core\[postgres\]'"):
        open_store("postgresql://host/db")


def test_sqlite_is_too_old(monkeypatch):
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 34, 1))
    with pytest.raises(StoreError, match=r"needs SQLite 3\.35\.0"):
        open_store()


# --- places that cannot be written ------------------------------------------------------------------------------------


@contextlib.contextmanager
def guest():
    """Work as a user whom permission bits bind: root gives up its power for a while."""
    if os.getuid() != 0:
        yield
        return
    os.setresuid(65534, 65534, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)


@pytest.fixture
def shared_folder():
    """A folder that every user can look into: pytest's own are closed to others."""
    folder = Path(tempfile.mkdtemp(prefix="ww-shared-"))
    folder.chmod(0o755)
    yield folder
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755)
    shutil.rmtree(folder)


def test_a_log_that_another_user_left_is_named(shared_folder):
    path = shared_folder / "x.db"
    open_store(path).close()
    path.chmod(0o666)
    shared_folder.chmod(0o777)
    with open_store(path, mode="read") as reader:
        reader.versions()
        for ending in ("-wal", "-shm"):
            path.with_name(path.name + ending).chmod(0o444)
        sentence = "x.db cannot be written, as x.db-wal, which a reader left beside it, belongs to another user: remove"
        with guest(), pytest.raises(ReadOnlyStoreError, match=sentence), open_store(path) as store:
            add_model(store, "resnet")


@pytest.fixture
def read_only_store(shared_folder):
    """A store of one model, closed, in a folder that cannot be written."""
    path = shared_folder / "x.db"
    with open_store(path) as store:
        add_model(store, "resnet")
    path.chmod(0o444)
    shared_folder.chmod(0o555)
    return path


def test_a_store_in_a_read_only_folder_is_read(read_only_store):
    with guest(), open_store(read_only_store, mode="read") as store:
        assert store.info().counts["model"] == 1


def test_a_store_in_a_read_only_folder_is_not_opened_for_writing(read_only_store):
    with guest(), pytest.raises(ReadOnlyStoreError, match="read-only for this user"):
        open_store(read_only_store)


def test_a_read_only_file_in_a_folder_that_can_be_written(read_only_store):
    read_only_store.parent.chmod(0o777)
    with guest():
        with pytest.raises(ReadOnlyStoreError, match="read-only for this user"):
            open_store(read_only_store)
        with open_store(read_only_store, mode="read") as store:
            assert store.info().counts["model"] == 1


@pytest.mark.parametrize("name", ["x.db", "sub/x.db"])
def test_no_store_is_made_in_a_read_only_folder(shared_folder, name):
    shared_folder.chmod(0o555)
    with guest(), pytest.raises(ReadOnlyStoreError, match=r"read-only for this user|no store can be made"):
        open_store(shared_folder / name)
    assert names_in(shared_folder) == []


def test_a_folder_that_turns_read_only(shared_folder):
    shared_folder.chmod(0o777)
    with guest(), open_store(shared_folder / "x.db"):
        pass
    (shared_folder / "x.db").chmod(0o666)
    with guest(), open_store(shared_folder / "x.db") as store:
        set_pragma(store, "query_only = ON")
        with pytest.raises(ReadOnlyStoreError, match="cannot be written"):
            add_model(store, "resnet")


@pytest.mark.parametrize(("journal", "mode"), [("-wal", "WAL"), ("-journal", "DELETE")])
def test_a_store_that_was_not_closed_in_a_read_only_folder(shared_folder, journal, mode):
    open_store(shared_folder / "y.db").close()
    connection = sqlite3.connect(shared_folder / "y.db")
    connection.execute(f"PRAGMA journal_mode = {mode}")
    connection.execute("PRAGMA cache_size = 1")
    connection.executemany("INSERT INTO model (name, created_at) VALUES (?, '')", [(f"{n:0200}",) for n in range(3000)])
    for suffix in ("", journal):
        copy = shared_folder / f"x.db{suffix}"
        copy.write_bytes((shared_folder / f"y.db{suffix}").read_bytes())
        copy.chmod(0o444)
    connection.close()
    shared_folder.chmod(0o555)
    with guest(), pytest.raises(StoreError, match="was not closed"):
        open_store(shared_folder / "x.db", mode="read")


def test_a_file_that_cannot_be_read(shared_folder):
    path = shared_folder / "x.db"
    open_store(path).close()
    path.chmod(0o000)
    with guest(), pytest.raises(StoreError, match="cannot be opened: check its permissions"):
        open_store(path, mode="read")


@pytest.mark.parametrize("kind", ["matrix", "layer"])
def test_rows_that_contradict_each_other_are_one_sentence(tmp_path, kind):
    path = tmp_path / "store.sqlite"
    ww.analyze({"fc.weight": np.eye(4)}, store=path)
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE subject_kind SET name = 'x' WHERE name = ?", [kind])
    with pytest.raises(StoreError, match="is damaged, rows in it contradict each other: look with `ww db check`"):
        ww.analyze({"fc.weight": 2 * np.eye(4)}, store=path)


def test_a_store_that_lacks_a_part_is_one_sentence_on_both_databases(new_store_url, weights):
    ww.analyze(weights, store=new_store_url, name="net")
    with open_store(new_store_url, mode="read") as reader:
        with open_store(new_store_url) as store, store._writing() as connection:
            connection.exec_driver_sql("ALTER TABLE metric_column DROP COLUMN standard_error")
        with pytest.raises(ww.NotAStoreError, match="lacks a part"):
            reader.report("net")
