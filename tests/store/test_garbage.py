"""Garbage goes, and nothing else: a store from which something went is as if that had never been there."""

import contextlib
import json
import resource
import shutil
import sqlite3
from datetime import UTC, datetime, timedelta
from operator import itemgetter

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file
from sqlalchemy import func, insert, select, update

import ww_core as ww
from ww_core.errors import ReadOnlyStoreError
from ww_core.store import garbage, rows, tables
from ww_core.store.engine import driver_of
from ww_core.store.rows import timestamp
from ww_core.store.store import open_store

LASTING = {"identity", "metric_column", "column_caveat", "column_doubt", "identity_kind", "subject_kind", "origin"}
"""Tables that only grow."""


def dense(number, shape=(6, 5)):
    return np.random.default_rng(number).standard_normal(shape)


def net(*numbers):
    """A network of these layers: some number is the same layer everywhere."""
    return {f"{number}.weight": dense(number) for number in numbers} | {
        f"{number}.bias": dense(100 + number % 2, 6) for number in numbers
    }


def counts(store):
    with store._reading() as connection:
        return {
            name: connection.execute(select(func.count()).select_from(table)).scalar_one()
            for name, table in tables.metadata.tables.items()
        }


def without_lasting(content):
    return {name: rows for name, rows in content.items() if name not in LASTING}


def age(store, **ages):
    """Let runs have started so long ago."""
    moment = timestamp(datetime.now(UTC) - timedelta(**ages))
    with store._writing() as connection:
        connection.execute(update(tables.run).values(started_at=moment, state="running", finished_at=None))


# --- what goes --------------------------------------------------------------------------------------------------------


def test_what_was_forgotten_goes_as_if_it_had_never_been_there(make_store_url, content_of):
    both, one = make_store_url(), make_store_url()
    with open_store(both) as store:
        ww.analyze(net(1, 2, 3), store=store, name="gone", extractors=["slice"], series="nets")
        ww.analyze(net(3, 4), store=store, name="kept")
        ww.analyze(net(1, 5), store=store, name="gone", metrics=["alpha"], keep_spectra=False)
        store.forget("gone")
        store.collect_garbage()
    ww.analyze(net(3, 4), store=one, name="kept")
    left, expected = (without_lasting(content_of(url)) for url in (both, one))
    assert left == expected


@pytest.fixture(scope="module")
def empty_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("empty") / "store.sqlite"
    open_store(path).close()
    return path


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    nets=st.lists(
        st.tuples(st.frozensets(st.integers(1, 4), min_size=1), st.sampled_from(["alpha", "stable_rank", "entropy"])),
        min_size=1,
        max_size=5,
        unique_by=itemgetter(0),
    ),
    kept=st.integers(0, 31),
)
def test_any_of_several_may_go(tmp_path_factory, content_of, empty_file, nets, kept):
    folder = tmp_path_factory.mktemp("stores")
    for name in ("all.sqlite", "some.sqlite"):
        shutil.copyfile(empty_file, folder / name)
    with open_store(folder / "all.sqlite") as store, open_store(folder / "some.sqlite") as expected:
        for place, (numbers, metric) in enumerate(nets):
            ww.analyze(net(*sorted(numbers)), store=store, name=str(place), metrics=[metric])
            if kept >> place & 1:
                ww.analyze(net(*sorted(numbers)), store=expected, name=str(place), metrics=[metric])
        gone = [str(place) for place in range(len(nets)) if not kept >> place & 1]
        store.forget(*gone)
        promised = store.count_garbage().removed
        assert store.collect_garbage().removed == promised
        assert not store.collect_garbage().removed
        # A metric of a layer that both have is not computed again for what is kept, and stays with the layer.
        shared = {"value", "subject", "layer_subject", "matrix_subject"}
        left, wanted = (without_lasting(content_of(folder / name)) for name in ("all.sqlite", "some.sqlite"))
        for name in wanted:
            assert left[name] >= wanted[name] if name in shared else left[name] == wanted[name], name


def test_everything_goes_when_everything_is_forgotten(store_url):
    with open_store(store_url) as store:
        for numbers in ((1, 2), (2, 3), (4,)):
            ww.analyze(net(*numbers), store=store, name="net", extractors=["slice", "fft"])
        store.forget("net")
        found = store.collect_garbage()
        left = counts(store)
        assert {name for name, count in left.items() if count} == LASTING
        assert found.removed["checkpoint"] == 3
        again = ww.analyze(net(1, 2), store=store, name="net")
        assert (again.run.computed, again.failures) == (2, ())


