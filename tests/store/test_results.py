"""An analysis gives the same answers from SQLite and from PostgreSQL."""

import contextlib
import sqlite3

import numpy as np
import pytest
from safetensors.numpy import save_file

import ww_core as ww
from ww_core.store import rows, values
from ww_core.store.engine import driver_of
from ww_core.store.store import open_store
from ww_core.use_cases import run
from ww_core.use_cases.diff import diff


def outcomes(report):
    return [(row.name, row.extractor, row.index, dict(row.metrics)) for row in report.layers]


def changed(weights):
    return weights | {"second.weight": weights["second.weight"] * np.float32(1.5)}


def test_a_round_trip_through_the_store(new_store_url, weights):
    expected = ww.analyze(weights, name="net")
    first = ww.analyze(weights, store=new_store_url, name="net", series="nets")
    again = ww.analyze(weights, store=new_store_url, name="net")
    second = ww.analyze(changed(weights), store=new_store_url, name="net", extractors=["slice", "pool"])
    assert outcomes(first) == outcomes(again) == outcomes(expected)
    assert (again.run.computed, again.run.reused) == (0, 3)
    assert (second.version, second.run.computed, second.run.reused) == ("2", 10, 2)
    with open_store(new_store_url, mode="read") as store:
        assert [(v.model, v.version, v.series) for v in store.versions()] == [
            ("net", "1", ("nets",)),
            ("net", "2", ("nets",)),
        ]
        assert outcomes(store.report("net@1")) == outcomes(expected)
        assert store.report("net").digest == second.digest
        assert store.report(second.digest[:12]).version == "2"
        with pytest.raises(ww.StoreError, match="no model 'nest'"):
            store.report("nest")
    difference = diff("net@1", "net@2", store=new_store_url)
    assert difference.counts == {"same": 3, "changed": 1, "added": 0, "removed": 0}


def test_many_rows_take_several_statements(store_url, weights, monkeypatch):
    expected = ww.analyze(weights, name="net", extractors=["slice"])
    monkeypatch.setattr(rows, "CHUNK", 2)
    for _ in range(2):
        report = ww.analyze(weights, store=store_url, name="net", extractors=["slice"])
        assert outcomes(report) == outcomes(expected)
        assert report.summary == expected.summary


def test_stores_in_memory_are_apart(weights):
    with open_store() as first, open_store() as second:
        ww.analyze(weights, store=first)
        assert len(first.versions()) == 1
        assert second.versions() == []


def test_an_analysis_reads_by_key_however_large_the_store_is(tmp_path):
    random = np.random.default_rng(0)
    weights = {f"{i}.weight": random.standard_normal((6, 5)) for i in range(60)}  # of few, SQLite looks up each
    path = tmp_path / "store.sqlite"
    asked = []
    with open_store(path) as store:
        ww.analyze(weights, store=store, name="net")

        with store._reading() as connection:
            driver_of(connection).set_trace_callback(asked.append)  # the one connection of this thread
        ww.analyze(weights | {"0.weight": weights["0.weight"] + 1}, store=store, name="net")
        ww.analyze(weights, store=store, name="net", metrics=["smallest_singular_value"])
    with contextlib.closing(sqlite3.connect(path)) as connection:
        selects = [statement for statement in asked if statement.startswith("SELECT")]
        assert len(selects) > 20
        for statement in selects:
            steps = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}")]
            # These two hold all there is of a column, and all spectra.
            everything = ("SCAN", "ix_value_column_id (column_id=?)", "ix_spectrum_identity_id")
            assert not [step for step in steps if any(part in step for part in everything)], (statement, steps)


