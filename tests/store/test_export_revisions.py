"""A folder that an older program wrote is taken by the migrations that upgrade a store; a newer one is refused."""

from __future__ import annotations

import lzma
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
from alembic.script import ScriptDirectory

import ww_core as ww
from ww_core.store import migrate
from ww_core.store.store import open_store

pytestmark = pytest.mark.migrations

REVISIONS = Path(__file__).parent / "revisions"

LATER = """
    op.create_table("extra", sa.Column("id", sa.Integer(), primary_key=True))
    with op.batch_alter_table("series") as batch:
        batch.add_column(sa.Column("note", sa.Text(), nullable=False, server_default=""))
    op.execute("UPDATE label SET source = 'upgraded'")
"""


@pytest.fixture
def next_revision(monkeypatch, tmp_path):
    """Make this program one of the next release, whose head is one revision later."""

    def install(body: str) -> None:
        head = migrate.SCHEMA_HEAD
        later = f"{int(head) + 1:04}"
        folder = tmp_path / "scripts"
        shutil.copytree(migrate.scripts_folder(), folder, ignore=shutil.ignore_patterns("__pycache__"))
        (folder / "versions" / f"{later}_next.py").write_text(
            "import sqlalchemy as sa\nfrom alembic import op\n"
            f'revision = "{later}"\ndown_revision = "{head}"\nbranch_labels = None\ndepends_on = None\n'
            f"def upgrade() -> None:\n{body}\n"
        )
        monkeypatch.setattr(migrate, "SCHEMA_HEAD", later)
        monkeypatch.setattr(migrate, "scripts_folder", lambda: folder)
        migrate._empty_store.cache_clear()

    yield install
    monkeypatch.undo()
    migrate._empty_store.cache_clear()


def revisions():
    return [script.revision for script in ScriptDirectory(str(migrate.scripts_folder())).walk_revisions()]


KEPT = sorted(path.name.partition("-")[0] for path in REVISIONS.glob("*-folder.tar.xz"))


def test_every_revision_before_the_newest_has_a_kept_folder():
    missing = sorted(set(revisions()) - {migrate.SCHEMA_HEAD} - set(KEPT))
    assert missing == [], "run revisions/make_revision.py with the program of these revisions, and keep the folders"


@pytest.mark.parametrize("revision", KEPT)
def test_a_folder_of_each_revision_is_taken(make_store_url, tmp_path, revision, content_of):
    """What comes of it is what comes of upgrading the store that it was made of."""
    with tarfile.open(REVISIONS / f"{revision}-folder.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    (tmp_path / "upgraded.sqlite").write_bytes(lzma.decompress((REVISIONS / f"{revision}.sqlite.xz").read_bytes()))
    target = make_store_url()
    assert ww.import_folder(tmp_path / f"{revision}-folder", store=target).added["value"] > 100
    with open_store(target) as store, open_store(tmp_path / "upgraded.sqlite") as upgraded:
        assert store.verify().faults == {}
        assert store.versions() == upgraded.versions()
        assert store.scores() == upgraded.scores()
        for version in store.versions():
            name = f"{version.model}@{version.version}"
            assert store.origins(name) == upgraded.origins(name)
    left_out = {"file_digest"}
    taken, expected = content_of(target), content_of(tmp_path / "upgraded.sqlite")
    assert {k: v for k, v in taken.items() if k not in left_out} == {
        k: v for k, v in expected.items() if k not in left_out
    }
    assert ww.import_folder(tmp_path / f"{revision}-folder", store=target).added == {}


def test_a_folder_of_today_is_taken_by_the_next_release(tmp_path, next_revision):
    ww.analyze({"w.weight": np.eye(5)}, store=tmp_path / "store.sqlite", name="net", series="nets")
    ww.export_folder(tmp_path / "folder", store=tmp_path / "store.sqlite")
    next_revision(LATER)
    with open_store(tmp_path / "new.sqlite") as store:
        assert store.import_folder(tmp_path / "folder").added["series"] == 1
        assert [own.source for own in store.versions()] == ["upgraded"]
        assert store.info().revision == migrate.SCHEMA_HEAD
    again = ww.export_folder(tmp_path / "again", store=tmp_path / "new.sqlite")
    assert again.files["series"].rows == 1


def test_a_folder_of_the_next_release_is_refused(tmp_path, next_revision, monkeypatch):
    head = migrate.SCHEMA_HEAD
    next_revision(LATER)
    ww.analyze({"w.weight": np.eye(5)}, store=tmp_path / "store.sqlite", name="net")
    monkeypatch.setattr("ww_core.store.exchange.writing.SCHEMA_HEAD", migrate.SCHEMA_HEAD)
    ww.export_folder(tmp_path / "folder", store=tmp_path / "store.sqlite")
    monkeypatch.undo()
    assert head == migrate.SCHEMA_HEAD
    with pytest.raises(ww.SchemaTooNewError, match=r"folder was made by a newer ww: upgrade ww"):
        ww.import_folder(tmp_path / "folder", store=tmp_path / "new.sqlite")
    assert not (tmp_path / "new.sqlite").exists()