def test_counting_changes_nothing_and_says_what_goes(store_url, content_of):
    with open_store(store_url) as store:
        ww.analyze(net(1, 2), store=store, name="gone", extractors=["slice"])
        ww.analyze(net(2, 3), store=store, name="kept")
        store.forget("gone")
    before = content_of(store_url)
    with open_store(store_url, mode="read") as store:
        promised = store.count_garbage()
    assert content_of(store_url) == before
    with open_store(store_url) as store:
        assert store.collect_garbage().removed == promised.removed
    assert promised.removed["spectrum"] == 1


def test_a_fresh_store_has_no_garbage(store_url, weights):
    with open_store(store_url) as store:
        ww.analyze(weights, store=store)
        before = counts(store)
        assert not store.count_garbage().removed
        assert not store.collect_garbage().removed
        assert counts(store) == before


def test_large_garbage_goes_in_several_transactions(store_url, monkeypatch):
    for module, name in ((rows, "CHUNK"), (garbage, "CHECKPOINTS"), (garbage, "SUBJECTS")):
        monkeypatch.setattr(module, name, 2)
    with open_store(store_url) as store:
        for number in range(5):
            ww.analyze(net(number, number + 1), store=store, name=f"net{number}", metrics=["stable_rank"])
        store.forget("net0", "net1", "net2", "net4")
        promised = store.count_garbage().removed
        assert store.collect_garbage().removed == promised
        assert promised["checkpoint"] == 4
        assert ww.analyze(net(3, 4), store=store, name="net3", metrics=["stable_rank"]).run.computed == 0


def test_a_label_that_moved_lets_its_checkpoint_go(store_url):
    with open_store(store_url) as store:
        ww.analyze(net(1), store=store, name="net", version="best")
        ww.analyze(net(2), store=store, name="net", version="best", move_label=True)
        assert store.collect_garbage().removed["checkpoint"] == 1
        assert ww.analyze(net(2), store=store, name="net").run.computed == 0


# --- what stays -------------------------------------------------------------------------------------------------------


@pytest.fixture
def two_files(tmp_path):
    """Two files that share a layer, and no buffer."""
    paths = [tmp_path / "first.safetensors", tmp_path / "second.safetensors"]
    for number, path in enumerate(paths):
        buffers = {"norm.weight": np.ones(6), "norm.running_mean": dense(20 + number, 6)}
        save_file(net(1, 2 + number) | buffers, path)
    return paths


def test_a_file_that_stays_is_not_read_again(store_url, two_files, monkeypatch):
    with open_store(store_url) as store:
        reports = [ww.analyze(path, store=store) for path in two_files]
        assert not store.collect_garbage().removed
        files = counts(store)["file_digest"]
        store.forget("first")
        promised = store.count_garbage().removed
        assert store.collect_garbage().removed == promised
        assert promised["tensor"] == promised["file_digest"] == 3  # weight, bias and buffer
        assert counts(store)["file_digest"] == files - 3
        assert not store.collect_garbage().removed
        monkeypatch.setattr("ww_core.sources.digests.digest_tensor", lambda *_: pytest.fail("it was read again"))
        again = ww.analyze(two_files[1], store=store)
        assert (again.digest, again.run.computed, again.layers) == (reports[1].digest, 0, reports[1].layers)


def test_a_file_goes_whole_when_nothing_of_it_is_used(store_url, two_files):
    with open_store(store_url) as store:
        for path in two_files:
            ww.analyze(path, store=store)
        store.forget("first", "second")
        promised = store.count_garbage().removed
        assert store.collect_garbage().removed == promised
        assert {name for name, count in counts(store).items() if count} == LASTING


def test_what_was_read_and_is_not_stored_yet_is_remembered(store_url):
    with open_store(store_url) as store:
        with store.writing() as writer:
            writer.record_digests("host", "path", {"a.weight": ("stamp", "0" * 64)})
        store.collect_garbage()
        with store.reading() as reader:
            known = reader.file_digests("host", "path", ["a.weight"])
    assert known == {"a.weight": ("stamp", "0" * 64)}


