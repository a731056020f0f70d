"""Queries in SQL: what they answer, that they can do nothing else, and that they end; on both databases."""

import json
import math
import os
import re
import signal
import sqlite3
import stat
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ww_core as ww
from ww_core.domain.sql_answer import SqlAnswer, named_once
from ww_core.store import sql, sqlite_query
from ww_core.store.store import open_store
from ww_core.store.views import VIEWS

ROOT = Path(__file__).resolve().parents[2]
NUMBERS = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < {}) SELECT x FROM n"
ENDLESS = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) "
ONE_SELECT = "a query is one SELECT on tables and views of the store"
SLACK = 8.0  # seconds for a machine that is busy with other tests


def doubled(depth, how=""):
    """A query of a few lines that is twice as long with each of them, once every name is written out."""
    parts = [f"c{i} AS {how} (SELECT a.x FROM c{i - 1} a, c{i - 1} b)" for i in range(1, depth)]
    return f"WITH c0 AS (SELECT 1 AS x), {', '.join(parts)} SELECT count(*) FROM c{depth - 1}"


def fill(store):
    drawn = np.random.Generator(np.random.Philox(7))
    for version in ("a", "b"):
        own = {f"layer{i}.weight": drawn.standard_normal((20 + i, 12)).astype(np.float32) for i in range(3)}
        ww.analyze(own, store=store, name="net", version=version)


@pytest.fixture
def filled_url(make_copy):
    return make_copy(fill)


@pytest.fixture
def store(filled_url):
    with open_store(filled_url, mode="read") as opened:
        yield opened


@pytest.fixture
def dialect(store):
    return store.info().dialect


def refused(store, query, kind=ww.UsageError, **limits):
    with pytest.raises(kind) as error:
        store.sql(query, **limits)
    text = str(error.value)
    assert "\n" not in text
    assert len(text) < 400
    return text


# --- what is answered -------------------------------------------------------------------------------------------------


def test_a_view_answers_what_the_store_says(store):
    answer = store.sql(
        "SELECT version, layer, value FROM v_metrics WHERE column_name = 'alpha' AND scope = 'matrix'"
        " ORDER BY version, layer"
    )
    table = store.values(["alpha"])
    expected = zip(table.places["version"], table.places["layer"], table.numbers["alpha"].tolist(), strict=True)
    assert answer.columns == ("version", "layer", "value")
    assert answer.rows == tuple(expected)
    assert len(answer) == 6
    assert not answer.is_cut


def test_values_are_plain_and_the_same_on_both_databases(store, dialect):
    blob = "x'00ff'" if dialect == "sqlite" else r"'\x00ff'::bytea"
    query = (
        f"SELECT 1 AS one, 1.5 AS half, 'é\U0001f600\n' AS words, NULL AS none, {blob} AS content,"
        " sum(parameters) AS total, avg(position) AS mean, max(length(digest)) AS widest FROM v_models"
    )
    (row,) = store.sql(query).rows
    whole = sum(version.parameters for version in store.versions())
    assert row == (1, 1.5, "é\U0001f600\n", None, b"\x00\xff", whole, 1.5, 64)
    assert [type(value) for value in row] == [int, float, str, type(None), bytes, int, float, int]


def test_bytes_of_a_spectrum_are_those_that_are_stored(store):
    ((content, length),) = store.sql("SELECT singular_values, length FROM spectrum", rows=1).rows
    assert isinstance(content, bytes)
    assert len(content) > length


@pytest.mark.postgres
def test_other_types_of_a_server_are_texts(make_database):
    with open_store(make_database()) as store:
        answer = store.sql(
            """SELECT '2024-02-30'::text, date '2024-02-29', interval '1 day', '{1,2}'::int[], '{"a": 1}'::jsonb,
                'NaN'::numeric, 10::numeric ^ 40, 12::numeric, 'infinity'::timestamp, true, ARRAY['x'], row(1, 2)"""
        )
    assert answer.rows[0][:5] == ("2024-02-30", "2024-02-29", "1 day", "{1,2}", '{"a": 1}')
    assert math.isnan(answer.rows[0][5])
    assert answer.rows[0][6:] == (1e40, 12, "infinity", True, "{x}", "(1,2)")


