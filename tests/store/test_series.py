"""Series: families of models, of stored ones and of those without weights."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from sqlalchemy import func, select

import ww_core as ww
from ww_core.store import tables
from ww_core.store.records import SeriesMember
from ww_core.store.store import open_store


def net(number):
    return {"w.weight": np.random.default_rng(number).standard_normal((6, 5))}


def fill(store):
    for number, name in enumerate(("a", "b", "c")):
        ww.analyze(net(number), store=store, name=name, metrics=["log_norm"])
    scores = [ww.Score("R18", "error", "", 1.0, "x"), ww.Score("R18", "error", "", 1.0, "x", "bn")]
    store.add_scores(scores, without_weights=True)


@pytest.fixture
def store(make_copy):
    with open_store(make_copy(fill)) as store:
        yield store


def members(store, name=""):
    return [(own.series, own.model, own.version) for own in store.series(name)]


def rows(store):
    with store._reading() as connection:
        return [
            connection.scalar(select(func.count()).select_from(own)) for own in (tables.series, tables.series_member)
        ]


def test_members_are_listed_by_series_and_name(store):
    assert store.series() == []
    store.add_to_series("second", ["b", "a"])
    store.add_to_series("first", ["R18", "c"])
    store.add_to_series("second", ["a"])
    assert store.series() == [
        SeriesMember("first", "R18", "", is_reported=True),
        SeriesMember("first", "R18", "bn", is_reported=True),
        SeriesMember("first", "c", "", is_reported=False),
        SeriesMember("second", "a", "", is_reported=False),
        SeriesMember("second", "b", "", is_reported=False),
    ]
    assert members(store, "second") == [("second", "a", ""), ("second", "b", "")]
    assert {own.model: own.series for own in store.versions()} == {"a": ("second",), "b": ("second",), "c": ("first",)}
    with pytest.raises(ww.UnknownNameError, match="unknown series 'secnd': did you mean second"):
        store.series("secnd")


def test_what_was_taken_out_is_told_and_the_last_takes_the_series_with_it(store):
    store.add_to_series("s", ["a", "b", "R18"])
    assert [own.model for own in store.remove_from_series("s", ["a", "c"])] == ["a"]
    assert store.remove_from_series("s", ["c"]) == []
    assert [(own.model, own.version) for own in store.remove_from_series("s", ["R18"])] == [("R18", ""), ("R18", "bn")]
    assert rows(store) == [1, 1]
    assert [own.model for own in store.remove_from_series("s")] == ["b"]
    assert rows(store) == [0, 0]
    with pytest.raises(ww.UnknownNameError, match="unknown series 's'"):
        store.remove_from_series("s")
    assert len(store.versions()) == 3


def test_a_name_takes_the_reported_model_of_old_out_too(store):
    store.add_to_series("s", ["R18"])
    ww.analyze(net(9), store=store, name="R18", metrics=["log_norm"])
    store.add_to_series("s", ["R18"])
    assert [own.is_reported for own in store.series("s")] == [False, True, True]
    assert len(store.remove_from_series("s", ["R18"])) == 3
    store.add_to_series("s", ["R18"])
    assert [own.is_reported for own in store.series("s")] == [False]


def test_unknown_models_are_listed_and_nothing_is_done(store):
    with pytest.raises(ww.NotStoredError, match=r"no model 'R19', 'nix' in this store, .* did you mean R18"):
        store.add_to_series("s", ["a", "R19", "nix"])
    assert rows(store) == [0, 0]
    store.add_to_series("s", ["a"])
    with pytest.raises(ww.NotStoredError, match="no model 'nix' in this store"):
        store.remove_from_series("s", ["a", "nix"])
    assert rows(store) == [1, 1]


@pytest.mark.parametrize("name", ["", "a@b", " s", "s\n", "x" * 201])
def test_a_name_that_cannot_be_used_is_refused(store, name):
    with pytest.raises(ww.UsageError, match="the series"):
        store.add_to_series(name, ["a"])
    assert rows(store) == [0, 0]


def test_no_model_is_refused(store):
    with pytest.raises(ww.UsageError, match="no model is named"):
        store.add_to_series("s", [])
    with pytest.raises(ww.UsageError, match="models must be texts that are not empty"):
        store.add_to_series("s", [""])


def test_models_are_renamed_and_forgotten_in_their_series(store):
    store.add_to_series("s", ["a", "b"])
    store.add_to_series("lonely", ["a"])
    store.rename("a", "z")
    assert members(store) == [("lonely", "z", ""), ("s", "b", ""), ("s", "z", "")]
    store.forget("z")
    assert members(store) == [("s", "b", "")]
    assert rows(store) == [1, 1]  # a series goes with its last member
    store.collect_garbage()
    assert members(store) == [("s", "b", "")]
    assert store.verify().faults == {}


def test_many_may_put_in_and_take_out_at_once(store):
    failures = []

    def work(model):
        try:
            for _ in range(6):
                store.add_to_series("s", [model])
                store.remove_from_series("s", [model])
            store.add_to_series("s", [model])
        except Exception as failure:
            failures.append(failure)

    threads = [threading.Thread(target=work, args=(model,)) for model in ("a", "b", "c", "R18")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # The series may be gone between two steps of a thread, and is made again.
    assert failures == []
    assert {own.model for own in store.series("s")} == {"a", "b", "c", "R18"}