@pytest.mark.parametrize("what", ["score", "reported"])
def test_a_reported_result_keeps_its_checkpoint(store_url, what):
    with open_store(store_url) as store:
        report = ww.analyze(net(1), store=store, name="net")
        with store._writing() as connection:
            key = connection.execute(select(tables.checkpoint.c.id)).scalar_one()
            if what == "score":
                row = {"digest": "1", "checkpoint_id": key, "name": "accuracy", "dataset": "", "value": 0.9}
                row |= {"better": "higher", "unit": "", "source": "", "created_at": ""}
                connection.execute(insert(tables.score).values(row))
            else:
                connection.execute(insert(tables.subject).values(id=1000, digest="1", kind="reported"))
                row = {"subject_id": 1000, "source": "", "row": 1, "provider": "", "model": ""}
                row |= {"version": "", "layer": ""}
                connection.execute(insert(tables.reported_subject).values(row | {"checkpoint_id": key}))
        store.forget("net")
        assert not store.collect_garbage().removed
        assert store.report(report.digest[:10]).layers == report.layers


class Interruption:
    """An observer that forgets what is analysed, and collects garbage, from another program's point of view."""

    def __init__(self, url, name):
        self.url, self.name, self.removed = url, name, []

    def on_start(self, start):
        self.collect(self.name)

    def on_layer(self, done):
        self.collect()

    def on_end(self, report):
        pass

    def collect(self, *names):
        with open_store(self.url) as store:
            if names:
                store.forget(*names)
            found = store.collect_garbage()
            self.removed.append(found.removed)
            assert found.going_on == 1


def test_a_run_that_is_going_on_loses_nothing_though_its_name_is_forgotten(store_url):
    expected = ww.analyze(net(1, 2, 3), name="net")
    observer = Interruption(store_url, "net")
    report = ww.analyze(net(1, 2, 3), store=store_url, name="net", observers=[observer], jobs=1)
    assert not report.failures
    assert report.layers == expected.layers
    assert report.summary == expected.summary
    assert observer.removed == [{}] * 4
    with open_store(store_url) as store:
        assert store.versions() == []
        assert store.report(report.digest).layers == expected.layers
        assert store.collect_garbage().removed["checkpoint"] == 1


@pytest.mark.parametrize(("hours", "killed"), [(23, 0), (25, 1)])
def test_a_run_that_never_ended_counts_as_killed_after_a_day(store_url, hours, killed):
    with open_store(store_url) as store:
        ww.analyze(net(1), store=store, name="net")
        age(store, hours=hours)
        store.forget("net")
        promised = store.count_garbage()
        found = store.collect_garbage()
        assert (found.killed, found.going_on) == (promised.killed, promised.going_on) == (killed, 1 - killed)
        assert found.removed == promised.removed
        assert counts(store)["checkpoint"] == 1 - killed


def test_a_killed_run_of_what_stays_is_marked_as_interrupted(store_url):
    with open_store(store_url) as store:
        ww.analyze(net(1), store=store, name="net")
        age(store, days=2)
        assert store.report("net").run.state == "running"
        assert store.collect_garbage().killed == 1
        assert store.report("net").run.state == "interrupted"
        assert store.collect_garbage().killed == 0


# --- beside others ----------------------------------------------------------------------------------------------------


def live(arguments):
    """Analyse models one after the other, some of them shared with all others; forget every second, and tidy up."""
    url, number = arguments
    found = {}
    for place in range(6):
        name = f"{number}-{place}"
        weights = net(1, 2, 10 * number + place + 10, place + 3)
        report = ww.analyze(weights, store=url, name=name, jobs=1)
        assert not report.failures
        with open_store(url) as store:
            if place % 2:
                store.forget(name)
            else:
                found[name] = (report.digest, [dict(row.metrics) for row in report.layers])
            store.collect_garbage()
    return found


@pytest.mark.stress
@pytest.mark.slow
def test_eight_processes_analyse_and_collect_garbage_at_once(tmp_path, eight_processes):
    eight_at_once(str(tmp_path / "store.sqlite"), eight_processes)


@pytest.mark.stress
@pytest.mark.postgres
def test_eight_processes_analyse_and_collect_garbage_at_once_on_a_server(make_database, eight_processes):
    eight_at_once(make_database(), eight_processes)


def eight_at_once(store_url, processes):
    open_store(store_url).close()
    results = processes.map(live, [(store_url, number) for number in range(8)], chunksize=1)
    with open_store(store_url) as store:
        expected = {name: content for found in results for name, content in found.items()}
        assert {own.model for own in store.versions()} == expected.keys()
        for name, (digest, metrics) in expected.items():
            report = store.report(name)
            assert (report.digest, [dict(row.metrics) for row in report.layers]) == (digest, metrics)
            assert not any(value.state == "failed" for row in metrics for value in row.values())
        store.collect_garbage()
        assert not store.verify().faults
        assert counts(store)["checkpoint"] == 24


