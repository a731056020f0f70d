"""A folder comes into a store that holds things already: what is missing is added, and nothing else is changed."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from sqlalchemy import func, select, update

import ww_core as ww
from ww_core.domain.column import Column
from ww_core.domain.outcome import Outcome
from ww_core.store import tables
from ww_core.store.exchange import rules
from ww_core.store.store import open_store

pytestmark = pytest.mark.long_on_a_server


SHARED = np.random.default_rng(7).standard_normal((20, 15))


def net(number):
    return {"own.weight": np.random.default_rng(number).standard_normal((30, 20)), "shared.weight": SHARED}


@pytest.fixture
def other(tmp_path):
    """Location of another store."""
    return tmp_path / "other.sqlite"


@pytest.fixture
def here(new_store_url):
    """Location of the store that takes the folder."""
    return new_store_url


@pytest.fixture
def take(here, other, tmp_path):
    """A function that takes what is in the other store into this one, or the other way round."""
    numbers = iter(range(100))

    def taken(source=other, target=here, **options):
        folder = tmp_path / f"folder-{next(numbers)}"
        ww.export_folder(folder, store=source)
        return ww.import_folder(folder, store=target, **options)

    return taken


def ask(location, *columns, where=True):
    with open_store(location, mode="read") as store, store._reading() as connection:
        return sorted(tuple(row) for row in connection.execute(select(*columns).where(where)))


def content(report):
    """All of a report but where it is stored, and by which run."""
    return {key: value for key, value in report.to_dict().items() if key not in {"store", "run"}}


def report(location, name, **options):
    with open_store(location, mode="read") as store:
        return store.report(name, **options)


def is_sound(location):
    with open_store(location, mode="read") as store:
        return store.verify().faults == {}


# --- content and names ------------------------------------------------------------------------------------------------


def test_what_is_missing_is_added_and_what_is_there_stays(here, other, take):
    ww.analyze(net(1), store=here, name="net", version="1", series="nets")
    for number in (1, 2):
        ww.analyze(net(number), store=other, name="net", version=str(number), series="nets")
    ww.analyze(net(3), store=other, name="another", series="nets")
    before = report(here, "net@1")
    added = take().added
    assert (added["model"], added["label"], added["checkpoint"], added["run"]) == (1, 2, 2, 3)
    assert "series" not in added
    assert (added["tensor"], added["series_member"]) == (2, 1)  # the shared one is here
    assert content(report(here, "net@1")) == content(before)
    for name in ("net@2", "another@1"):
        assert content(report(here, name)) == content(report(other, name))
    assert is_sound(here)
    assert take().added == {}


def test_values_that_are_here_stay_and_say_who_made_them(here, other, take):
    ww.analyze(net(1), store=here, name="net")
    value = tables.value.c
    with open_store(here) as store, store._writing() as connection:
        connection.execute(update(tables.value).where(value.number.is_not(None)).values(number=1e-3))
    ww.analyze(net(1), store=other, name="net")
    before = ask(here, value.subject_id, value.column_id, value.number, value.origin_id, where=value.number == 1e-3)
    assert "value" not in take().added
    assert (
        ask(here, value.subject_id, value.column_id, value.number, value.origin_id, where=value.number == 1e-3)
        == before
    )


def test_a_spectrum_that_was_left_out_is_made_whole(here, other, take):
    ww.analyze(net(1), store=here, name="net", keep_spectra=False)
    ww.analyze(net(1), store=other, name="net")
    assert take().added["spectrum"] == 2
    with open_store(here) as store, open_store(other) as source:
        ours, theirs = (own.spectrum("net", "own").matrices[0].spectrum for own in (store, source))
    assert ours.singular_values.tobytes() == theirs.singular_values.tobytes()
    assert take(here, other).added.keys() <= {"run", "origin"}


def test_a_spectrum_that_is_whole_stays(here, other, take):
    ww.analyze(net(1), store=here, name="net")
    ww.analyze(net(1), store=other, name="net", keep_spectra=False)
    assert "spectrum" not in take().added
    with open_store(here) as store:
        assert store.spectrum("net", "own").matrices[0].spectrum.singular_values.size == 20


def test_layers_of_one_structure_may_stand_in_another_order(here, other, take):
    first = net(1)
    ww.analyze(first, store=here, name="net")
    ww.analyze(dict(reversed(first.items())), store=other, name="net", metrics=["alpha"])
    assert "layer" not in take().added
    assert [own.layer for own in report(here, "net", run=2).to_pandas().itertuples()] == ["shared", "own"]
    assert content(report(here, "net", run=2)) == content(report(other, "net"))
    assert is_sound(here)


def test_the_versions_of_a_model_stay_in_the_order_of_both(here, other, take):
    for number in (1, 2, 3):
        ww.analyze(net(number), store=other, name="net", version=str(number))
    for number in (2, 4):
        ww.analyze(net(number), store=here, name="net", version=str(number))
    take()
    with open_store(here) as store:
        assert [own.version for own in store.versions()] == ["1", "2", "3", "4"]
        assert list(store.history("net").tracks)
    assert is_sound(here)
    take(here, other)
    with open_store(other) as store:
        assert [own.version for own in store.versions()] == ["1", "2", "3", "4"]


def test_weights_without_a_name_and_rows_of_tables_merge(here, other, take):
    for location in (here, other):
        with open_store(location) as store:
            ww.analyze(net(1), store=store, label=False)
            with store._reading() as connection:
                subject = connection.scalar(select(func.min(tables.subject.c.digest)))
                identity = connection.scalar(
                    select(tables.identity.c.digest).where(tables.identity.c.key == "ww.metrics:power_law")
                )
            rows = [{"n": Outcome.of(float(n))} for n in range(3 if location == here else 5)]
            with store.writing() as writer:
                writer.record_table(subject, identity, [Column("n")], rows)
    assert take().added.keys() == {"run", "origin"}  # a table is as it was recorded first, and nothing is added to it
    assert len(ask(here, tables.table_value.c.row)) == 3
    assert take(here, other).added.keys() <= {"run", "origin"}


# --- clashes ----------------------------------------------------------------------------------------------------------


def test_a_label_on_something_else_refuses_all_of_it(here, other, take):
    ww.analyze(net(1), store=here, name="net", version="a")
    ww.analyze(net(2), store=other, name="net", version="a")
    ww.analyze(net(3), store=other, name="fine")
    before = ask(here, tables.subject.c.digest)
    with pytest.raises(
        ww.UsageError, match=r"^net@a stands on other weights or layers here \(from .*--rename net@a=net@a-2"
    ):
        take()
    assert ask(here, tables.subject.c.digest) == before
    assert ask(here, tables.model.c.name) == [("net",)]
    renamed = take(rename={"net@a": "net@b", "fine": "finer"})
    assert renamed.added["label"] == 2
    assert content(report(here, "net@b")) == {**content(report(other, "net@a")), "version": "b"}
    assert ask(here, tables.model.c.name) == [("finer",), ("net",)]
    assert is_sound(here)


def test_the_same_weights_with_other_groups_are_something_else(here, other, take):
    grouped = {"conv.weight": np.random.default_rng(0).standard_normal((12, 6, 3, 3))}
    ww.analyze(grouped, store=here, name="net", version="a")
    ww.analyze(grouped, store=other, name="net", version="a", groups={"conv": 3})
    with pytest.raises(ww.UsageError, match="net@a stands on other weights or layers here"):
        take()


def test_another_table_of_the_same_source_refuses_all_of_it(here, other, take):
    column = ww.ReportedColumn("norm", "peer:norm", "1", "A norm.")
    for location, number in ((here, 1.0), (other, 2.0)):
        rows = (ww.ReportedEntry("VGG16", {"norm": Outcome.of(number)}),)
        with open_store(location) as store, store.writing() as writer:
            writer.record_reported_table(ww.ReportedTable("table 2", "peer", (column,), rows))
    with pytest.raises(ww.UsageError, match="another table of source 'table 2' is stored here"):
        take()
    with open_store(other) as store, store.writing() as writer:
        writer.record_reported_table(ww.ReportedTable("table 3", "peer", (column,), rows))
        writer.remove_reported_table("table 2")
    assert take().added["reported_subject"] == 1
    assert ask(here, tables.imported_table.c.source) == [("table 2",), ("table 3",)]


# --- runs -------------------------------------------------------------------------------------------------------------


def test_runs_get_the_next_numbers_and_origins_follow_them(here, other, take):
    for number in (1, 2):
        ww.analyze(net(number), store=here, name=f"here-{number}")
    for number in (3, 4):
        ww.analyze(net(number), store=other, name=f"other-{number}")
    take()
    assert ask(here, tables.run.c.id, tables.run.c.name) == [
        (1, "here-1@1"), (2, "here-2@1"), (3, "other-3@1"), (4, "other-4@1"),
    ]  # fmt: skip
    with open_store(here) as store:
        assert {own.origin.run for own in store.origins("other-4")} == {1, 4}  # the shared layer was here
    assert ww.analyze(net(5), store=here, name="new").run.id == 5
    assert is_sound(here)
    assert take().added == {}


@pytest.mark.parametrize("is_gone_here", [True, False])
def test_a_number_of_a_run_that_is_gone_does_not_come_to_mean_another(here, other, take, is_gone_here):
    ww.analyze(net(1), store=here, name="here")
    ww.analyze(net(2), store=other, name="gone")
    ww.analyze(net(3), store=other, name="net")
    for location, name in ((other, "gone"), *([(here, "here")] if is_gone_here else [])):
        with open_store(location) as store:
            store.forget(name)
            store.collect_garbage()
    assert set(ask(other, tables.origin.c.run)) == {(1,), (2,)}
    take()
    # Who made something in a run that is gone is told by the same row where that cannot be taken for a run of today.
    assert {run for (run,) in ask(here, tables.origin.c.run)} == ({1, 2} if is_gone_here else {0, 1, 2})
    assert is_sound(here)
    assert take().added == {}


def test_numbers_that_were_given_once_are_not_given_again(here, other, take):
    for location in (here, other):
        ww.analyze(net(1), store=location, name="net")
    with open_store(here) as store:
        store.forget("net")
        store.collect_garbage()
    assert ask(here, tables.run.c.id) == []
    take()
    assert ask(here, tables.run.c.id) == [(2,)]


def test_a_run_that_has_ended_since_is_brought_to_its_end(here, other, take):
    class Watch:
        def on_layer(self, layer):
            take()

    ww.analyze(net(1), store=other, name="net", observers=[Watch()], jobs=1)
    assert ask(here, tables.run.c.state, tables.run.c.computed) == [("running", 0)]
    take()
    assert ask(here, tables.run.c.state, tables.run.c.computed) == [("done", 2)]
    assert content(report(here, "net")) == content(report(other, "net"))
    assert is_sound(here)
    assert take().added == {}


def test_two_runs_that_began_alike_stay_two(here, other, take):
    ww.analyze(net(1), store=other, name="net")
    ww.analyze(net(1), store=other, name="net")
    with open_store(other) as store, store._writing() as connection:
        connection.execute(update(tables.run).values(started_at="2025-01-01T00:00:00.000Z"))
    take()
    assert ask(here, tables.run.c.id) == [(1,), (2,)]
    assert take().added == {}


def started(location, moment):
    with open_store(location) as store, store._writing() as connection:
        connection.execute(update(tables.run).values(started_at=moment))


@pytest.mark.parametrize("newer", ["here", "there"])
def test_the_newer_run_answers(here, other, take, newer):
    for location in (here, other):
        ww.analyze(net(1), store=location, name="net")
    started(here, "2025-06-01T00:00:00.000Z")
    started(other, "2025-07-01T00:00:00.000Z" if newer == "there" else "2025-05-01T00:00:00.000Z")
    take()
    with open_store(here) as store:
        assert [own.number for own in store.runs("net")] == ([2, 1] if newer == "there" else [1, 2])
    assert is_sound(here)


@pytest.mark.parametrize("newer", ["here", "there"])
def test_which_of_two_analyses_is_in_force(here, other, take, newer, monkeypatch):
    """An older program knew fewer metrics: its analysis is another one, and must not come back into force."""

    class Plugin:
        @ww.hookimpl
        def ww_register_metrics(self):
            @ww.metric(version="1")
            def largest(singular_values):
                """The largest."""
                return float(singular_values[0])

            return [largest]

    ww.analyze(net(1), store=here, name="net", plugins=[Plugin()])
    ww.analyze(net(1), store=other, name="net")
    started(here, "2025-06-01T00:00:00.000Z")
    started(other, "2025-07-01T00:00:00.000Z" if newer == "there" else "2025-05-01T00:00:00.000Z")
    take()
    shows = "largest" in report(here, "net").labels("matrix")
    with open_store(here) as store:
        try:
            store.values(["largest"])
            in_force = True
        except ww.UnknownNameError:
            in_force = False
    assert (shows, in_force) == ((False, False) if newer == "there" else (True, True))
    assert is_sound(here)
    assert take().added == {}


def test_an_analysis_under_another_profile_comes_into_force(here, other, take):
    ww.analyze(net(1), store=here, name="net")
    ww.analyze(net(1), store=other, name="net", profile="weightwatcher")
    assert take().added["in_force"] == 1
    assert content(report(here, "net", profile="weightwatcher")) == content(report(other, "net"))
    assert is_sound(here)


BROKEN = {"raises": True}


@ww.metric(version="1")
def sometimes(singular_values):
    """Raises for one of the layers, where it is broken."""
    if BROKEN["raises"] and singular_values.size == 15:
        raise RuntimeError("broken")
    return float(singular_values[0])


class Sometimes:
    @ww.hookimpl
    def ww_register_metrics(self):
        return [sometimes]


@pytest.mark.parametrize("direction", ["whole into partial", "partial into whole"])
def test_means_follow_the_values_of_both(here, other, take, monkeypatch, direction):
    stores = (here, other) if direction == "whole into partial" else (other, here)
    ww.analyze(net(1), store=stores[0], name="net", metrics=["sometimes", "alpha"], plugins=[Sometimes()])
    monkeypatch.setitem(BROKEN, "raises", False)
    ww.analyze(net(1), store=stores[1], name="net", metrics=["sometimes", "alpha"], plugins=[Sometimes()])
    take()
    assert is_sound(here)
    assert report(here, "net").summary["sometimes"].count == 2
    assert take().added == {}
    assert is_sound(here)


# --- scores -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("newer", ["here", "there"])
def test_of_two_numbers_for_a_score_the_newer_holds(here, other, take, newer):
    said = {"name": "top1", "dataset": "digits", "source": "paper"}
    for location, number, moment in (
        (here, 1.0, "2025-06"),
        (other, 2.0, "2025-07" if newer == "there" else "2025-05"),
    ):
        with open_store(location) as store:
            store.add_scores([ww.Score("VGG11", value=number, **said)], without_weights=True)
            store.add_scores([ww.Score("VGG13", value=5.0, **said)], without_weights=True)
            with store._writing() as connection:
                connection.execute(update(tables.score).values(created_at=f"{moment}-01T00:00:00.000Z"))
    take()
    with open_store(here) as store:
        scores = store.scores()
    assert {own.model: own.value for own in scores.scores} == {"VGG11": 2.0 if newer == "there" else 1.0, "VGG13": 5.0}
    assert [own.score.value for own in scores.replaced] == [1.0 if newer == "there" else 2.0]
    assert take().added == {}
    take(here, other)
    with open_store(here) as ours, open_store(other) as theirs:
        assert ours.scores() == theirs.scores()


def test_what_a_score_was_before_goes_along_once(here, other, take):
    said = {"model": "VGG11", "name": "top1", "dataset": "digits", "source": "paper"}
    with open_store(other) as store:
        store.add_scores([ww.Score(value=1.0, **said)], without_weights=True)
    take()
    with open_store(other) as store:
        store.add_scores([ww.Score(value=2.0, **said)], correct=True)
        store.add_scores([ww.Score(value=3.0, **said)], correct=True)
    take()
    with open_store(here) as ours, open_store(other) as theirs:
        assert ours.scores() == theirs.scores()
        assert [own.score.value for own in ours.scores().replaced] == [1.0, 2.0]
    assert take().added == {}


# --- all or nothing ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("table", ["layer", "run", "in_force", "score"])
def test_what_goes_wrong_in_the_middle_changes_nothing(here, other, take, monkeypatch, table):
    def broken(passage):
        raise KeyboardInterrupt

    ww.analyze(net(1), store=here, name="here")
    ww.analyze(net(2), store=other, name="other")
    before = {name: ask(here, *own.primary_key) for name, own in tables.metadata.tables.items()}
    monkeypatch.setitem(rules.SPECIAL, table, broken)
    with pytest.raises(KeyboardInterrupt):
        take()
    assert {name: ask(here, *own.primary_key) for name, own in tables.metadata.tables.items()} == before
    monkeypatch.undo()
    assert take().added["label"] == 1


def test_a_store_that_is_read_only_takes_nothing(here, other, tmp_path):
    ww.analyze(net(1), store=here, name="net")
    ww.analyze(net(2), store=other, name="net")
    ww.export_folder(tmp_path / "folder", store=other)
    with open_store(here, mode="read") as store, pytest.raises(ww.ReadOnlyStoreError):
        store.import_folder(tmp_path / "folder")


def test_two_imports_at_once_and_an_analysis(here, other, tmp_path):
    ww.analyze(net(1), store=here, name="net")
    for number in range(2, 6):
        ww.analyze(net(number), store=other, name="other", version=str(number))
    ww.export_folder(tmp_path / "folder", store=other)
    added, failures = [], []

    def work(task):
        try:
            added.append(task())
        except Exception as error:
            failures.append(error)

    tasks = [
        lambda: ww.import_folder(tmp_path / "folder", store=here).added.get("run", 0),
        lambda: ww.import_folder(tmp_path / "folder", store=here).added.get("run", 0),
        lambda: ww.analyze(net(9), store=here, name="net", version="9").run.reused - 1,
    ]
    threads = [threading.Thread(target=work, args=(task,)) for task in tasks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert sorted(added) == [0, 0, 4]
    assert is_sound(here)
    assert len(ask(here, tables.run.c.id)) == 6
