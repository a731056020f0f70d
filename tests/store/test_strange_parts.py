"""Parts of a store that ww does not make: those that would act are refused, others are listed and not used."""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import sqlite3
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import ww_core as ww
from ww_core.store import migrate, schema
from ww_core.store.engine import _open_file, driver_of
from ww_core.store.store import open_store, upgrade_store


@pytest.fixture(scope="module")
def sound_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("sound") / "store.sqlite"
    ww.analyze({"fc.weight": np.eye(4)}, store=path, name="net")
    return path


@pytest.fixture
def file(sound_file, tmp_path):
    """Path of a store in a file."""
    return shutil.copyfile(sound_file, tmp_path / "store.sqlite")


def change(path: Path, script: str) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript(script)
        connection.commit()


def rewrite(name: str, old: str, new: str) -> str:
    """Return a script that puts another text into a definition of the catalogue."""
    told = f"SET sql = replace(sql, '{old}', '{new}') WHERE name = '{name}'"
    return f"PRAGMA writable_schema = ON; UPDATE sqlite_master {told}"


ENDLESS = "WITH RECURSIVE r(x) AS (SELECT 1 UNION ALL SELECT x FROM r) SELECT x AS series, x AS model FROM r"

REFUSED = {
    "trigger": ("CREATE TRIGGER t AFTER INSERT ON run BEGIN DELETE FROM value; END", "trigger 't' of 'run'"),
    "trigger on a view": ("CREATE TRIGGER t INSTEAD OF INSERT ON v_series BEGIN SELECT 1; END", "trigger 't'"),
    "trigger on another table": (
        "CREATE TABLE x (a); CREATE TRIGGER t AFTER DELETE ON x BEGIN DELETE FROM value; END",
        "trigger 't' of 'x'",
    ),
    "endless view": (f"DROP VIEW v_series; CREATE VIEW v_series AS {ENDLESS}", "view 'v_series'"),
    "view in place of a table": (
        (
            "PRAGMA legacy_alter_table = ON; ALTER TABLE column_caveat RENAME TO x;"
            "CREATE VIEW column_caveat AS SELECT * FROM x"
        ),
        "view 'column_caveat'",
    ),
    "view in place of the revision": (
        f"DROP TABLE alembic_version; CREATE VIEW alembic_version AS {ENDLESS}",
        "another program",
    ),
    "view that calls itself a table": (
        (
            f"DROP TABLE alembic_version; CREATE VIEW alembic_version AS {ENDLESS}; PRAGMA writable_schema = ON;"
            "UPDATE sqlite_master SET type = 'table' WHERE name = 'alembic_version'"
        ),
        "another program|is damaged",
    ),
    "trigger that calls itself an index": (
        (
            "CREATE TABLE x (a); CREATE TRIGGER t AFTER DELETE ON x BEGIN SELECT 1; END; PRAGMA writable_schema = ON;"
            "UPDATE sqlite_master SET type = 'index' WHERE name = 't'"
        ),
        "index 't' of 'x'|is damaged",
    ),
    "missing view": ("DROP VIEW v_models", "lacks a part.*view 'v_models'"),
    "missing index": ("DROP INDEX ix_layer_weight_id", "lacks a part.*index 'ix_layer_weight_id'"),
    "added column": ("ALTER TABLE model ADD COLUMN more", "table 'model'"),
    "generated column": ("ALTER TABLE run ADD COLUMN more AS (hex(zeroblob(100000000)))", "table 'run'"),
    "default that computes": (
        rewrite("value", "reason TEXT NOT NULL", "reason TEXT DEFAULT (hex(zeroblob(99999999))) NOT NULL"),
        "table 'value'",
    ),
    "rule that computes": (
        rewrite("run", "state IN (''running''", "length(randomblob(99999999)) AND state IN (''running''"),
        "table 'run'",
    ),
    "other letters": (
        "ALTER TABLE column_caveat RENAME TO x; ALTER TABLE x RENAME TO Column_Caveat",
        "lacks a part.*table 'column_caveat'",
    ),
    "unique index": ("CREATE UNIQUE INDEX u ON value (subject_id, column_id, state)", "index 'u' of 'value'"),
    "partial index": ("CREATE INDEX u ON value (number) WHERE number > 1", "index 'u' of 'value'"),
    "index of an expression": ("CREATE INDEX u ON value (hex(zeroblob(1)))", "index 'u' of 'value'"),
    "table that holds rows fast": ("CREATE TABLE x (a REFERENCES model (id) ON DELETE CASCADE)", "table 'x'"),
}