@pytest.mark.parametrize("query", ["SELECT '%', '%s', '%(x)s', '100%%'", "SELECT '?', ':name', '$1', '{}', '\\'"])
def test_a_query_is_taken_as_it_stands(store, query):
    assert store.sql(query).rows[0] == tuple(re.findall("'([^']*)'", query))


@pytest.mark.parametrize(
    "query",
    [
        "SELECT 1;",
        "SELECT 1 ; -- done",
        "-- first\nSELECT 1",
        "/* first */ SELECT 1 /* ; */",
        "\n\tSELECT ';'\n",
        "VALUES (1), (2)",
        "WITH one AS (SELECT 1) SELECT * FROM one",
        "SELECT 1 WHERE 1 = 0",
    ],
)
def test_every_form_of_select_is_answered(store, query):
    answer = store.sql(query)
    assert len(answer) == {"V": 2, "S": 0 if "WHERE" in query else 1}.get(query[0], 1)
    assert len(answer.columns) == 1


def test_names_of_columns_stand_once(store):
    answer = store.sql("SELECT 1 AS a, 2 AS a, 3 AS a_2, 4 AS b, 5 AS a")
    assert answer.columns == ("a", "a_3", "a_2", "b", "a_4")
    assert answer.to_dict()["rows"] == [{"a": 1, "a_3": 2, "a_2": 3, "b": 4, "a_4": 5}]


@given(st.lists(st.sampled_from(["a", "a_2", "a_3", "b", ""])))
def test_naming_once_loses_no_name_and_keeps_the_first_of_each(names):
    found = named_once(names)
    assert len(set(found)) == len(found) == len(names)
    for name in set(names):
        assert found[names.index(name)] == name
    for before, after in zip(names, found, strict=True):
        assert after == before or re.fullmatch(re.escape(before) + r"_\d+", after)


@pytest.mark.parametrize("limit", [1, 6, 7, 8, 100])
def test_more_rows_than_asked_for_are_cut_and_it_is_said(store, limit):
    answer = store.sql(NUMBERS.format(7), rows=limit)
    assert answer.rows == tuple((number,) for number in range(1, min(limit, 7) + 1))
    assert answer.is_cut == (limit < 7)
    assert answer.to_dict()["is_cut"] == (limit < 7)


def test_what_is_no_finite_number_is_null_and_bytes_are_hex_digits():
    answer = SqlAnswer(("a", "b"), ((math.nan, b"\x00\xab"), (-math.inf, None), (2.5, "x")), is_cut=True)
    plain = answer.to_dict()
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    assert plain["rows"] == [{"a": None, "b": "00ab"}, {"a": None, "b": None}, {"a": 2.5, "b": "x"}]


def test_a_data_frame_has_the_rows(store):
    pytest.importorskip("pandas")
    frame = store.sql("SELECT version, position FROM v_models ORDER BY position").to_pandas()
    assert list(frame.columns) == ["version", "position"]
    assert frame.to_numpy().tolist() == [["a", 1], ["b", 2]]
    assert list(store.sql("SELECT version, position FROM v_models WHERE position > 9").to_pandas()) == [
        "version",
        "position",
    ]


def test_views_have_the_columns_that_are_listed_and_described(store, dialect):
    page = (ROOT / "docs/reference/store.md").read_text(encoding="utf-8")
    names = {"sqlite": "name FROM sqlite_master WHERE type = 'view'"}.get(
        dialect, "viewname FROM pg_views WHERE schemaname = 'public'"
    )
    assert sorted(name for (name,) in store.sql(f"SELECT {names}").rows) == sorted(view.name for view in VIEWS)
    for view in VIEWS:
        assert store.sql(f"SELECT * FROM {view.name} WHERE 1 = 0").columns == view.columns
        assert f"| [`{view.name}`](#{view.name}) | {view.row} | {view.question} |" in page
        section = page.partition(f"### `{view.name}`")[2].partition("\n#")[0]
        cells = re.findall(r"^\|([^|]*)\|", section, flags=re.MULTILINE)
        assert sorted(name for cell in cells for name in re.findall("`([^`]+)`", cell)) == sorted(view.columns)


