"""Scores: what is added comes back, a correction keeps what it replaced, and all are stored or none."""

from __future__ import annotations

import itertools
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select, update

import ww_core as ww
from ww_core.domain.score import ScoreError, UnknownModelsError
from ww_core.store import tables
from ww_core.store.store import open_store

ERROR = {"name": "top1_error", "dataset": "digits", "source": "a table", "better": "lower"}


def error(model, value, **told):
    return ww.Score(model, value=value, **(ERROR | told))


def net(number):
    return {"w.weight": np.random.default_rng(number).standard_normal((6, 5))}


def fill(store):
    """Two versions of a model, of which the second has another name too."""
    for number in (1, 2):
        ww.analyze(net(number), store=store, name="net", version=str(number), metrics=["log_norm"])
    ww.analyze(net(2), store=store, name="same", metrics=["log_norm"])


@pytest.fixture
def store(make_copy):
    with open_store(make_copy(fill)) as store:
        yield store


def told(table):
    return [(own.model, own.version, own.value) for own in table]


def count(store, *names):
    with store._reading() as connection:
        return [connection.scalar(select(func.count()).select_from(tables.metadata.tables[name])) for name in names]


def test_what_is_added_comes_back_as_it_was_said(store):
    full = error("net", 5.25, version="1", unit="%", low=5.0, high=5.5)
    bare = ww.Score("net", "nll", "", -0.1, "a note", "1")
    assert store.add_scores([full, bare]) == (2, 0, 0)
    digest = next(own.digest for own in store.versions() if (own.model, own.version) == ("net", "1"))
    assert store.scores().scores == (
        ("net", "1", digest, "nll", "", -0.1, None, None, "", "none", "a note"),
        ("net", "1", digest, "top1_error", "digits", 5.25, 5.0, 5.5, "%", "lower", "a table"),
    )
    assert store.scores().replaced == ()
    assert store.add_scores([full, bare]) == (0, 0, 2)
    frame = store.scores().to_pandas()
    assert frame.loc[1, ["model", "value", "better"]].tolist() == ["net", 5.25, "lower"]


@pytest.mark.parametrize("number", [3, 3.0, np.float32(3), np.int64(3)])
def test_every_kind_of_number_is_stored_as_a_float(store, number):
    store.add_scores([error("net", number, low=number, high=number)])
    (own,) = store.scores(["net"])
    assert (own.value, own.low, own.high) == (3.0, 3.0, 3.0)
    assert store.add_scores([error("net", 3.0, low=3.0, high=3.0)]) == (0, 0, 1)


def test_a_name_alone_is_the_newest_version_and_a_digest_names_weights_too(store):
    digest = next(own.digest for own in store.versions() if (own.model, own.version) == ("net", "1"))
    store.add_scores([error("net", 2.0), error(digest[:8], 1.0)])
    assert told(store.scores()) == [("net", "1", 1.0), ("net", "2", 2.0), ("same", "1", 2.0)]
    store.set_step("net@1", 20)
    store.set_step("net@2", 10)  # now the first one is the newest
    store.add_scores([error("net", 7.0, source="another")])
    assert told(store.scores(sources=["another"])) == [("net", "1", 7.0)]
    with pytest.raises(ww.NotStoredError, match="no model '0000000'"):
        store.add_scores([error("0000000", 1.0)])


def test_a_correction_keeps_what_it_replaced(store):
    for value in (5.0, 6.0, 7.0):
        assert store.add_scores([error("net", value, version="1")], correct=True)[:2] == (
            (1, 0) if value == 5.0 else (0, 1)
        )
    store.add_scores([error("net", 7.0, version="1", unit="%", low=6.0, high=8.0)], correct=True)
    found = store.scores()
    assert told(found) == [("net", "1", 7.0)]
    assert [own.score.value for own in found.replaced] == [5.0, 6.0, 7.0]
    assert [own.score.unit for own in found.replaced] == ["", "", ""]
    assert found.scores[0].unit == "%"
    times = [time for own in found.replaced for time in (own.stored_at, own.replaced_at)]
    assert times == sorted(times)
    assert [own.replaced_at for own in found.replaced[:-1]] == [own.stored_at for own in found.replaced[1:]]
    # Without a need nothing is corrected.
    assert store.add_scores([error("net", 7.0, version="1", unit="%", low=6.0, high=8.0)], correct=True) == (0, 0, 1)
    assert count(store, "score", "replaced_score") == [1, 3]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"value": 6.0}, "top1_error of net@1 on digits from a table is 5.0 in this store, not 6.0: --correct"),
        ({"unit": "%"}, "is 5.0 in this store, not 5.0 %: --correct"),
        ({"low": 4.5, "high": 5.5}, r"is 5.0 in this store, not 5.0 \(4.5 to 5.5\): --correct"),
        ({"better": "higher"}, r"is 5.0 \(better: lower\) in this store, not 5.0 \(better: higher\): --correct"),
    ],
)
def test_another_number_is_refused_and_nothing_is_stored(store, change, message):
    store.add_scores([error("net", 5.0, version="1")])
    other = error("net", **({"value": 5.0, "version": "1"} | change))
    with pytest.raises(ScoreError, match=message):
        store.add_scores([error("same", 1.0), other])
    assert told(store.scores()) == [("net", "1", 5.0)]
    assert count(store, "score", "replaced_score") == [1, 0]


