"""A file of every schema revision is kept: each is upgraded, and answers as it did. What has landed never changes.

``tests/store/revisions/make_revision.py`` makes the file of this program's revision.
"""

from __future__ import annotations

import json
import lzma
import math
import re
import runpy
import shlex
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import Boolean, MetaData, delete, func, insert, select, text

import ww_core as ww
from ww_core.store import migrate
from ww_core.store.engine import Location, connect
from ww_core.store.store import open_store, upgrade_store

pytestmark = pytest.mark.migrations

FOLDER = Path(__file__).parent / "revisions"
KEPT = sorted(path.name.partition(".")[0] for path in FOLDER.glob("*.sqlite.xz"))
OLD = [revision for revision in KEPT if revision != migrate.SCHEMA_HEAD]
MAKER = runpy.run_path(str(FOLDER / "make_revision.py"))

every_kept_file = pytest.mark.parametrize("revision", KEPT)
every_older_file = pytest.mark.parametrize("revision", OLD)


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    """Paths of the kept files, unpacked, by revision; not to be opened by ww."""
    folder = tmp_path_factory.mktemp("revisions")
    for revision in KEPT:
        (folder / revision).write_bytes(lzma.decompress((FOLDER / f"{revision}.sqlite.xz").read_bytes()))
    return {revision: folder / revision for revision in KEPT}


@pytest.fixture
def original(originals, revision):
    return originals[revision]


@pytest.fixture
def store_file(original, tmp_path):
    """Path of a store of the revision."""
    return Path(shutil.copyfile(original, tmp_path / "store.sqlite"))


@pytest.fixture
def upgraded(store_file):
    """Path of a store that was of the revision."""
    upgrade_store(store_file)
    return store_file