# --- what is refused --------------------------------------------------------------------------------------------------

WRITES = """
    DELETE FROM model
    UPDATE model SET name = 'x'
    INSERT INTO model (name) VALUES ('x')
    INSERT INTO model (name) VALUES ('x') RETURNING id
    WITH gone AS (SELECT 1) DELETE FROM model
    /* SELECT */ DROP VIEW v_metrics
    -- SELECT 1
    DROP TABLE value
    ALTER TABLE model RENAME TO other
    CREATE TABLE other (x INTEGER)
    CREATE TEMP TABLE other (x INTEGER)
    CREATE TEMPORARY VIEW other AS SELECT 1
    CREATE TABLE other AS SELECT * FROM model
    CREATE INDEX other ON model (name)
    BEGIN
    COMMIT
    ROLLBACK
    SAVEPOINT one
    RELEASE one
    ANALYZE
    REINDEX
    VACUUM
    SELECT 1; DELETE FROM model
    SELECT 1; COMMIT; DELETE FROM model
    ; ; SELECT 1; SELECT 2
    SELECT 1 /* ; */; DELETE FROM model --
"""
ON_SQLITE = """
    ATTACH 'other.sqlite' AS other
    ATTACH ':memory:' AS other
    DETACH main
    PRAGMA writable_schema = 1
    PRAGMA query_only = 0
    PRAGMA journal_mode = DELETE
    PRAGMA hard_heap_limit = 0
    PRAGMA table_info(model)
    SELECT * FROM pragma_table_info('model')
    SELECT count(*) FROM pragma_function_list
    SELECT * FROM pragma_wal_checkpoint
    SELECT * FROM dbstat
    SELECT load_extension('other')
    SELECT load_extension('other', 'start')
    SELECT fts3_tokenizer('simple')
    SELECT fts3_tokenizer('simple', x'00')
    SELECT readfile('/etc/hostname')
    SELECT writefile('other', 'x')
    SELECT edit('x', 'sh')
    SELECT * FROM fsdir('/')
    VACUUM INTO 'other.sqlite'
    CREATE VIRTUAL TABLE other USING fts5(x)
    CREATE VIRTUAL TABLE temp.other USING dbstat(main)
    CREATE TEMP TRIGGER other AFTER INSERT ON model BEGIN SELECT 1; END
    REPLACE INTO model (name) VALUES ('x')
    UPDATE sqlite_master SET sql = ''
    EXPLAIN DELETE FROM model
    SELECT match('a', 'b')
    SELECT rtreecheck('x')
"""
ON_A_SERVER = """
    WITH gone AS (DELETE FROM model RETURNING 1) SELECT * FROM gone
    SELECT 1 INTO other
    SELECT 1 INTO TEMP other
    SELECT * FROM model FOR UPDATE
    SELECT set_config('transaction_read_only', 'off', true)
    SELECT set_config('transaction_read_only', 'off', false), count(*) FROM model
    SELECT set_config('transaction_isolation', 'serializable', true)
    SET TRANSACTION READ WRITE
    SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE
    SET statement_timeout = 0
    RESET ALL
    DISCARD ALL
    DO $$ BEGIN DELETE FROM model; END $$
    CALL something()
    COPY model TO '/var/tmp/ww-other'
    COPY (SELECT 1) TO PROGRAM 'touch /var/tmp/ww-other'
    COPY model FROM PROGRAM 'echo x'
    COPY (SELECT 1) TO STDOUT
    SELECT pg_read_file('PG_VERSION')
    SELECT pg_read_binary_file('PG_VERSION')
    SELECT pg_ls_dir('.')
    SELECT pg_stat_file('PG_VERSION')
    SELECT lo_import('/etc/hostname')
    SELECT lo_export(lo_from_bytea(0, 'x'), '/var/tmp/ww-other')
    SELECT set_config('role', session_user, true), lo_export(lo_from_bytea(0, 'x'), '/var/tmp/ww-other')
    SELECT * FROM dblink('dbname=postgres', 'DROP TABLE model') AS t(x text)
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND usename = session_user
    SELECT pg_reload_conf()
    SELECT pg_rotate_logfile()
    SELECT pg_switch_wal()
    SELECT pg_promote()
    SELECT nextval('model_id_seq')
    SELECT setval('model_id_seq', 1)
    SELECT query_to_xml('DELETE FROM model', true, true, '')
    SELECT table_to_xml('nothing', true, true, '')
    LISTEN other
    NOTIFY other
    LOCK TABLE model
    DECLARE other CURSOR FOR SELECT 1
    FETCH 1 FROM ww_sql
    CLOSE ww_sql
    PREPARE other AS SELECT 1
    EXECUTE other
    DEALLOCATE ALL
    EXPLAIN ANALYZE DELETE FROM model
    SHOW ALL
    GRANT ALL ON model TO PUBLIC
    CREATE FUNCTION other() RETURNS int LANGUAGE sql AS 'SELECT 1'
    CREATE EXTENSION dblink
    ALTER SYSTEM SET fsync = off
    REFRESH MATERIALIZED VIEW other
"""