def test_two_names_of_the_same_weights_have_one_score(store):
    assert store.add_scores([error("net", 5.0, version="2"), error("same", 5.0), error("net", 5.0)]) == (1, 0, 0)
    assert told(store.scores()) == [("net", "2", 5.0), ("same", "1", 5.0)]
    with pytest.raises(ScoreError, match=r"of same.* is 9.0, and top1_error of net.* is 8.0: both names"):
        store.add_scores([error("net", 8.0, source="x"), error("same", 9.0, source="x")])
    assert count(store, "score") == [1]


def test_a_score_given_twice_is_refused(store):
    one = error("net", 5.0)
    with pytest.raises(ScoreError, match="top1_error of net on digits from a table is given twice"):
        store.add_scores([one, one])


def test_unknown_models_are_listed_with_near_names(store):
    store.add_scores([error("VGG11", 1.0, version="bn")], without_weights=True)
    scores = [error("nets", 1.0), error("net", 1.0), error("VGG11", 1.0), error("net", 1.0, version="9")]
    with pytest.raises(UnknownModelsError) as caught:
        store.add_scores(scores)
    text = str(caught.value)
    assert "'VGG11' (it has bn), 'net@9' (it has 1, 2), 'nets' (near: net)" in text
    assert "--without-weights" in text
    assert caught.value.names == (("VGG11", ""), ("net", "9"), ("nets", ""))
    assert caught.value.exit_code == 3
    assert count(store, "score", "reported_subject") == [1, 1]
    with pytest.raises(UnknownModelsError, match="and 4 more in this store"):
        store.add_scores([error(f"model-{number}", 1.0) for number in range(12)])


def test_models_without_weights_are_asked_for_once(store):
    first = error("VGG11", 30.0)
    assert store.add_scores([first, error("VGG11", 29.0, version="bn")], without_weights=True) == (2, 0, 0)
    assert store.add_scores([error("VGG11", 10.0, name="top5_error")]) == (1, 0, 0)
    assert [(own.model, own.version, own.digest) for own in store.scores(names=["top1_error"])] == [
        ("VGG11", None, None),
        ("VGG11", "bn", None),
    ]
    with pytest.raises(ScoreError):
        store.add_scores([first._replace(value=31.0)], without_weights=True)


def test_a_stored_model_wins_over_a_reported_one_of_its_name(store):
    store.add_scores([error("late", 30.0)], without_weights=True)
    ww.analyze(net(3), store=store, name="late", metrics=["log_norm"])
    store.add_scores([error("late", 20.0)])
    found = store.scores(["late"])
    assert {(own.version, own.value) for own in found} == {(None, 30.0), ("1", 20.0)}
    assert len(store.remove_scores(["late@1"])) == 1
    assert told(store.scores(["late"])) == [("late", None, 30.0)]


def test_scores_are_chosen_by_what_they_say(store):
    digest = store.versions()[0].digest
    store.add_scores(
        [
            error("net", 1.0, version="1"),
            error("net", 2.0, version="2"),
            error("net", 3.0, version="1", name="nll"),
            error("net", 4.0, version="1", dataset="letters"),
            error("net", 5.0, version="1", source="another"),
            error("R18", 6.0),
            error("R18", 7.0, version="bn"),
        ],
        without_weights=True,
    )

    def values(*models, **chosen):
        return sorted({own.value for own in store.scores(models, **chosen)})

    assert values() == [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]
    assert values("net") == [1.0, 2.0, 3.0, 4.0, 5.0]
    assert values("net@2") == values("same") == [2.0]
    assert [own.model for own in store.scores(["same"])] == ["same"]
    assert values(digest[:10]) == [1.0, 3.0, 4.0, 5.0]
    assert values("R18") == [6.0, 7.0]
    assert values("R18@bn") == [7.0]
    assert values("net@2", "R18@bn") == [2.0, 7.0]
    assert values(names=["nll"]) == [3.0]
    assert values("net", names=["nll", "top1_error"], datasets=["letters"]) == [4.0]
    assert values(sources=["another"]) == [5.0]
    assert values(sources=["nobody"]) == []
    for unknown in ("nix", "net@9", "R18@x"):
        with pytest.raises(ww.NotStoredError):
            store.scores([unknown])
    with pytest.raises(ww.UsageError, match="names must be texts that are not empty"):
        store.scores(names=[""])


