"""A check finds what was changed behind the program's back, and says nothing of a store that is as it was written."""

import contextlib
import os
import shutil
import sqlite3

import numpy as np
import pytest
from safetensors.numpy import save_file
from sqlalchemy import delete, select, text

import ww_core as ww
from ww_core.store import tables
from ww_core.store.integrity import findings
from ww_core.store.store import open_store


def net(number):
    random = np.random.default_rng(number)
    return {
        "a.weight": random.standard_normal((30, 20)),
        "a.bias": random.standard_normal(30),
        "b.weight": random.standard_normal((12, 6, 3, 3)),
        "shared.weight": np.random.default_rng(99).standard_normal((20, 30)),
    }


MENDED = {"mended": False}


@ww.metric(version="1")
def fragile(singular_values):
    """Raises for some layers, until it is mended."""
    if float(singular_values[0]) > 20 and not MENDED["mended"]:
        raise RuntimeError("not this one")
    return float(singular_values[0])


class Plugin:
    @ww.hookimpl
    def ww_register_metrics(self):
        return [fragile]


def fill(store):
    ww.analyze(net(1), store=store, name="net", extractors=["pool", "slice"])
    ww.analyze(net(2), store=store, name="net")


@pytest.fixture
def store(make_copy):
    """A store of a few analyses, open."""
    with open_store(make_copy(fill)) as store:
        yield store


def change(store, statement):
    """Change a store as no program of ours does."""
    with store._writing() as connection:
        connection.execute(text(statement))


def faults(store):
    return {kind: own.count for kind, own in store.verify().faults.items()}


# --- sound ------------------------------------------------------------------------------------------------------------


def test_a_store_of_many_kinds_of_runs_is_sound(store, tmp_path, weights):
    ww.analyze(net(1), store=store, name="net", profile="weightwatcher")
    ww.analyze({"large.weight": np.random.default_rng(0).standard_normal((60, 55))}, store=store, profile="trends-2020")
    ww.analyze(net(1), store=store, name="net", precision="float32", keep_spectra=False)
    ww.analyze(net(1), store=store, name="net", extractors=["fft[n=8]"], layers=["b"])
    ww.analyze(net(1), store=store, name="net", metrics=["alpha"], parameters={"power_law.ks": "two-sided"})
    ww.analyze(net(1), store=store, name="net", groups={"b": 3}, metrics=["smallest_singular_value"])
    ww.analyze(net(3), store=store, name="net", metrics=["fragile", "alpha"], plugins=[Plugin()])
    ww.analyze(weights, store=store, name="größe", series="nets")
    path = tmp_path / "with buffers.safetensors"
    save_file(net(4) | {"b.running_mean": np.ones(12), "count": np.arange(3)}, path)
    ww.analyze(path, store=store)
    store.forget("net@2")
    found = store.verify()
    assert not found.faults
    assert min(found.checked.values()) > 20


def test_an_empty_store_is_sound(store_url):
    with open_store(store_url) as store:
        found = store.verify()
    assert not found.faults
    assert set(found.checked.values()) == {0}


class Stop:
    """An observer that stops a run before its first layer."""

    def on_start(self, start):
        raise KeyboardInterrupt


@pytest.mark.parametrize("metrics", [["alpha"], []])
def test_a_run_that_was_interrupted_is_no_fault(store, metrics):
    for name, weights in (("new", net(5)), ("net", net(1))):
        with pytest.raises(KeyboardInterrupt):
            ww.analyze(weights, store=store, name=name, observers=[Stop()], metrics=metrics)
    assert faults(store) == {}


def test_a_summary_that_lacked_what_was_computed_since_is_no_fault(store, monkeypatch):
    lost = net(3) | {"a.weight": 3 * net(3)["a.weight"]}
    assert ww.analyze(lost, store=store, name="one", metrics=["fragile"], plugins=[Plugin()]).failures
    assert faults(store) == {}
    monkeypatch.setitem(MENDED, "mended", True)
    sharing = lost | {"other.weight": np.ones((6, 5))}
    assert not ww.analyze(sharing, store=store, name="two", metrics=["fragile"], plugins=[Plugin()]).failures
    assert store.report("one").summary["fragile"].missing == 0
    assert faults(store) == {}
    with store._reading() as connection:
        assert True in connection.execute(select(tables.summary.c.partial)).scalars().all()


# --- changed ----------------------------------------------------------------------------------------------------------

DIGEST = "0" * 64