def listed(text):
    return [line.strip() for line in text.strip().splitlines() if line.strip() != "-- SELECT 1"]


def test_nothing_but_select_is_done(store, filled_url, dialect, content_of, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before, files = content_of(filled_url), {path.name for path in tmp_path.iterdir()}
    attacks = [*listed(WRITES), "-- SELECT 1\nDROP TABLE value"]
    attacks += listed(ON_SQLITE if dialect == "sqlite" else ON_A_SERVER)
    assert len(attacks) > 50
    for attack in attacks:
        assert refused(store, attack), attack
    assert content_of(filled_url) == before
    assert {path.name for path in tmp_path.iterdir() if not path.name.endswith(("-wal", "-shm"))} <= files
    assert not Path("/var/tmp/ww-other").exists()
    assert len(store.sql("SELECT * FROM v_models")) == 2


def test_what_writes_is_told_what_a_query_is(store, dialect):
    for query in ("DELETE FROM model", "CREATE TABLE x (y INTEGER)", "COMMIT", "DROP VIEW v_metrics"):
        assert ONE_SELECT in refused(store, query)
    assert "more than one statement" in refused(store, "SELECT 1; SELECT 2")
    if dialect == "sqlite":
        assert "function load_extension is not available" in refused(store, "SELECT load_extension('x')")
        assert ONE_SELECT in refused(store, "PRAGMA query_only = 0")
    else:
        assert ONE_SELECT in refused(store, "WITH gone AS (DELETE FROM model RETURNING 1) SELECT * FROM gone")
        assert ONE_SELECT in refused(store, "SELECT set_config('transaction_read_only', 'off', true)")
        assert "permission denied" in refused(store, "SELECT pg_read_file('PG_VERSION')")


@pytest.mark.postgres
def test_what_a_query_makes_of_its_session_ends_with_it(make_database):
    url = make_database()
    asked = (
        "SELECT set_config('default_transaction_read_only', 'on', false)",
        "SELECT set_config('search_path', 'nowhere', false)",
        "SELECT set_config('role', session_user, false)",
        "SELECT set_config('statement_timeout', '1', false)",
        "SELECT pg_advisory_lock(2004287490)",  # engine.WRITERS_LOCK, which all writers take
        "SELECT lo_creat(-1)",
        "SELECT lo_from_bytea(0, 'x')",
        "SELECT pg_notify('a', 'b')",
        "SELECT setseed(0.5), random()",
    )
    with open_store(url) as store:
        fill(store)
        for query in asked:
            for _ in range(2):
                try:
                    store.sql(query)
                except ww.UsageError:  # newer servers allow less
                    assert "lo_" in query
        assert store.sql("SELECT current_setting('statement_timeout')::interval > interval '9 s'").rows == ((True,),)
        assert store.sql("SELECT count(*) FROM pg_largeobject_metadata").rows == ((0,),)
        assert store.sql("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'").rows == ((0,),)
        assert store.sql("SELECT current_setting('transaction_read_only')").rows == (("on",),)
        store.set_step("net@a", 3)
        assert store.sql("SELECT step FROM v_models WHERE version = 'a'").rows == ((3,),)


@pytest.mark.postgres
def test_a_superuser_gives_up_its_rights_and_others_keep_theirs(make_database):
    import psycopg

    url = make_database()
    with open_store(url) as store:
        fill(store)
        assert store.sql("SELECT current_user, session_user").rows == (("pg_read_all_data", "ww"),)
    name = urlsplit(url).path[1:]
    role = f"reader_of_{name}"
    with psycopg.connect(url, autocommit=True) as owner:
        owner.execute(f"CREATE ROLE {role} LOGIN")
        owner.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}")
        owner.execute(f"REVOKE ALL ON spectrum FROM {role}")
        owner.execute(f'CREATE SCHEMA "{role}"')
    try:
        with open_store(url.replace("ww@", f"{role}@"), mode="read") as store:
            assert store.sql("SELECT current_user, count(*) FROM v_models").rows == ((role, 2),)
            assert "permission denied" in refused(store, "SELECT * FROM spectrum")
            assert "permission denied" in refused(store, "SELECT lo_import('/etc/hostname')")
            assert ONE_SELECT in refused(store, "DELETE FROM model")
    finally:
        with psycopg.connect(url, autocommit=True) as owner:
            owner.execute(f"DROP OWNED BY {role}")
            owner.execute(f'DROP SCHEMA "{role}"')
            owner.execute(f"DROP ROLE {role}")