@ww.metric(version="1")
def biased(singular_values, bias):
    """Belongs to a matrix as it stands in its layer."""
    return float(singular_values[0] * bias[0])


class Plugin:
    @ww.hookimpl
    def ww_register_metrics(self):
        return [biased]


@pytest.mark.parametrize("turn", [1, 2])
def test_two_collections_may_overlap_and_one_be_killed(store_url, turn):
    def killed():
        raise InterruptedError

    def reading():
        turns.append(1)
        if len(turns) == turn:  # another program forgets the rest, begins to collect, and is killed
            store.forget("second")
            with pytest.raises(InterruptedError):
                garbage.remove_garbage(killed, store._writing_alone)
        return store._reading()

    turns = []
    with open_store(store_url) as store:
        for name, numbers in (("first", (1, 2)), ("second", (2, 3))):
            ww.analyze(net(*numbers), store=store, name=name, metrics=["biased"], plugins=[Plugin()])
        store.forget("first")
        garbage.remove_garbage(reading, store._writing_alone)
        assert not store.verify().faults
        store.collect_garbage()
        assert {name for name, count in counts(store).items() if count} == LASTING - {"column_caveat", "column_doubt"}


def test_a_store_opened_for_reading_is_not_tidied_up(store_url):
    ww.analyze(net(1), store=store_url)
    with open_store(store_url, mode="read") as store, pytest.raises(ReadOnlyStoreError):
        store.collect_garbage()


# --- room -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def large(tmp_path):
    """Path of a store of which nearly all is forgotten."""
    path = tmp_path / "store.sqlite"
    with open_store(path) as store:
        ww.analyze({f"{n}.weight": dense(n, (400, 300)) for n in range(150)}, store=store, name="large")
        ww.analyze(net(1), store=store, name="small")
        store.forget("large")
    return path


def test_the_file_becomes_smaller(large):
    before = large.stat().st_size
    with open_store(large) as store:
        found = store.collect_garbage()
        assert found.size_before >= before > 2 * found.size_after
        assert large.stat().st_size == found.size_after
    assert ww.analyze(net(1), store=large, name="small").run.computed == 0


def test_the_file_keeps_its_size_while_a_run_is_going_on(large):
    with open_store(large) as store:
        age(store, hours=1)
        found = store.collect_garbage()
        assert found.going_on == 2
        assert found.size_after >= found.size_before
        age(store, hours=25)
        assert store.collect_garbage().size_after < found.size_after


def test_a_full_disk_loses_nothing(large, monkeypatch):
    def shrink_on_a_full_disk(path):
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
        try:
            shrink(path)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    shrink = garbage.shrink
    monkeypatch.setattr(garbage, "shrink", shrink_on_a_full_disk)
    with open_store(large) as store:
        with pytest.raises(ww.StoreError, match=r"was removed, but the file is as large as before.*free space"):
            store.collect_garbage()
        assert not store.verify().faults
        assert [own.model for own in store.versions()] == ["small"]
        monkeypatch.undo()
        found = store.collect_garbage()
        assert not found.removed
        assert found.size_after < found.size_before


def test_garbage_is_found_by_keys_however_much_is_stored(tmp_path):
    asked = []
    with open_store(tmp_path / "store.sqlite") as store:
        ww.analyze(net(1, 2), store=store, name="gone")
        ww.analyze(net(2, 3), store=store, name="kept")
        store.forget("gone")

        with store._reading() as connection:
            driver_of(connection).set_trace_callback(asked.append)  # the one connection of this thread
        store.count_garbage()
        store.collect_garbage()
    with contextlib.closing(sqlite3.connect(tmp_path / "store.sqlite")) as connection:
        assert len(asked) > 20
        for statement in asked:
            if statement.startswith(("SELECT", "DELETE")):
                steps = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}")]
                large_tables = ("SCAN value", "SCAN spectrum", "SCAN summary", "SCAN layer", "SCAN coverage")
                scans = [step for step in steps if step.startswith(large_tables) and step != "SCAN layer_subject"]
                assert not scans, (json.dumps(steps), statement)


@pytest.mark.postgres
def test_a_server_does_not_compile_long_queries_and_plans_them_quickly(make_database):
    with open_store(make_database()) as store, store._reading() as connection:
        assert connection.exec_driver_sql("SHOW jit").scalar_one() == "off"
        assert connection.exec_driver_sql("SHOW join_collapse_limit").scalar_one() == "4"
