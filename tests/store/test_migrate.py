"""Upgrades: all or nothing, once, and with a copy of the file as it was."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import insert, inspect, text

from ww_core.errors import NotAStoreError, SchemaTooNewError, SchemaTooOldError, StoreError
from ww_core.store import migrate, tables
from ww_core.store.engine import Location, connect
from ww_core.store.store import open_store, upgrade_store

pytestmark = pytest.mark.migrations

CHECKOUT = Path(migrate.__file__).parents[2]

GOOD = """
    op.create_table("extra", sa.Column("id", sa.Integer(), primary_key=True))
    op.execute("DROP VIEW v_series")  # which the table is under, as is v_models
    op.execute("DROP VIEW v_models")
    with op.batch_alter_table("series") as batch:
        batch.alter_column("name", type_=sa.Text(), existing_type=sa.String(255), existing_nullable=False)
    op.execute("CREATE VIEW v_models AS SELECT name AS series FROM series")
"""
FAILING = GOOD + '    op.execute("INSERT INTO missing VALUES (1)")\n'
RAISING = GOOD + '    raise OSError("the script is wrong")\n'
LOSING = '    op.execute("DELETE FROM model")\n'

only_files = pytest.mark.parametrize("make_store_url", ["sqlite"], indirect=True)


@pytest.fixture
def next_revision(monkeypatch, tmp_path):
    """A function that makes this program one of the next release: a revision 0005 with the given body is its head."""

    def install(body: str) -> None:
        folder = tmp_path / "100% scripts"
        shutil.copytree(migrate.scripts_folder(), folder, ignore=shutil.ignore_patterns("__pycache__"))
        (folder / "versions" / "0005_next.py").write_text(
            "import sqlalchemy as sa\nfrom alembic import op\n"
            'revision = "0005"\ndown_revision = "0004"\nbranch_labels = None\ndepends_on = None\n'
            f"def upgrade() -> None:\n{body}\n"
        )
        monkeypatch.setattr(migrate, "SCHEMA_HEAD", "0005")
        monkeypatch.setattr(migrate, "scripts_folder", lambda: folder)

    return install


@pytest.fixture
def older_store(store_url):
    """Location of a store of revision 0004 with a series of one model."""
    with open_store(store_url) as store, store._writing() as connection:
        connection.execute(insert(tables.model).values(id=1, name="resnet", created_at=""))
        connection.execute(insert(tables.series).values(id=1, name="resnets"))
        connection.execute(insert(tables.series_member).values(series_id=1, model_id=1))
    return store_url


def look(url: str) -> tuple[str, set[str], list[str]]:
    """Revision, tables, and the series that have a member, without opening the store."""
    engine = connect(Location.of(url))
    with engine.connect() as connection:
        revision = connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one()
        names = connection.execute(
            text("SELECT name FROM series JOIN series_member ON series_id = series.id")
        ).scalars()
        answer = (revision, set(inspect(connection).get_table_names()), list(names))
    engine.dispose()
    return answer


def copies(url: str) -> list[Path]:
    return [] if "://" in url else sorted(Path(url).parent.glob("*.bak-*"))


def test_opening_for_writing_upgrades_and_keeps_a_copy(older_store, next_revision, monkeypatch):
    next_revision(GOOD)
    with open_store(older_store) as store:
        assert store.info().revision == "0005"
        with store._reading() as connection:
            if connection.dialect.name == "sqlite":
                assert connection.execute(text("PRAGMA foreign_keys")).scalar_one() == 1
    revision, names, series = look(older_store)
    assert (revision, series) == ("0005", ["resnets"])
    assert "extra" in names
    if "://" not in older_store:
        monkeypatch.undo()
        assert [copy.name for copy in copies(older_store)] == [f"{Path(older_store).name}.bak-0004"]
        with open_store(copies(older_store)[0], mode="read") as store:
            assert store.info().counts["model"] == 1


def test_the_command_tells_what_it_did(older_store, next_revision):
    assert upgrade_store(older_store) == ("0004", "0004", None)
    next_revision(GOOD)
    before, after, copy = upgrade_store(older_store)
    assert (before, after) == ("0004", "0005")
    assert [copy] == (copies(older_store) or [None])
    assert upgrade_store(older_store) == ("0005", "0005", None)


@only_files
def test_an_older_copy_is_not_overwritten(older_store, next_revision):
    Path(older_store + ".bak-0004").write_text("precious")
    next_revision(GOOD)
    assert upgrade_store(older_store)[2] == Path(older_store + ".bak-0004-2")
    assert Path(older_store + ".bak-0004").read_text() == "precious"


@pytest.mark.parametrize("body", [FAILING, RAISING])
def test_a_failing_upgrade_leaves_the_store_as_it_was(older_store, next_revision, monkeypatch, body):
    before = look(older_store)
    next_revision(body)
    with pytest.raises(Exception, match=r"missing|the script is wrong"):
        open_store(older_store)
    assert look(older_store) == before
    assert copies(older_store) == []
    monkeypatch.undo()
    with open_store(older_store) as store:
        assert store.info().counts["model"] == 1


@only_files
def test_an_upgrade_that_breaks_references_is_undone(older_store, next_revision):
    before = look(older_store)
    next_revision(LOSING)
    with pytest.raises(StoreError, match="a row of series_member points at a missing row of model"):
        open_store(older_store)
    assert look(older_store) == before


def test_a_new_store_that_fails_is_empty(new_store_url, next_revision, monkeypatch):
    next_revision(FAILING)
    with pytest.raises(Exception, match="missing"):
        open_store(new_store_url)
    engine = connect(Location.of(new_store_url))
    with engine.connect() as connection:
        assert inspect(connection).get_table_names() == []
    engine.dispose()
    monkeypatch.undo()
    open_store(new_store_url).close()


def test_reading_does_not_upgrade(older_store, next_revision):
    before = look(older_store)
    next_revision(GOOD)
    with pytest.raises(SchemaTooOldError, match="run `ww db upgrade --store "):
        open_store(older_store, mode="read")
    assert look(older_store) == before
    assert copies(older_store) == []


@pytest.mark.parametrize(
    "use", [open_store, lambda url: open_store(url, mode="read"), upgrade_store], ids=["write", "read", "upgrade"]
)
def test_a_newer_store_is_left_alone(older_store, use):
    engine = connect(Location.of(older_store))
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()
    before = look(older_store)
    with pytest.raises(SchemaTooNewError, match="made by a newer ww: upgrade ww"):
        use(older_store)
    assert look(older_store) == before
    assert copies(older_store) == []


def test_no_store_to_upgrade(new_store_url, tmp_path):
    with pytest.raises(NotAStoreError, match="`ww analyze` makes one"):
        upgrade_store(new_store_url)
    if "://" not in new_store_url:
        assert list(tmp_path.iterdir()) == []


@only_files
def test_no_room_for_the_copy(older_store, next_revision, monkeypatch):
    before = look(older_store)
    next_revision(GOOD)
    connected = sqlite3.connect

    def small(path, *args, **kwargs):
        connection = connected(path, *args, **kwargs)
        if ".bak-" in str(path):
            connection.execute("PRAGMA max_page_count = 2")
        return connection

    with monkeypatch.context() as patch:
        patch.setattr(sqlite3, "connect", small)
        with pytest.raises(StoreError, match="free some space"):
            open_store(older_store)
    assert look(older_store) == before
    assert copies(older_store) == []


# --- several at once --------------------------------------------------------------------------------------------------

OPEN = """
import sys
from ww_core.store.store import open_store
print("ready", flush=True)
sys.stdin.readline()
with open_store(sys.argv[1]) as store:
    print(store.info().revision)