@pytest.mark.parametrize(
    ("statement", "kinds"),
    [
        ("UPDATE matrix_subject SET entries = entries + 1 WHERE context_id IS NULL", {"digest"}),
        ("UPDATE matrix_subject SET groups = 2", {"digest", "summary"}),
        ("UPDATE layer_subject SET kind = 'embedding'", {"digest", "summary"}),
        ("UPDATE layer_subject SET bias_id = weight_id", {"digest", "summary"}),
        ("UPDATE subject SET digest = 'x' WHERE kind = 'model' AND id IN (SELECT max(id) FROM subject)", {"digest"}),
        ("DELETE FROM layer_subject", {"digest", "summary"}),
        ("UPDATE layer SET name = 'other' WHERE position = 1", {"digest"}),
        ("UPDATE layer SET size = size + 1 WHERE position = 1", {"digest"}),
        ("DELETE FROM skipped_tensor", set()),
        ("UPDATE layer SET bias_name = 'other' WHERE bias_id IS NOT NULL", {"digest"}),
        ("UPDATE identity SET version = '9' WHERE kind = 'extractor'", {"digest"}),
        ("UPDATE identity SET parameters = '{}' WHERE key = 'ww.metrics:power_law'", {"digest"}),
        ("UPDATE identity SET parameters = 'x' WHERE key = 'ww.metrics:power_law'", {"digest"}),
        ("UPDATE identity SET parameters = '{}' WHERE kind = 'spectrum'", {"digest"}),
        ("UPDATE metric_column SET key = 'betta' WHERE key = 'alpha'", {"digest"}),
        ("UPDATE selection SET layers = '[\"a\"]'", {"digest", "summary"}),
        ("UPDATE selection SET profile = 'other'", {"digest"}),
        ("UPDATE selection SET extractors = '{}'", {"digest"}),
        ("UPDATE selection_variant SET headline = 77 WHERE position = 3", {"digest"}),
        ("UPDATE variant SET extractors = '{}' WHERE extractors <> '{}'", {"digest"}),
        ("UPDATE tensor SET digest = id || 'x'", {"digest"}),
        ("UPDATE checkpoint SET digest = id || 'x'", {"digest"}),
        ("UPDATE spectrum SET length = length + 1", {"spectrum"}),
        ("UPDATE spectrum SET noise_floor = -1", {"spectrum"}),
        ("UPDATE spectrum SET encoding = 'zip'", {"spectrum"}),
        ("UPDATE spectrum SET singular_values = noise WHERE length = 6", {"spectrum"}),
        ("UPDATE value SET number = number + 1 WHERE number > 1", {"summary"}),
        ("UPDATE value SET number = 1e999 WHERE state = 'ok' AND text IS NULL", {"value"}),
        ("UPDATE value SET number = NULL, text = 'x' WHERE number IS NOT NULL", {"value"}),
        ("UPDATE summary SET value = 0 WHERE aggregate = 'mean'", {"summary"}),
        ("UPDATE summary SET present = present + 1", {"summary"}),
        ("DELETE FROM summary WHERE aggregate = 'median'", {"summary"}),
        ("DELETE FROM summary", {"summary"}),
    ],
)
def test_what_was_changed_is_found(store, statement, kinds):
    if "1e999" in statement and "postgresql" in store.location:
        statement = statement.replace("1e999", "'Infinity'")
    if "noise" in statement.partition("WHERE")[0].partition("singular_values")[2]:
        literal = r"'\x001122'" if "postgresql" in store.location else "x'001122'"
        statement = statement.replace("noise ", f"{literal} ")
    assert faults(store) == {}
    change(store, statement)
    assert faults(store).keys() == kinds


def test_a_spectrum_that_is_not_descending_is_found(store):
    from ww_core.store.encoding import encode_spectrum

    for values in ([1.0, 2.0], [1.0, float("nan")], [float("inf"), 1.0], [1.0, -1.0]):
        encoding, content = encode_spectrum(np.array(values))
        row = {"encoding": encoding, "singular_values": content, "length": 2}
        with store._writing() as connection:
            connection.execute(tables.spectrum.update().values(row))
        found = store.verify().faults["spectrum"]
        assert "singular values" in found.first[0]


def test_faults_are_counted_and_the_first_are_told(store, monkeypatch):
    monkeypatch.setattr(findings, "SHOWN", 5)
    change(store, "UPDATE matrix_subject SET entries = entries + 1")
    found = store.verify().faults["digest"]
    assert len(found.first) == 5
    assert found.count > 12


@pytest.fixture(scope="module")
def sound_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("sound") / "store.sqlite"
    ww.analyze(net(1), store=path, name="net")
    return path


@pytest.fixture
def file(sound_file, tmp_path):
    """Path of a store in a file, of which changes that no constraint allows are possible."""
    return shutil.copyfile(sound_file, tmp_path / "store.sqlite")