@pytest.mark.parametrize("mode", ["read", "write"])
@pytest.mark.parametrize(("script", "words"), REFUSED.values(), ids=REFUSED)
def test_a_part_that_would_act_is_refused(file, mode, script, words):
    change(file, script)
    content = file.read_bytes()
    with pytest.raises(ww.StoreError, match=words) as caught:
        open_store(file, mode=mode)
    assert "\n" not in str(caught.value)
    assert file.read_bytes() == content


@pytest.mark.parametrize("command", ["show", "analyze {}", "db check"])
def test_no_command_gets_past_a_trigger(ww_here, model_file, sound_file, command):
    shutil.copyfile(sound_file, ww_here.store)
    change(ww_here.store, REFUSED["trigger"][0])
    done = ww_here(*command.format(model_file).split())
    assert done.returncode == 3
    assert "trigger 't' of 'run'" in done.stderr
    with contextlib.closing(sqlite3.connect(ww_here.store)) as connection:
        assert connection.execute("SELECT count(*) FROM value").fetchone() > (0,)


def test_an_older_store_with_a_trigger_is_not_upgraded(tmp_path):
    import lzma

    path = tmp_path / "old.sqlite"
    compressed = Path(__file__).with_name("revisions") / "0001.sqlite.xz"
    path.write_bytes(lzma.decompress(compressed.read_bytes()))
    change(path, REFUSED["trigger"][0])
    content = path.read_bytes()
    for attempt in (upgrade_store, open_store):
        with pytest.raises(ww.StoreError, match="trigger 't' of 'run'"):
            attempt(path)
    assert path.read_bytes() == content


OTHERS = """
CREATE TABLE notes (text);
CREATE UNIQUE INDEX of_notes ON notes (text);
CREATE INDEX more ON value (number);
CREATE VIEW mine AS WITH RECURSIVE r(x) AS (SELECT 1 UNION ALL SELECT x FROM r) SELECT x FROM r;
ANALYZE;
"""


def test_what_others_have_added_and_does_nothing_is_listed_and_kept(ww_here):
    ww.analyze({"fc.weight": np.eye(4)}, store=ww_here.store, name="net")
    change(ww_here.store, OTHERS)
    ww.analyze({"fc.weight": np.eye(5)}, store=ww_here.store, name="net")
    said = ww_here("db", "check")
    assert said.returncode == 0, said.stderr
    listed = "view mine, index more, table notes, index of_notes, table sqlite_stat1"
    assert said.stdout.splitlines()[0].startswith(f"not made by ww, and not used by it: {listed}")
    assert "view mine" in json.loads(ww_here("db", "check", "--json").stdout)["others"]
    assert ww_here("db", "gc").returncode == 0
    assert ww_here("show", "net").returncode == 0


# --- the digests ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("revision", schema.FILE_DIGESTS)
def test_digests_are_those_of_what_migrations_make(revision):
    parts = migrate._parts_made(revision)
    assert all(part.is_own for part in parts)
    assert schema.digest_of_parts(parts) == schema.FILE_DIGESTS[revision]


def test_every_revision_has_a_digest():
    from alembic.script import ScriptDirectory

    scripts = ScriptDirectory(str(migrate.scripts_folder())).walk_revisions()
    assert {script.revision for script in scripts} == set(schema.FILE_DIGESTS)


def test_a_store_that_this_program_words_otherwise_is_taken(file, monkeypatch):
    monkeypatch.setitem(schema.FILE_DIGESTS, migrate.SCHEMA_HEAD, "what another SQLAlchemy makes")
    open_store(file).close()
    change(file, REFUSED["added column"][0])
    with pytest.raises(ww.StoreError, match="table 'model'"):
        open_store(file)


# --- a server ---------------------------------------------------------------------------------------------------------