def test_what_is_removed_is_told_and_goes_under_every_name(store):
    store.add_scores([error("net", 1.0, version="1"), error("net", 2.0), error("VGG11", 3.0)], without_weights=True)
    store.add_scores([error("net", 4.0)], correct=True)
    with pytest.raises(ww.UsageError, match="nothing says which scores to remove"):
        store.remove_scores()
    with pytest.raises(ww.NotStoredError):
        store.remove_scores(["nix"])
    assert len(store.remove_scores(names=["other"])) == 0
    assert count(store, "score", "replaced_score") == [3, 1]
    removed = store.remove_scores(["same"])
    assert told(removed) == [("net", "2", 4.0), ("same", "1", 4.0)]
    assert {own.score.value for own in removed.replaced} == {2.0}
    assert count(store, "score", "replaced_score") == [2, 0]
    assert told(store.remove_scores(sources=["a table"])) == [("VGG11", None, 3.0), ("net", "1", 1.0)]
    assert count(store, "score") == [0]


def test_a_direction_that_is_left_out_is_that_of_the_stored_scores(store):
    unsaid = error("net", 1.0, better="", dataset="letters")
    with pytest.raises(ScoreError, match="direction of top1_error is better, and the store has no score of this name"):
        store.add_scores([unsaid])
    store.add_scores([error("net", 1.0)])
    store.add_scores([unsaid])
    assert {own.better for own in store.scores()} == {"lower"}
    store.add_scores([error("net", 1.0, better="higher", dataset="signs")])
    with pytest.raises(ScoreError, match="and the store has higher and lower: say --direction"):
        store.add_scores([unsaid._replace(source="x")])
    assert count(store, "score") == [3]


def test_names_move_and_go_and_scores_stay_with_the_weights(store):
    store.add_scores([error("net", 1.0, version="1"), error("net", 2.0)])
    store.rename("net", "web")
    store.rename("web@1", "old@a")
    assert told(store.scores()) == [("old", "a", 1.0), ("same", "1", 2.0), ("web", "2", 2.0)]
    assert store.add_scores([error("old", 1.0)]) == (0, 0, 1)
    digest = store.scores(["old"]).scores[0].digest
    store.forget("old")
    store.collect_garbage()
    assert store.verify().faults == {}
    assert told(store.scores([digest[:8]])) == [(None, None, 1.0)]
    assert store.add_scores([error(digest, 1.5)], correct=True) == (0, 1, 0)
    assert told(store.remove_scores([digest])) == [(None, None, 1.5)]
    assert store.collect_garbage().removed["checkpoint"] == 1
    with pytest.raises(ww.NotStoredError):
        store.scores([digest])


def test_reported_models_go_when_nothing_speaks_of_them(store):
    store.add_scores([error("R18", 1.0), error("R34", 2.0), error("R50", 3.0)], without_weights=True)
    store.add_to_series("ResNet", ["R18", "R34"])
    store.remove_scores(["R18", "R50"])
    assert store.count_garbage().removed == {"reported_subject": 1, "subject": 1}
    assert store.collect_garbage().removed == {"reported_subject": 1, "subject": 1}
    assert [own.model for own in store.series("ResNet")] == ["R18", "R34"]
    assert told(store.scores(["R34"])) == [("R34", None, 2.0)]
    with pytest.raises(UnknownModelsError):
        store.add_scores([error("R50", 3.0)])
    store.remove_from_series("ResNet")
    assert store.collect_garbage().removed == {"reported_subject": 1, "subject": 1}
    assert count(store, "series", "reported_subject") == [0, 1]
    assert store.verify().faults == {}