@pytest.mark.parametrize(
    ("statement", "kind", "words"),
    [
        ("DELETE FROM tensor WHERE id = 1", "reference", "of layer points at a missing row of tensor"),
        ("DELETE FROM metric_column WHERE name = 'alpha'", "reference", "of value points at a missing row"),
        ("DELETE FROM model", "reference", "of label points at a missing row of model"),
        ("UPDATE value SET state = 'perhaps'", "constraint", "value (subject_id 1, column_id"),
        ("UPDATE value SET number = NULL WHERE state = 'ok'", "constraint", "breaks the rule (state = 'ok') ="),
        ("UPDATE value SET text = 'x' WHERE state <> 'ok'", "constraint", "breaks the rule state = 'ok' OR"),
        ("UPDATE run SET state = 'lost'", "constraint", "run (id 1)"),
        ("UPDATE layer SET name = CAST(x'ff61' AS TEXT) WHERE position = 1", "file", "UTF-8"),
        ("UPDATE layer SET shape = x'ff'", "digest", "structure 1"),
        ("UPDATE layer SET groups = 'two'", "digest", "structure 1"),
        ("UPDATE coverage SET matrices = 'two'", "digest", "model"),
        ("UPDATE run SET warnings = '['", "value", "cannot be read (JSONDecodeError"),
    ],
)
def test_what_no_constraint_allows_is_found(file, statement, kind, words):
    with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        connection.execute(statement)
    with open_store(file, mode="read") as store:
        found = store.verify().faults
    assert any(words in message for message in found[kind].first), found


def test_a_text_that_cannot_be_read_is_one_sentence(file):
    with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("UPDATE layer SET name = CAST(x'ff61' AS TEXT)")
    with open_store(file, mode="read") as store, pytest.raises(ww.StoreError, match=r"damaged.*`ww db check`"):
        store.report("net")


@pytest.mark.parametrize("seed", range(40))
def test_flipped_bytes_are_faults_or_one_sentence(file, tmp_path, seed):
    random = np.random.default_rng(seed)
    content = bytearray(file.read_bytes())
    for place in random.integers(100, len(content), 400):
        content[place] ^= int(random.integers(1, 256))
    broken = tmp_path / "broken.sqlite"
    broken.write_bytes(content)
    with contextlib.suppress(ww.StoreError), open_store(broken, mode="read") as store:
        assert store.verify().faults


def test_a_file_that_was_cut_is_found(file):
    os.truncate(file, file.stat().st_size // 2)
    with contextlib.suppress(ww.StoreError), open_store(file, mode="read") as store:
        assert store.verify().faults["file"]


# --- mended -----------------------------------------------------------------------------------------------------------


def summaries(store):
    with store._reading() as connection:
        return {tuple(row) for row in connection.execute(select(tables.summary))}


@pytest.mark.parametrize(
    "statement", ["DELETE FROM summary", "UPDATE summary SET value = 7 WHERE aggregate = 'mean' AND analysis_id = 1"]
)
def test_summaries_are_written_anew_as_they_were(store, statement):
    before = summaries(store)
    change(store, statement)
    assert summaries(store) != before
    assert store.rebuild_summaries() == (1 if "analysis_id" in statement else 2)
    assert summaries(store) == before
    assert faults(store) == {}
    assert store.rebuild_summaries() == 0


def test_a_store_opened_for_reading_is_checked_and_not_mended(store):
    with store._writing() as connection:
        connection.execute(delete(tables.summary))
    with open_store(store.location, mode="read") as reader:
        assert reader.verify().faults.keys() == {"summary"}
        with pytest.raises(ww.StoreError, match="opened for reading"):
            reader.rebuild_summaries()


UNREADABLE = [
    "UPDATE spectrum SET length = 'abc'",
    "UPDATE spectrum SET singular_values = 'text'",
    "UPDATE spectrum SET noise_floor = 'abc'",
    "UPDATE run SET request = 'x'",
    "UPDATE run SET request = '[]'",
    "UPDATE value SET state = 'weird'",
    "UPDATE value SET number = 'abc'",
    "UPDATE origin SET through = 'x'",
    "UPDATE layer SET rounding = 'x'",
    "UPDATE identity SET needs = 'x'",
]


def test_whoever_meets_what_cannot_be_read_says_so_in_one_sentence(tmp_path, weights, subtests):
    ww.analyze(weights, store=tmp_path / "sound.sqlite", name="net")
    for damage in UNREADABLE:
        path = shutil.copyfile(tmp_path / "sound.sqlite", tmp_path / "s.sqlite")
        with subtests.test(damage):
            assert any("`ww db check` lists what is damaged" in said for said in answers_of_damaged(path, damage))


def answers_of_damaged(path, damage):
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        connection.execute(damage)
        connection.commit()
    said = []
    with open_store(path) as store:
        for ask in (
            lambda: store.report("net"),
            lambda: store.spectrum("net", "first"),
            lambda: store.values(["alpha"]),
            lambda: store.origins("net"),
            lambda: ww.backfill(store),
            lambda: store.distrust("ww.extractors"),
        ):
            try:
                ask()
            except ww.StoreError as error:
                said.append(str(error))
    return said
