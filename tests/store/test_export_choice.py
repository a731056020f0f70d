"""A folder of chosen models has all that belongs to them, and nothing of the others."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sqlalchemy import select

import ww_core as ww
from ww_core.store import tables
from ww_core.store.store import open_store


def text_of(folder):
    return "".join(path.read_text() for path in folder.iterdir())


def content(report):
    return {key: value for key, value in report.to_dict().items() if key not in {"store", "run"}}


@pytest.mark.parametrize("model", ["net", "twin", "größe ✓", "odd", "lossy", "stopped"])
def test_a_model_goes_along_with_all_that_belongs_to_it(everything_in_a_file, tmp_path, model):
    ww.export_folder(tmp_path / "part", [model], store=everything_in_a_file)
    others = {"net", "twin", "größe ✓", "odd", "lossy", "stopped", "VGG16", "VGG11"} - {model}
    text = text_of(tmp_path / "part")
    assert [name for name in others if f'"{name}"' in text or f'"{name}@' in text] == []
    with open_store(everything_in_a_file) as whole, open_store() as store:
        store.import_folder(tmp_path / "part")
        assert store.verify().faults == {}
        expected = [own._asdict() for own in whole.versions() if own.model == model]
        assert [own._asdict() for own in store.versions()] == expected
        for version in expected:
            name = f"{model}@{version['version']}"
            assert store.layers(name) == whole.layers(name)
            for run in whole.runs(name):
                assert content(store.report(name, run=run.number)) == content(whole.report(name, run=run.number))
                made, told = ([own._replace(origin=None) for own in at.origins(name)] for at in (store, whole))
                assert made == told
        scores = {(own.model, own.value) for own in whole.scores().scores if own.model == model}
        assert {(own.model, own.value) for own in store.scores().scores} == scores
        assert {own.series for own in store.series()} == ({"nets"} if model == "net" else set())


def test_versions_can_be_chosen(everything_in_a_file, tmp_path):
    chosen = ["net@checkpoint-500", "odd"]
    exported = ww.export_folder(tmp_path / "part", chosen, store=everything_in_a_file)
    assert exported.files["label"].rows == 2
    with open_store() as store:
        store.import_folder(tmp_path / "part")
        assert {f"{own.model}@{own.version}" for own in store.versions()} == {"net@checkpoint-500", "odd@1"}


def test_parts_and_then_the_whole_are_the_whole(everything, make_store_url, tmp_path):
    target = make_store_url()
    for number, models in enumerate((["odd", "twin"], ["net"], [])):
        ww.export_folder(tmp_path / f"part-{number}", models, store=everything)
        ww.import_folder(tmp_path / f"part-{number}", store=target)
    with open_store(target) as store, open_store(everything) as whole:
        assert store.verify().faults == {}
        assert sorted(store.versions()) == sorted(whole.versions())
        for name in ("net@checkpoint-500", "net@checkpoint-1000", "twin", "odd", "größe ✓"):
            assert content(store.report(name)) == content(whole.report(name))
        for table in (tables.value, tables.spectrum, tables.table_value, tables.coverage, tables.summary, tables.run):
            here, there = (_count(own, table) for own in (store, whole))
            assert here == there, table.name


def _count(store, table):
    with store._reading() as connection:
        return len(connection.execute(select(*table.primary_key)).all())


def test_what_other_models_share_goes_along_once_and_says_nothing_of_them(tmp_path):
    shared = np.random.default_rng(1).standard_normal((20, 10))
    with open_store(tmp_path / "store.sqlite") as store:
        for name in ("secret", "open"):
            own = np.random.default_rng(len(name)).standard_normal((20, 20))
            ww.analyze({"shared.weight": shared, f"{name}.weight": own}, store=store, name=name)
        ww.analyze({"open.weight": own, "shared.weight": shared}, store=store, name="secret", version="2")
        store.forget("secret@2")
        store.export_folder(tmp_path / "part", ["open"])
    text = text_of(tmp_path / "part")
    assert "secret" not in text
    with open_store() as store:
        store.import_folder(tmp_path / "part")
        assert len(store.report("open").layers) == 2


@pytest.mark.parametrize("names", [["nix"], ["net@nix"], ["net", "nix"]])
def test_a_name_that_nothing_carries(everything_in_a_file, tmp_path, names):
    with pytest.raises(ww.NotStoredError, match="nix"):
        ww.export_folder(tmp_path / "part", names, store=everything_in_a_file)
    assert not (tmp_path / "part").exists()


def test_a_digest_is_no_name(everything_in_a_file, tmp_path):
    with open_store(everything_in_a_file) as store:
        digest = store.versions()[0].digest
        with pytest.raises(ww.NotStoredError, match="give MODEL or MODEL@VERSION"):
            store.export_folder(tmp_path / "part", [digest])


# --- places -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def small(tmp_path):
    """Path of a store of one model."""
    ww.analyze({"w.weight": np.eye(4)}, store=tmp_path / "store.sqlite", name="net")
    return tmp_path / "store.sqlite"


def test_what_is_there_is_not_overwritten(small, tmp_path):
    (tmp_path / "file").write_text("precious")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("precious")
    (tmp_path / "link").symlink_to("nowhere")
    ww.export_folder(tmp_path / "export", store=small)
    for name in ("file", "full", "link", "export"):
        with pytest.raises(ww.UsageError, match=f"{name} exists already"):
            ww.export_folder(tmp_path / name, store=small)
    assert (tmp_path / "file").read_text() == (tmp_path / "full" / "file").read_text() == "precious"
    (tmp_path / "of another program").mkdir()
    (tmp_path / "of another program" / "manifest.json").write_text('{"format": 1, "files": {}}')
    (tmp_path / "export" / "mine.jsonl").write_text("precious")
    for name in ("file", "full", "link", "of another program", "export"):
        with pytest.raises(ww.UsageError, match=r"exists already, and is not an export: give another name$"):
            ww.export_folder(tmp_path / name, store=small, replace=True)
    assert (tmp_path / "full" / "file").read_text() == "precious"


def test_an_export_is_replaced_when_that_is_asked(small, tmp_path):
    before = ww.export_folder(tmp_path / "export", store=small)
    ww.analyze({"w.weight": np.eye(5)}, store=small, name="net")
    after = ww.export_folder(tmp_path / "export", store=small, replace=True)
    assert after.digest != before.digest
    assert json.loads((tmp_path / "export" / "manifest.json").read_text())["digest"] == after.digest
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_an_empty_folder_is_as_good_as_none(small, tmp_path):
    (tmp_path / "empty").mkdir()
    assert ww.export_folder(tmp_path / "empty", store=small).rows > 20


def test_what_goes_wrong_leaves_nothing(small, tmp_path, monkeypatch):
    from ww_core.store.exchange import writing

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(writing, "_encode", interrupted)
    with pytest.raises(KeyboardInterrupt):
        ww.export_folder(tmp_path / "export", store=small)
    assert sorted(path.name for path in tmp_path.iterdir() if "sqlite" not in path.name) == []


def test_a_place_that_cannot_be_written(small, tmp_path):
    with pytest.raises(ww.OutputError, match=r"missing/export cannot be written: No such file"):
        ww.export_folder(tmp_path / "missing" / "export", store=small)