ON_A_SERVER = {
    "trigger": (
        (
            "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN DELETE FROM value; RETURN NULL; END';"
            "CREATE TRIGGER t AFTER INSERT ON run EXECUTE FUNCTION f()"
        ),
        "trigger 't' of 'run'",
    ),
    "rule": ("CREATE RULE r AS ON INSERT TO run DO ALSO DELETE FROM value", "rule 'r' of 'run'"),
    "part of a table": ("CREATE TABLE child () INHERITS (value)", "table 'child' of 'value'"),
    "unique index": ("CREATE UNIQUE INDEX u ON value (subject_id, column_id, state)", "index 'u' of 'value'"),
    "index of an expression": ("CREATE INDEX u ON value (abs(number))", "index 'u' of 'value'"),
    "view of another table": (
        (
            "CREATE TABLE x (series text, model text, version text, is_reported bool);"
            "CREATE OR REPLACE VIEW v_series AS SELECT * FROM x"
        ),
        "table 'x' of 'v_series'",
    ),
    "view with a function": (
        (
            "CREATE FUNCTION f(text) RETURNS text LANGUAGE sql AS 'SELECT $1';"
            "CREATE OR REPLACE VIEW v_series AS SELECT f(name) AS series, name AS model, name AS version,"
            " true AS is_reported FROM model"
        ),
        "function 'f' of 'v_series'",
    ),
    "view with another column": ("ALTER VIEW v_series RENAME COLUMN model TO more", "view 'v_series'"),
    "missing view": ("DROP VIEW v_series", "lacks a part.*view 'v_series'"),
    "added column": ("ALTER TABLE run ADD COLUMN more text", "table 'run'"),
    "generated column": ("ALTER TABLE run ADD COLUMN more int GENERATED ALWAYS AS (1) STORED", "table 'run'"),
    "default": ("ALTER TABLE run ALTER COLUMN state SET DEFAULT 'done'", "table 'run'"),
    "view in place of a table": (
        "ALTER TABLE file_digest RENAME TO x; CREATE VIEW file_digest AS SELECT * FROM x",
        "file_digest'",
    ),
}


def looked_at_with(store, script):
    """Look at the parts of a store on a server as they are after a script, which is undone if they are refused."""
    with store._writing() as connection:
        connection.exec_driver_sql(script)
        schema.check_active_parts(connection, store._location)
        schema.check_columns(connection, store._location)


@pytest.mark.postgres
def test_parts_on_a_server(make_database, subtests):
    import psycopg

    url = make_database()
    with open_store(url) as store:
        for name, (script, words) in ON_A_SERVER.items():
            with subtests.test(name), pytest.raises(ww.StoreError, match=words):
                looked_at_with(store, script)
    with psycopg.connect(url) as connection:
        connection.execute(
            "CREATE TABLE notes (id int PRIMARY KEY); CREATE INDEX more ON value (number);"
            "CREATE VIEW mine AS SELECT * FROM v_models"
        )
    with open_store(url) as store:
        assert store.verify().others == ("index more", "table notes", "view mine")
    with psycopg.connect(url) as connection:
        connection.execute(ON_A_SERVER["trigger"][0])
    open_store(url).close()  # looked at once in a process
    migrate._checked.clear()
    with pytest.raises(ww.StoreError, match="trigger 't' of 'run'"):
        open_store(url, mode="read")


# --- what a connection believes ---------------------------------------------------------------------------------------


def test_a_connection_believes_a_file_less(file):
    for mode in ("read", "write"):
        with open_store(file, mode=mode) as store, store._reading() as connection:
            driver = driver_of(connection)
            assert driver.execute("PRAGMA trusted_schema").fetchone() == (0,)
            assert driver.execute("PRAGMA cell_size_check").fetchone() == (1,)
            with pytest.raises(sqlite3.DataError, match="too big"):
                driver.execute("SELECT length(zeroblob(300000000))").fetchone()


def test_a_statement_that_never_ends_can_be_interrupted(file):
    with contextlib.closing(_open_file(str(file), uri=False)) as connection:
        timer = threading.Timer(0.2, signal.raise_signal, [signal.SIGINT])
        timer.start()
        began = time.monotonic()
        with pytest.raises(sqlite3.OperationalError, match="interrupted"):
            connection.execute(f"SELECT count(*) FROM ({ENDLESS})").fetchone()
        assert time.monotonic() - began < 5


@pytest.mark.parametrize("door", ["sqlalchemy", "driver"])
def test_an_interruption_within_a_transaction_is_one(file, door):
    query = f"SELECT count(*) FROM ({ENDLESS})"

    def ask(store):
        with store._reading() as connection:
            (connection.exec_driver_sql if door == "sqlalchemy" else driver_of(connection).execute)(query).fetchone()

    with open_store(file, mode="read") as store:
        timer = threading.Timer(0.2, signal.raise_signal, [signal.SIGINT])
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            ask(store)
        assert store.info().counts["model"] == 1