@pytest.mark.postgres
def test_a_superuser_finds_a_store_in_a_schema_of_its_own_name(make_database):
    import psycopg

    url = make_database()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA ww")
    with open_store(url) as store:
        fill(store)
        assert store.sql("SELECT schemaname FROM pg_views WHERE viewname = 'v_models'").rows == (("ww",),)
        assert len(store.sql("SELECT * FROM v_models")) == 2


@pytest.mark.parametrize(
    ("query", "kind", "words"),
    [
        ("", ww.UsageError, ["empty"]),
        (" \n;; -- nothing\n/* here */", ww.UsageError, ["empty"]),
        ("SELECT 1\0", ww.UsageError, ["NUL"]),
        ("SELECT '\ud800'", ww.UsageError, ["half a character"]),
        ("SELECT '" + "x" * 10_000_000 + "'", ww.UsageError, ["longer than 1,000,000 bytes"]),
        ("SELECT '" + "é" * 600_000 + "'", ww.UsageError, ["longer than 1,000,000 bytes"]),
        (b"SELECT 1", ww.UsageError, ["bytes"]),
        ("SELCT 1", ww.UsageError, ["SELCT", "syntax error"]),
        ("SELECT 1 FROM", ww.UsageError, ["cannot be run"]),
        ("SELECT 'x", ww.UsageError, ["cannot be run"]),
        ("SELECT (1", ww.UsageError, ["cannot be run"]),
        ("SELECT " + "(" * 200_000 + "1" + ")" * 200_000, ww.UsageError, ["cannot be run"]),
        ("SELECT " + "+".join("1" * 400_000), ww.UsageError, ["cannot be run"]),
        ("SELECT * FROM v_metrisc", ww.UnknownNameError, ["'v_metrisc'", "did you mean v_metrics", "`ww sql`"]),
        ("SELECT * FROM labels", ww.UnknownNameError, ["'labels'", "label"]),
        ("SELECT * FROM qqqq", ww.UnknownNameError, ["'qqqq'", "v_metrics, v_models", "v_scores"]),
        ("SELECT vlaue FROM v_metrics", ww.UnknownNameError, ["'vlaue'", "did you mean value"]),
        ("SELECT m.vlaue FROM v_metrics AS m", ww.UnknownNameError, ["'vlaue'", "did you mean value"]),
        ("SELECT nosuch(1)", ww.UsageError, ["nosuch"]),
        ("SELECT 1 UNION SELECT 1, 2", ww.UsageError, ["cannot be run", "UNION"]),
    ],
    ids=lambda own: own[:30] if isinstance(own, str) else None,
)
def test_a_query_that_is_wrong_is_told_so_in_a_sentence(store, query, kind, words):
    text = refused(store, query, kind)
    assert all(word in text for word in words), text
    assert kind.exit_code == 2