"""


@pytest.mark.slow
def test_eight_processes_open_a_new_store(tmp_path):
    opened_by_eight(str(tmp_path / "store.sqlite"))


@pytest.mark.stress
@pytest.mark.postgres
def test_eight_processes_open_a_new_store_on_a_server(make_database):
    opened_by_eight(make_database())


def opened_by_eight(store_url):
    environment = os.environ | {"PYTHONPATH": str(CHECKOUT)}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", OPEN, store_url],
            env=environment,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for _ in range(8)
    ]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    answers = [process.communicate(timeout=60) for process in processes]
    assert answers == [(f"{migrate.SCHEMA_HEAD}\n", "")] * 8


def test_eight_threads_open_a_new_store(new_store_url):
    def revision(_: int) -> str:
        with open_store(new_store_url) as store:
            return store.info().revision

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(revision, range(8))) == [migrate.SCHEMA_HEAD] * 8


def test_eight_threads_open_an_older_store(older_store, next_revision):
    next_revision(GOOD)
    with ThreadPoolExecutor(8) as threads:
        for store in threads.map(lambda _: open_store(older_store), range(8)):
            store.close()
    assert look(older_store)[0] == "0005"
    assert len(copies(older_store)) == (0 if "://" in older_store else 1)


# --- an installed program ---------------------------------------------------------------------------------------------


def test_a_store_of_this_schema_is_opened_without_alembic(tmp_path):
    open_store(tmp_path / "x.db").close()
    code = (
        "import sys; from ww_core.store.store import open_store\n"
        "open_store(sys.argv[1]).close(); print('alembic' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "x.db")],
        env=os.environ | {"PYTHONPATH": str(CHECKOUT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "False\n"


def test_an_installation_without_scripts(monkeypatch, tmp_path):
    monkeypatch.setattr(migrate, "__file__", str(tmp_path / "ww_core" / "store" / "migrate.py"))
    with pytest.raises(StoreError, match="reinstall ww"):
        migrate.scripts_folder()


@pytest.mark.slow
def test_the_wheel_makes_a_store(tmp_path):
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(CHECKOUT)]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    shipped = {str(path.relative_to(site)) for path in (site / "ww_core" / "_migrations").rglob("*") if path.is_file()}
    assert shipped == {
        "ww_core/_migrations/env.py",
        "ww_core/_migrations/script.py.mako",
        *(f"ww_core/_migrations/versions/{path.name}" for path in (CHECKOUT / "migrations" / "versions").glob("*.py")),
    }
    code = (
        "import ww_core, sys; from ww_core.store.store import open_store\n"
        "print(ww_core.__file__); open_store(sys.argv[1]).close()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "x.db")],
        env=os.environ | {"PYTHONPATH": str(site)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip() == str(site / "ww_core" / "__init__.py")
    with open_store(tmp_path / "x.db", mode="read") as store:
        assert store.info().revision == migrate.SCHEMA_HEAD