def test_corrections_of_many_writers_at_once_are_all_kept(store):
    values = [float(number) for number in range(24)]
    failures = []

    def correct(own):
        try:
            for value in own:
                store.add_scores([error("net", value), error("VGG11", value)], correct=True, without_weights=True)
        except Exception as failure:
            failures.append(failure)

    threads = [threading.Thread(target=correct, args=(values[start::6],)) for start in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    for model in ("net", "VGG11"):
        found = store.scores([model])
        assert sorted([found.scores[0].value, *(own.score.value for own in found.replaced)]) == values


SCORES = st.lists(
    st.builds(
        ww.Score,
        model=st.sampled_from(["a", "b", "c"]),
        name=st.sampled_from(["error", "nll"]),
        dataset=st.sampled_from(["", "digits"]),
        value=st.floats(-10, 10),
        source=st.sampled_from(["x", "y"]),
        version=st.sampled_from(["", "1"]),
        better=st.sampled_from(["lower", "higher", "none"]),
        unit=st.sampled_from(["", "%"]),
        low=st.none(),
        high=st.none(),
    ),
    unique_by=lambda score: score.about,
    max_size=12,
)


@settings(max_examples=40, deadline=None)
@given(SCORES, st.randoms(use_true_random=False), st.lists(st.integers(0, 12), max_size=3))
def test_any_order_and_any_split_gives_the_same_table(scores, random, cuts):
    def table(parts):
        with open_store() as store:
            for part in parts:
                store.add_scores(part, without_weights=True)
            return store.scores().scores

    shuffled = random.sample(scores, len(scores))
    edges = sorted({0, *cuts, len(scores)})
    parts = [shuffled[low:high] for low, high in itertools.pairwise(edges)]
    assert table(parts) == table([scores])
    assert len(table([scores])) == len(scores)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": ""}, "the model is empty"),
        ({"model": "a@1"}, "'@'"),
        ({"model": " a"}, "blanks at the ends"),
        ({"model": 3}, "the model must be a text"),
        ({"model": "x" * 201}, "201 characters: 200 are allowed"),
        ({"version": 0}, "the version must be a text"),
        ({"version": "1\n"}, "control characters"),
        ({"name": ""}, "the name of the score is empty"),
        ({"name": "a\0b"}, "control characters"),
        ({"source": ""}, "the source is empty"),
        ({"source": "  "}, "blanks at its ends"),
        ({"source": "\ud800"}, "control characters"),
        ({"dataset": None}, "the dataset must be a text"),
        ({"dataset": "digits "}, "blanks at its ends"),
        ({"unit": "%\x07"}, "control characters"),
        ({"better": "down"}, "the direction is lower, higher, none, not 'down'"),
        ({"better": []}, "the direction is"),
        ({"value": "5"}, "the value must be a number, not '5'"),
        ({"value": True}, "the value must be a number, not True"),
        ({"value": None}, "the value must be a number, not None"),
        ({"value": float("nan")}, "the value must be a finite number"),
        ({"value": float("-inf")}, "the value must be a finite number"),
        ({"value": 10**400}, "the value must be a finite number"),
        ({"value": 1j}, "the value must be a number"),
        ({"low": 1.0}, "an interval has two ends"),
        ({"high": 1.0}, "an interval has two ends"),
        ({"low": 6.0, "high": 4.0}, r"low 6.0 is above high 4.0"),
        ({"low": 1.0, "high": 4.0}, r"the value 5.0 is not between low 1.0 and high 4.0"),
        ({"low": float("nan"), "high": 6.0}, "low must be a finite number"),
    ],
)
def test_what_cannot_be_stored_is_refused_in_one_sentence(store, change, message):
    with pytest.raises(ww.UsageError, match=message) as caught:
        store.add_scores([error("net", 1.0), error("net", 5.0, source="x")._replace(**change)])
    assert "\n" not in str(caught.value)
    assert count(store, "score") == [0]


def test_what_is_no_score_is_refused(store):
    with pytest.raises(ww.UsageError, match=r"a score is made by ww\.Score"):
        store.add_scores([("net", "error", "", 1.0, "x")])


def test_a_damaged_score_is_found(store):
    store.add_scores([error("net", 1.0), error("VGG11", 2.0)], without_weights=True)
    assert store.verify().faults == {}
    with store._writing() as connection:
        connection.execute(update(tables.score).where(tables.score.c.value == 1.0).values(source="somebody else"))
        connection.execute(update(tables.reported_subject).values(model="VGG13"))
    faults = store.verify().faults
    assert {kind: own.count for kind, own in faults.items()} == {"digest": 2}
    assert [text.split()[0] for text in faults["digest"].first] == ["reported", "score"]