def test_every_state_is_kept(store_url):
    class Plugin:
        @ww.hookimpl
        def ww_register_metrics(self):
            return [not_a_number, endless, backwards, nothing, doubtful, words, many, truth]

    weights = {"w.weight": np.random.default_rng(0).standard_normal((12, 8))}
    names = ["not_a_number", "endless", "backwards", "nothing", "doubtful", "words", "many", "truth"]
    for _ in range(2):
        report = ww.analyze(weights, store=store_url, plugins=[Plugin()], metrics=names)
        metrics = report.layers[0].metrics
        assert {name: str(metrics[name].state) for name in names} == {
            "not_a_number": "nan",
            "endless": "inf",
            "backwards": "-inf",
            "nothing": "not_applicable",
            "doubtful": "refused",
            "words": "ok",
            "many": "ok",
            "truth": "ok",
        }
        assert metrics["doubtful"].explain() == "refused: not today"
        assert (metrics["words"].value, metrics["many"].value, metrics["truth"].value) == ("naïve ✓", 7, True)
        assert report.to_dict()["layers"][0]["metrics"]["endless"] is None


def test_a_backfill_says_what_an_analysis_would(store_url, weights):
    class Late:
        @ww.hookimpl
        def ww_register_metrics(self):
            return [many, doubtful, words, whole]

    for name, arrays in (("net", weights), ("net", changed(weights)), ("it's \\ 100%", weights)):
        ww.analyze(arrays, store=store_url, name=name, extractors=["slice", "pool"])
    report = ww.backfill(store_url, plugins=[Late()])
    assert (report.versions, report.versions_filled) == (3, 3)
    assert (report.needs_weights, report.not_repeatable) == ((), ())
    fresh = ww.analyze(changed(weights), extractors=["slice", "pool"], plugins=[Late()])
    with open_store(store_url, mode="read") as store:
        filled = store.report("net@2")
    assert outcomes(filled) == outcomes(fresh)
    assert (filled.model_metrics, filled.summary) == (fresh.model_metrics, fresh.summary)
    assert not ww.backfill(store_url, plugins=[Late()]).filled
    assert ww.backfill(store_url, models=["it's \\ 100%"]).versions == 1


@ww.metric(version="1", scope="model")
def whole(many, alpha):
    """Of columns of all matrices."""
    return (many * alpha).sum()


@ww.metric(version="1")
def not_a_number(singular_values):
    """NaN."""
    return float("nan")


@ww.metric(version="1")
def endless(singular_values):
    """Infinity."""
    return singular_values[0] / 0.0


@ww.metric(version="1")
def backwards(singular_values):
    """Negative infinity."""
    return -np.inf


@ww.metric(version="1")
def nothing(singular_values):
    """Never applicable."""
    raise ww.NotApplicable("it makes no sense")


@ww.metric(version="1")
def doubtful(singular_values):
    """Always refused."""
    raise ww.Refused("not today")


@ww.metric(version="1")
def words(singular_values) -> str:
    """A text."""
    return "naïve ✓"


@ww.metric(version="1")
def many(singular_values) -> int:
    """A count."""
    return 7


@ww.metric(version="1")
def truth(singular_values) -> bool:
    """A truth."""
    return True


def analyze_one(arguments):
    url, number = arguments
    random = np.random.default_rng(number)
    weights = {f"{i}.weight": random.standard_normal((20, 10)).astype(np.float32) for i in range(5)}
    # One layer is everybody's: all of them want to write it.
    weights["shared.weight"] = np.random.default_rng(99).standard_normal((30, 20)).astype(np.float32)
    report = ww.analyze(weights, store=url, name=f"model{number}", jobs=1)
    return report.digest, [dict(row.metrics) for row in report.layers], report.failures


@pytest.mark.stress  # programs do the same below
def test_eight_processes_write_one_new_store(new_store_url, eight_processes):
    found = eight_processes.map(analyze_one, [(new_store_url, number) for number in range(8)], chunksize=1)
    with open_store(new_store_url, mode="read") as store:
        assert len(store.versions()) == 8
        assert store.info().counts["spectrum"] == 8 * 5 + 1
        for number, (digest, metrics, failures) in enumerate(found):
            report = store.report(f"model{number}")
            assert not failures
            assert report.digest == digest
            assert [dict(row.metrics) for row in report.layers] == metrics
            assert all(outcome.reason or outcome.is_ok for row in metrics for outcome in row.values())