def test_a_placeholder_has_no_value(store, dialect):
    for query in ("SELECT ?", "SELECT :name", "SELECT $1") if dialect == "sqlite" else ("SELECT $1",):
        assert "placeholder" in refused(store, query)


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ({"seconds": 0}, "seconds"),
        ({"seconds": -1}, "seconds"),
        ({"seconds": math.nan}, "seconds"),
        ({"seconds": math.inf}, "seconds"),
        ({"rows": 0}, "rows"),
        ({"rows": -5}, "rows"),
        ({"rows": 10**12}, "rows"),
        ({"rows": 2.5}, "rows"),
    ],
)
def test_a_limit_that_is_none_is_refused(store, limits, words):
    assert f"the limit of {words}" in refused(store, "SELECT 1", **limits)


# --- what ends --------------------------------------------------------------------------------------------------------

SLOW = {
    "sqlite": [
        ENDLESS + "SELECT count(*) FROM n",
        ENDLESS + "SELECT x FROM n ORDER BY x",
        ENDLESS + "SELECT max(x) OVER () FROM n",
        ENDLESS + "SELECT x FROM n WHERE x < 0",
        "SELECT count(*) FROM value a, value b, value c, value d, value e",
        "SELECT printf('%.*c', 100000000000, 'x')",
        # Neither of these looks at the clock inside of SQLite.
        "SELECT instr(replace(hex(zeroblob(30000000)), '0', 'a'), replace(hex(zeroblob(15000000)), '0', 'a') || 'b')",
        doubled(22),
    ],
    "postgresql": [
        ENDLESS + "SELECT count(*) FROM n",
        ENDLESS + "SELECT x FROM n WHERE x < 0",
        "SELECT count(*) FROM value a, value b, value c, value d, value e",
        "SELECT pg_sleep(100)",
        "SELECT set_config('statement_timeout', '0', false), pg_sleep(100)",
        "SELECT count(*) FROM generate_series(1, 1000000000000)",
    ],
}


def test_what_takes_too_long_is_stopped_and_nothing_of_it_is_shown(store, dialect):
    for query in SLOW[dialect]:
        start = time.monotonic()
        assert "stopped after 0.5 s" in refused(store, query, seconds=0.5), query
        assert time.monotonic() - start < SLACK, query
    assert store.sql("SELECT count(*) FROM v_models").rows == ((2,),)


def test_an_interrupt_stops_it_at_once_and_the_store_stays_open(store, dialect):
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    query = {"sqlite": ENDLESS + "SELECT count(*) FROM n", "postgresql": "SELECT pg_sleep(60)"}[dialect]
    clock = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))
    start = time.monotonic()
    clock.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            store.sql(query, seconds=60)
    finally:
        clock.join()
        signal.signal(signal.SIGINT, before)
    assert time.monotonic() - start < SLACK
    assert store.sql("SELECT count(*) FROM v_models").rows == ((2,),)


@pytest.mark.postgres
def test_a_server_that_keeps_no_time_is_hung_up_on(make_database, monkeypatch):
    monkeypatch.setattr(sql, "_limit_time", lambda driver, end: None)
    monkeypatch.setattr(sql, "PATIENCE", 0.2)
    with open_store(make_database()) as store:
        start = time.monotonic()
        assert "stopped after 0.3 s" in refused(store, "SELECT pg_sleep(30)", seconds=0.3)
        assert time.monotonic() - start < SLACK
        assert len(store.sql("SELECT 1", seconds=20)) == 1