def asked(path, query):
    """Rows of an SQLite file, as SQLite's own program reads it."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        return connection.execute(query).fetchall()


def views_of(path):
    """Names of the columns of the views of an SQLite file, by view."""
    names = [name for (name,) in asked(path, "SELECT name FROM sqlite_master WHERE type = 'view'")]
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        return {
            name: ", ".join(column for column, *_ in connection.execute(f"SELECT * FROM {name}").description)
            for name in names
        }


def content(ask, views):
    """Rows of views, in an order of their own."""
    return {
        name: sorted((tuple(map(_plain, row)) for row in ask(f"SELECT {columns} FROM {name}")), key=repr)
        for name, columns in views.items()
    }


def _plain(cell):
    return int(cell) if isinstance(cell, bool) else cell


def content_of_file(path, views):
    return content(lambda query: asked(path, query), views)


# --- what must be there -----------------------------------------------------------------------------------------------


def revisions():
    return {script.revision for script in ScriptDirectory(str(migrate.scripts_folder())).walk_revisions()}


def test_every_revision_before_the_newest_has_a_kept_file():
    missing = sorted(revisions() - {migrate.SCHEMA_HEAD} - set(KEPT))
    assert missing == [], f"run {FOLDER / 'make_revision.py'} with the program of these revisions, and keep the files"
    assert set(KEPT) <= revisions()


def test_a_script_that_has_landed_is_as_it_was():
    landed = json.loads((FOLDER / "scripts.json").read_text(encoding="utf-8"))
    assert set(landed) >= {*KEPT, *(revisions() - {migrate.SCHEMA_HEAD})}
    today = MAKER["script_digests"]()
    changed = sorted(revision for revision, digest in landed.items() if today.get(revision) != digest)
    assert changed == [], "a script in migrations/versions that has landed is never changed: write another one after it"


@every_kept_file
def test_a_kept_file_is_of_its_revision_and_holds_something_of_everything(original, revision):
    assert asked(original, "SELECT version_num FROM alembic_version") == [(revision,)]
    assert asked(original, "PRAGMA integrity_check") == [("ok",)]
    for table in ("value", "spectrum", "summary", "score", "series_member", "derivation", "reported_subject"):
        assert asked(original, f"SELECT count(*) > 0 FROM {table}") == [(1,)], table
    assert len(asked(original, "SELECT * FROM v_models WHERE model = 'net'")) > 1


# --- upgrades ---------------------------------------------------------------------------------------------------------


@every_kept_file
def test_the_command_upgrades_a_kept_file_and_keeps_a_copy(ww_here, original, store_file, revision):
    views = views_of(original)
    before = content_of_file(original, views)
    done = ww_here("db", "upgrade", "--store", store_file)
    assert done.returncode == 0, done.stderr
    copies = list(store_file.parent.glob("*.bak-*"))
    if revision == migrate.SCHEMA_HEAD:
        assert (done.stdout, copies) == (f"schema {revision}: up to date\n", [])
    else:
        copy = store_file.with_name(f"store.sqlite.bak-{revision}")
        told = f"schema {revision} → {migrate.SCHEMA_HEAD}, copy of the old one in {copy}\n"
        assert (done.stdout, copies) == (told, [copy])
        assert asked(copy, "SELECT version_num FROM alembic_version") == [(revision,)]
        assert content_of_file(copy, views) == before
    assert asked(store_file, "SELECT version_num FROM alembic_version") == [(migrate.SCHEMA_HEAD,)]
    assert content_of_file(store_file, views) == before
    assert ww_here("db", "check", "--store", store_file).returncode == 0
    assert ww_here("db", "upgrade", "--store", store_file).stdout == f"schema {migrate.SCHEMA_HEAD}: up to date\n"


@every_kept_file
def test_opening_upgrades_a_kept_file_and_it_answers_as_it_did(original, store_file, revision):
    views = views_of(original)
    with open_store(store_file) as store:
        assert store.info().revision == migrate.SCHEMA_HEAD
        integrity = store.verify()
        assert integrity.faults == {}
        assert integrity.checked["digests"] > 100
    assert content_of_file(store_file, views) == content_of_file(original, views)
    assert len(list(store_file.parent.glob("*.bak-*"))) == (revision != migrate.SCHEMA_HEAD)


@every_older_file
def test_reading_says_that_it_must_be_upgraded(ww_here, store_file):
    store_file = store_file.rename(store_file.with_name("it's an old store.sqlite"))
    done = ww_here("show", "--store", store_file)
    assert done.returncode == 3
    assert "made by an older ww: run `ww db upgrade --store " in done.stderr
    advised = re.search("`ww (.*)`$", done.stderr.strip())[1]
    assert list(store_file.parent.glob("*.bak-*")) == []
    assert ww_here(*shlex.split(advised), store=False).returncode == 0
    assert ww_here("show", "--store", store_file).returncode == 0


# --- answers ----------------------------------------------------------------------------------------------------------


def metrics(path):
    """Values by model, version, scope, layer, extractor, index and column, as the old view has them."""
    query = (
        "SELECT model, version, scope, layer, extractor, matrix_index, column_name, coalesce(value, text), state"
        " FROM v_metrics WHERE profile = 'default'"
    )
    return {tuple(row[:7]): tuple(row[7:]) for row in asked(path, query)}


@every_kept_file
def test_reports_show_what_the_old_file_says(original, upgraded):
    expected = metrics(original)
    names = {(model, version) for model, version, *_ in expected}
    assert len(names) > 1
    found = {}
    with open_store(upgraded, mode="read") as store:
        for model, version in names:
            report = store.report(f"{model}@{version}")
            rows = [("matrix", row.name, row.extractor, row.index, row.metrics) for row in report.layers]
            rows += [("layer", row.name, None, None, row.metrics) for row in report.layer_metrics]
            rows += [("model", None, None, None, report.model_metrics)]
            for scope, layer, extractor, index, outcomes in rows:
                for label, own in outcomes.items():
                    found[model, version, scope, layer, extractor, index, label] = (own.value, str(own.state))
    assert found == expected


@every_kept_file
def test_a_history_shows_what_the_old_file_says(original, upgraded):
    expected = metrics(original)
    columns = ("alpha", "log_norm", "weight_mean", "log_prod_spectral_norm")
    seen = 0
    with open_store(upgraded, mode="read") as store:
        history = store.history("net", columns)
        for label, track in history.tracks.items():
            for at, version in enumerate(history.versions):
                for place, value in zip(track.places, track.values[at], strict=True):
                    scope = track.column.scope
                    layer = None if scope == "model" else place.name
                    index = place.matrix_index if scope == "matrix" else None
                    key = ("net", version.version, scope, layer, place.extractor or None, index, label)
                    stored, state = expected.get(key, (None, "missing"))
                    assert math.isnan(value) if state != "ok" else value == stored, key
                    seen += state == "ok"
    assert seen > 10


@every_kept_file
def test_scores_series_and_tables_are_what_the_old_file_says(original, upgraded):
    columns = "model, version, digest, name, dataset, value, low, high, unit, better, source"
    expected = asked(original, f"SELECT {columns} FROM v_scores")
    with open_store(upgraded, mode="read") as store:
        scores = store.scores()
        assert sorted(map(tuple, scores), key=repr) == sorted(expected, key=repr)
        assert any(own.digest for own in scores)
        assert any(own.digest is None for own in scores)
        members = asked(
            original,
            "SELECT series.name, coalesce(model.name, reported_subject.model) FROM series_member"
            " JOIN series ON series.id = series_id LEFT JOIN model ON model.id = model_id"
            " LEFT JOIN reported_subject USING (subject_id)",
        )
        assert sorted((own.series, own.model) for own in store.series()) == sorted(members)
        rows = asked(original, "SELECT source, \"row\", model FROM reported_subject WHERE source <> ''")
        for source in {own for own, *_ in rows}:
            table = store.reported_table(source)
            of_table = sorted((row, model) for own, row, model in rows if own == source)
            assert sorted(zip(table.places["table_row"], table.places["model"], strict=True)) == of_table
        with store.reading() as reader:
            tables = [(own.source, own.provider, own.rows) for own in reader.reported_tables()]
        if "imported_table" in {name for (name,) in asked(original, "SELECT name FROM sqlite_master")}:
            assert tables == asked(original, "SELECT source, provider, rows FROM imported_table")
            replaced = "SELECT value, unit, created_at, replaced_at FROM replaced_score ORDER BY id"
            assert [
                (own.score.value, own.score.unit, own.stored_at, own.replaced_at) for own in scores.replaced
            ] == asked(original, replaced)
            assert len(scores.replaced) > 0


@every_kept_file
def test_an_upgraded_store_goes_on(upgraded):
    _go_on(upgraded)


def _go_on(location):
    with open_store(location) as store:
        before = store.info().counts
        (error,) = store.scores(["net@checkpoint-500"])
        score = ww.Score("net", error.name, error.dataset, 1.0, error.source, "checkpoint-500", "")
        assert store.add_scores([score], correct=True) == (0, 1, 0)
        assert store.scores(["net@checkpoint-500"]).replaced[-1].score == error
        store.add_scores([score._replace(model="VGG19", version="", better="lower")], without_weights=True)
        store.add_to_series("vggs", ["VGG19"])
        report = ww.analyze(MAKER["network"](5), store=store, name="net", version="checkpoint-2000")
        assert report.failures == ()
        assert store.history("net", ["alpha"]).versions[-1].version == "checkpoint-2000"
        store.rename("größe ✓", "size")
        store.forget("size")
        store.collect_garbage()
        assert store.verify().faults == {}
        assert store.info().counts["run"] >= before["run"]


# --- on a server ------------------------------------------------------------------------------------------------------


def copied_to_server(path, url, revision):
    """Make a database of a revision, with the rows of an SQLite file of that revision."""
    engine = connect(Location.of(url))
    with engine.begin() as connection, migrate._alembic_lock:
        command.upgrade(migrate._config(connection), revision)
    metadata = MetaData()
    with engine.begin() as connection:
        metadata.reflect(connection)
        for table in reversed(metadata.sorted_tables):
            connection.execute(delete(table))
        for table in metadata.sorted_tables:
            names = ", ".join(f'"{column.name}"' for column in table.columns)
            rows = [
                {
                    column.name: bool(cell) if isinstance(column.type, Boolean) and cell is not None else cell
                    for column, cell in zip(table.columns, row, strict=True)
                }
                for row in asked(path, f"SELECT {names} FROM {table.name}")
            ]
            if rows:
                connection.execute(insert(table), rows)
            if "id" in table.columns and rows:
                sequence = func.pg_get_serial_sequence(table.name, "id")
                connection.execute(select(func.setval(sequence, max(row["id"] for row in rows))))
    engine.dispose()


@pytest.mark.postgres
@every_kept_file
def test_a_server_is_upgraded_as_a_file_is(original, upgraded, revision, make_database, content_of):
    url = make_database()
    copied_to_server(original, url, revision)
    assert upgrade_store(url) == (revision, migrate.SCHEMA_HEAD, None)
    views = views_of(upgraded)
    with open_store(url) as store:
        assert store.verify().faults == {}
        with store._reading() as connection:
            found = content(lambda query: connection.execute(text(query)), views)
    assert found == content_of_file(upgraded, views)
    assert content_of(url) == content_of(upgraded)
    _go_on(url)