@pytest.fixture
def family(tmp_path):
    """Eight models: some layers are everybody's, some a neighbour's too, and some their own."""

    def layers(seed, count):
        drawn = np.random.default_rng(seed)
        return {f"{seed}.{i}.weight": drawn.standard_normal((40 + i, 30), dtype=np.float32) for i in range(count)}

    paths = [tmp_path / f"model{number}.safetensors" for number in range(8)]
    for number, path in enumerate(paths):
        save_file(layers(100, 4) | layers(number, 4) | layers(number + 1, 4) | layers(200 + number, 2), path)
    return paths


@pytest.fixture
def run_at_once(forked_ww):
    """A function that analyses every model in a program of its own, all of them at once."""

    def run(models, store):
        programs = [forked_ww("analyze", model, "--store", store, only_errors=True) for model in models]
        return [forked_ww.output(program) for program in programs]

    return run


def content_of_separate_stores(models, tmp_path, content_of):
    content = {}
    for model in models:
        ww.analyze(model, store=tmp_path / f"{model.stem}.sqlite")
        for table, content_rows in content_of(tmp_path / f"{model.stem}.sqlite").items():
            content.setdefault(table, set()).update(content_rows)
    return content


@pytest.mark.slow
def test_eight_programs_at_once_store_what_each_would_store_alone(
    run_at_once, new_store_url, family, tmp_path, content_of
):
    assert run_at_once(family, new_store_url) == [(0, "")] * 8
    assert content_of(new_store_url) == content_of_separate_stores(family, tmp_path, content_of)


@pytest.mark.slow
@pytest.mark.parametrize("new_store", ["rollback journal"], indirect=True)
def test_four_programs_at_once_take_turns_with_a_rollback_journal(run_at_once, new_store, family, tmp_path, content_of):
    store = new_store()
    assert run_at_once(family[:4], store) == [(0, "")] * 4
    assert content_of(store) == content_of_separate_stores(family[:4], tmp_path, content_of)


def test_what_an_interruption_undoes_is_written_again(store_url, weights, monkeypatch, content_of, tmp_path):
    record_results, interrupted = values.record_results, []

    def interrupt_once(*arguments, **options):
        record_results(*arguments, **options)
        if not interrupted:
            interrupted.append(True)
            raise KeyboardInterrupt

    monkeypatch.setattr(values, "record_results", interrupt_once)
    monkeypatch.setattr(run, "FLUSH_SECONDS", 0.0)
    with pytest.raises(KeyboardInterrupt):
        ww.analyze(weights, store=store_url, name="net", jobs=1)
    report = ww.analyze(weights, store=store_url, name="net", jobs=1)
    assert report.run.reused == 1
    ww.analyze(weights, store=tmp_path / "undisturbed.sqlite", name="net")
    assert content_of(store_url) == content_of(tmp_path / "undisturbed.sqlite")


def test_a_spectrum_that_two_tasks_made_is_one_row(store_url):
    @ww.metric(version="1")
    def biased(singular_values, bias):
        return float(singular_values[0] * bias[0])

    class Plugin:
        @ww.hookimpl
        def ww_register_metrics(self):
            return [biased]

    shared = np.random.default_rng(2).standard_normal((6, 5))
    weights = dict.fromkeys(("a.weight", "b.weight"), shared) | {"a.bias": np.ones(6), "b.bias": 2 * np.ones(6)}
    report = ww.analyze(weights, name="w", metrics=["biased"], plugins=[Plugin()], store=store_url)
    first, second = (row.metrics["biased"].value for row in report.layers)
    assert not report.failures
    assert second == pytest.approx(2 * first)