def test_the_first_rows_of_an_endless_answer_are_cut(store):
    answer = store.sql(ENDLESS + "SELECT x FROM n", rows=5, seconds=30)
    assert answer.rows == ((1,), (2,), (3,), (4,), (5,))
    assert answer.is_cut


LARGE = {
    "sqlite": [
        "SELECT randomblob(1000000000)",
        "SELECT zeroblob(1000000000)",
        "SELECT hex(randomblob(100000000))",
        "SELECT x, hex(zeroblob(400000)) FROM (" + NUMBERS.format(100_000) + ")",
        ENDLESS + "SELECT zeroblob(10000000) FROM n",
        f"SELECT group_concat(hex(zeroblob(1000000))) FROM ({NUMBERS.format(100)})",
    ],
    "postgresql": [
        "SELECT repeat('x', 140000000)",
        "SELECT repeat('x', 5000000) FROM generate_series(1, 100000)",
    ],
}


def test_what_is_too_large_is_refused(store, dialect):
    for query in LARGE[dialect]:
        assert "larger than 128 MiB" in refused(store, query, seconds=60), query
    assert store.sql("SELECT count(*) FROM v_models").rows == ((2,),)


@pytest.mark.parametrize(
    ("limit", "query", "words"),
    [
        ("MEMORY_BYTES = 1 << 30", doubled(60), "of memory"),
        (
            "MEMORY_BYTES = 1 << 30",
            ENDLESS + "SELECT length(json_group_array(hex(zeroblob(4000000)))) FROM n",
            "of memory",
        ),
        ("TEMPORARY_BYTES = 4 << 30", ENDLESS + "SELECT hex(zeroblob(1000)) FROM n ORDER BY 1, x", "of disk"),
    ],
)
def test_a_query_in_a_file_has_limits_of_memory_and_disk(limit, query, words, tmp_path, monkeypatch):
    source = Path(sqlite_query.__file__).read_text(encoding="utf-8")
    assert limit in source
    script = tmp_path / "smaller.py"  # so that it takes neither the memory nor the time of whoever runs the tests
    script.write_text(source.replace(limit, f"{limit.split()[0]} = 64 << 20"), encoding="utf-8")
    with open_store(tmp_path / "store.sqlite") as store:
        monkeypatch.setattr(sqlite_query, "__file__", str(script))
        assert words in refused(store, query, seconds=60)
        assert store.sql("SELECT 1").rows == ((1,),)


# --- where it is asked ------------------------------------------------------------------------------------------------


def test_a_store_in_memory_is_asked_as_it_is_now():
    with open_store() as store:
        fill(store)
        assert store.sql("SELECT version FROM v_models ORDER BY version").rows == (("a",), ("b",))
        store.forget("net@a")
        assert store.sql("SELECT version FROM v_models").rows == (("b",),)
        refused(store, "DELETE FROM model")
        assert ww.sql("SELECT count(*) FROM v_models", store=store).rows == ((1,),)


def test_a_store_that_is_open_for_writing_is_read_only_all_the_same(filled_url):
    with open_store(filled_url) as store:
        refused(store, "DELETE FROM model")
        store.set_step("net@a", 7)
        assert store.sql("SELECT step FROM v_models WHERE version = 'a'").rows == ((7,),)


def test_what_others_write_meanwhile_is_not_seen_and_does_not_wait(filled_url):
    with open_store(filled_url) as writing, open_store(filled_url, mode="read") as store:
        inside, leave = threading.Event(), threading.Event()

        def write():
            with writing.writing() as writer:
                writer.set_step("net@a", 9)
                inside.set()
                leave.wait(30)

        thread = threading.Thread(target=write)
        thread.start()
        try:
            assert inside.wait(30)
            assert store.sql("SELECT step FROM v_models WHERE version = 'a'").rows == ((None,),)
        finally:
            leave.set()
            thread.join()
        assert store.sql("SELECT step FROM v_models WHERE version = 'a'").rows == ((9,),)


