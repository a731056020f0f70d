"""A store goes through folders from one database to the other and back, and nothing of it is lost or changed."""

from __future__ import annotations

import contextlib
import json
import sqlite3

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select

import ww_core as ww
from ww_core.store import tables
from ww_core.store.exchange.layout import exchanged_tables, has_key, ordering
from ww_core.store.exchange.rules import SPECIAL, merged_order
from ww_core.store.store import open_store

EMPTY = {"file_digest", "alembic_version"}
"""Tables that no folder has."""


def files_of(folder):
    """Content of all files but the manifest, which has the time in it."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "manifest.json"}


def counts(location):
    with open_store(location, mode="read") as store, store._reading() as connection:
        return {
            table.name: connection.scalar(select(func.count()).select_from(table))
            for table in tables.metadata.tables.values()
            if table.name not in EMPTY
        }


def reports_of(location):
    """All that the store answers, by question."""
    found = {}
    with open_store(location, mode="read") as store:
        names = {version.model for version in store.versions()}
        found["versions"] = store.versions()
        found["scores"], found["series"] = store.scores(), store.series()
        for version in store.versions():
            name = f"{version.model}@{version.version}"
            found["runs", name] = runs = store.runs(name)
            for run in runs:
                found["report", name, run.number] = without_place(store.report(name, run=run.number))
                found["origins", name, run.number] = store.origins(name, run=run.number)
                found["coverage", name, run.number] = store.layer_coverage(name, run=run.number)
            found["layers", name] = store.layers(name)
            found["digest", name] = without_place(store.report(version.digest))
        for name in names:
            for profile in ("default", "weightwatcher"):
                try:
                    found["history", name, profile] = repr(store.history(name, profile=profile).rows())
                except ww.StoreError as error:
                    found["history", name, profile] = str(error)
        for model, layer in (("net", "a"), ("net", "b")):
            matrices = store.spectrum(model, layer).matrices
            found["spectrum", layer] = [own.spectrum.singular_values.tobytes() for own in matrices]
    return found


def without_place(report):
    return {key: value for key, value in report.to_dict().items() if key != "store"}


def moved(source, folder, target):
    """Take all of a store to another through a folder, and return what the export said."""
    exported = ww.export_folder(folder, store=source)
    ww.import_folder(folder, store=target)
    return exported


# --- round trips ------------------------------------------------------------------------------------------------------


def test_the_store_of_these_tests_has_a_row_in_every_table(everything):
    assert [name for name, count in counts(everything).items() if not count] == []
    with open_store(everything) as store:
        assert store.verify().faults == {}


def test_to_the_other_database_and_back_the_files_are_the_same(everything_in_a_file, make_store_url, tmp_path):
    middle, last = make_store_url(), tmp_path / "last.sqlite"
    first = moved(everything_in_a_file, tmp_path / "1", middle)
    second = moved(middle, tmp_path / "2", last)
    third = ww.export_folder(tmp_path / "3", store=last)
    assert files_of(tmp_path / "1") == files_of(tmp_path / "2") == files_of(tmp_path / "3")
    assert first.digest == second.digest == third.digest
    assert first.files == third.files
    assert counts(everything_in_a_file) == counts(middle) == counts(last)
    expected = reports_of(everything_in_a_file)
    assert reports_of(middle) == expected
    assert reports_of(last) == expected
    for location in (middle, last):
        with open_store(location) as store:
            assert store.verify().faults == {}


def test_what_another_program_would_read(everything, tmp_path):
    exported = ww.export_folder(tmp_path / "folder", store=everything)
    manifest = json.loads((tmp_path / "folder" / "manifest.json").read_text())
    assert manifest["format"] == 1
    assert manifest["digest"] == exported.digest
    assert sorted(f"{name}.jsonl" for name in manifest["files"]) == sorted(files_of(tmp_path / "folder"))
    assert not EMPTY & set(manifest["files"])
    for name, told in manifest["files"].items():
        lines = (tmp_path / "folder" / f"{name}.jsonl").read_bytes().decode().split("\n")
        assert lines.pop() == ""
        rows = [json.loads(line) for line in lines]
        assert len(rows) == told["rows"] == exported.files[name].rows
        assert {len(row) for row in rows} <= {len(told["columns"])}
    assert exported.rows == sum(counts(everything).values())
    assert exported.bytes == sum(map(len, files_of(tmp_path / "folder").values()))


def test_the_same_folder_again_adds_nothing(everything, make_store_url, tmp_path):
    target = make_store_url()
    moved(everything, tmp_path / "1", target)
    again = ww.import_folder(tmp_path / "1", store=target)
    assert again.added == {}
    assert again.rows == sum(counts(target).values())
    ww.export_folder(tmp_path / "2", store=target)
    assert files_of(tmp_path / "1") == files_of(tmp_path / "2")


def test_an_import_into_the_store_itself_adds_nothing(everything, tmp_path):
    before = reports_of(everything)
    ww.export_folder(tmp_path / "1", store=everything)
    assert ww.import_folder(tmp_path / "1", store=everything).added == {}
    assert reports_of(everything) == before


def test_equal_content_gives_equal_bytes_whatever_the_order_it_came_in(everything, make_store_url, tmp_path):
    """The keys of the rows are others where chosen models come first."""
    ww.export_folder(tmp_path / "all", store=everything)
    for at, models in enumerate((["odd"], ["twin", "größe ✓"])):
        ww.export_folder(tmp_path / f"part-{at}", models, store=everything)
    told = [(name, folder) for name, folder in (("x", "part-0"), ("y", "part-1"))]
    targets = [make_store_url(), make_store_url()]
    for target, folders in zip(targets, (told, told[::-1]), strict=True):
        for _, folder in folders:
            ww.import_folder(tmp_path / folder, store=target)
    contents = []
    for at, target in enumerate(targets):
        ww.export_folder(tmp_path / f"done-{at}", store=target)
        contents.append(files_of(tmp_path / f"done-{at}"))
    differing = {name for name in contents[0] if contents[0][name] != contents[1][name]}
    assert differing <= {
        "run.jsonl",
        "run_failure.jsonl",
        "origin.jsonl",
        "value.jsonl",
        "spectrum.jsonl",
    }  # run numbers


def test_an_empty_store_has_an_empty_folder(new_store_url, tmp_path):
    open_store(new_store_url).close()
    exported = ww.export_folder(tmp_path / "1", store=new_store_url)
    assert exported.rows == len(tables.SUBJECT_KINDS) + len(tables.IDENTITY_KINDS)
    with open_store() as store:
        assert store.import_folder(tmp_path / "1").added == {}


def test_a_store_in_memory_goes_along_too(tmp_path, weights):
    with open_store() as store:
        report = ww.analyze(weights, store=store, name="net")
        store.export_folder(tmp_path / "1")
    with open_store() as store:
        store.import_folder(tmp_path / "1")
        assert store.report("net").layers == report.layers
        again = ww.analyze(weights, store=store, name="net")
        assert (again.run.computed, again.run.id) == (0, 2)


def test_the_next_run_gets_a_number_that_nobody_had(everything, make_store_url, tmp_path):
    target = make_store_url()
    moved(everything, tmp_path / "1", target)
    with open_store(target) as store, store._reading() as connection:
        highest = max(connection.scalars(select(tables.run.c.id)))
        told = max(connection.scalars(select(tables.origin.c.run)))
    assert ww.analyze({"n.weight": np.eye(5)}, store=target, name="new").run.id > max(highest, told)


def test_rows_that_point_nowhere_are_not_exported(everything_in_a_file, tmp_path):
    with contextlib.closing(sqlite3.connect(everything_in_a_file)) as connection:
        connection.execute("DELETE FROM tensor WHERE id = (SELECT min(weight_id) FROM layer)")
        connection.commit()
    with pytest.raises(ww.StoreError, match="points at a missing one: look with `ww db check`"):
        ww.export_folder(tmp_path / "1", store=everything_in_a_file)
    assert list(tmp_path.glob("1*")) == list(tmp_path.glob(".ww*")) == []


# --- the layout -------------------------------------------------------------------------------------------------------


def test_every_table_has_an_order_that_tells_its_rows_apart():
    for table in exchanged_tables(tables.metadata):
        names = [column.name for column in ordering(table)]
        assert names, table.name
        assert "id" not in names or table.name == "run"
        if not has_key(table):
            assert set(names) == {column.name for column in table.primary_key}


def test_special_rules_are_of_tables_that_there_are():
    assert set(SPECIAL) <= set(tables.metadata.tables)


def test_a_later_table_goes_along(everything_in_a_file, tmp_path, monkeypatch):
    """The layout is read from the metadata: a table that is added to it needs no word in the exchange."""
    from sqlalchemy import Column, ForeignKey, Integer, MetaData, Table, Text

    metadata = MetaData()
    for table in tables.metadata.tables.values():
        table.to_metadata(metadata)
    key = Column("model_id", Integer, ForeignKey("model.id"), primary_key=True)
    note = Table("note", metadata, key, Column("text", Text, nullable=False))
    monkeypatch.setattr(tables, "metadata", metadata)
    with open_store(everything_in_a_file) as store:
        with store._writing() as connection:
            note.create(connection)
            connection.execute(note.insert().values(model_id=2, text="hello"))
        assert store.export_folder(tmp_path / "1").files["note"].rows == 1
    assert (tmp_path / "1" / "note.jsonl").read_text().endswith(',"hello"]\n')


names = st.lists(st.sampled_from("abcdefgh"), unique=True, max_size=8)


@given(names, names, st.dictionaries(st.sampled_from("abcdefgh"), st.integers(0, 9).map(str)))
@settings(deadline=None)
def test_versions_of_two_stores_are_put_in_one_order(here, coming, moments):
    here, coming = ([(name, moments.get(name, "5")) for name in own] for own in (here, coming))
    merged = merged_order(here, coming)
    assert sorted(merged) == sorted({name for name, _ in (*here, *coming)})
    assert [name for name in merged if name in dict(here)] == [name for name, _ in here]
    new = [name for name, _ in coming if name not in dict(here)]
    assert [name for name in merged if name in new] == new
    assert merged_order([(name, "") for name in merged], coming) == merged