def test_each_kind_of_journal_and_place(new_store):
    path = new_store()
    with open_store(path) as store:
        fill(store)
    assert len(ww.sql("SELECT * FROM v_models", store=path)) == 2
    mode, folder = path.stat().st_mode, path.parent.stat().st_mode
    path.chmod(stat.S_IREAD)
    path.parent.chmod(stat.S_IREAD | stat.S_IEXEC)
    try:
        assert len(ww.sql("SELECT * FROM v_models", store=str(path))) == 2
    finally:
        path.parent.chmod(folder)
        path.chmod(mode)


def test_a_path_with_signs_of_an_address(tmp_path):
    path = tmp_path / "a?mode=rwc&b#c %41 é.sqlite"
    with open_store(path) as store:
        fill(store)
        assert len(store.sql("SELECT * FROM v_models")) == 2


def test_a_store_that_is_not_there_damaged_or_closed(tmp_path, filled_url):
    with pytest.raises(ww.NotAStoreError, match="there is no store at"):
        ww.sql("SELECT 1", store=tmp_path / "none.sqlite")
    assert not (tmp_path / "none.sqlite").exists()
    store = open_store(filled_url, mode="read")
    store.close()
    with pytest.raises(ww.StoreError, match="is closed"):
        store.sql("SELECT 1")
    with open_store(filled_url) as store, store.reading(), pytest.raises(RuntimeError, match="do not nest"):
        store.sql("SELECT 1")


def test_a_damaged_file_is_the_stores_fault_and_not_the_querys(tmp_path):
    path = tmp_path / "store.sqlite"
    with open_store(path) as store:
        fill(store)
    content = bytearray(path.read_bytes())
    for page in range(2, len(content) // 4096):
        content[page * 4096 : page * 4096 + 200] = b"\xff" * 200
    with open_store(path, mode="read") as store:
        path.write_bytes(content)
        assert "damaged" in refused(store, "SELECT count(*), max(reason) FROM value", ww.StoreError)


def test_text_that_is_none_is_shown_as_it_can_be(tmp_path):
    path = tmp_path / "store.sqlite"
    with open_store(path) as store:
        fill(store)
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE model SET name = CAST(x'61ff62' AS TEXT)")
    connection.close()
    assert ww.sql("SELECT name FROM model", store=path).rows == ((r"a\xffb",),)


def test_views_of_a_strangers_file_call_nothing(tmp_path):
    path = tmp_path / "store.sqlite"
    with open_store(path) as store:
        fill(store)
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE VIEW more AS SELECT load_extension('other') AS model")
        connection.execute("CREATE VIRTUAL TABLE words USING fts5(x)")
    with open_store(path, mode="read") as store:
        refused(store, "SELECT * FROM more")
        refused(store, "SELECT * FROM words")
        with connection:  # ours, once the store is open: an opening refuses it
            connection.execute("DROP VIEW v_scores")
            connection.execute("CREATE VIEW v_scores AS SELECT load_extension('other') AS model")
        connection.close()
        refused(store, "SELECT * FROM v_scores")


def test_a_process_that_dies_is_said_and_costs_nothing_else(tmp_path, monkeypatch):
    script = tmp_path / "dies.py"
    script.write_text("import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    with open_store(tmp_path / "store.sqlite") as store:
        with monkeypatch.context() as patched:
            patched.setattr(sqlite_query, "__file__", str(script))
            assert "ended with code -9" in refused(store, "SELECT 1", ww.StoreError)
        assert store.sql("SELECT 1").rows == ((1,),)


def test_the_folder_one_stands_in_is_not_where_modules_come_from(tmp_path, monkeypatch):
    for name in ("sqlite3", "marshal", "threading", "sitecustomize"):
        (tmp_path / f"{name}.py").write_text("open('touched', 'w').close()")
    with open_store(tmp_path / "store.sqlite") as store:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        assert store.sql("SELECT 1").rows == ((1,),)
    assert not (tmp_path / "touched").exists()
