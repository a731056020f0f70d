"""Scores in a history: what was reported about versions, by whoever did, beside the metrics."""

import csv
import io
import json

import numpy as np
import pytest

import ww_core as ww


@pytest.fixture
def store(tmp_path):
    """Three versions: two with a prediction, the last one with a measurement too."""
    place = tmp_path / "store.sqlite"
    rng = np.random.default_rng(0)
    for scale in (1, 2, 4):
        weights = {"a.weight": scale * rng.standard_normal((30, 20)), "b.weight": rng.standard_normal((20, 10))}
        ww.analyze({name: own.astype(np.float32) for name, own in weights.items()}, store=place, name="net")
    predicted = {"dataset": "digits", "source": "predictor:0123456789abcdef", "better": "higher"}
    scores = [
        ww.Score("net", "test_accuracy", value=0.5, version="1", low=0.4, high=0.6, **predicted),
        ww.Score("net", "test_accuracy", value=0.75, version="3", low=0.7, high=0.875, **predicted),
        ww.Score("net", "test_accuracy", "digits", 0.8125, "a paper", "3", "higher"),
        ww.Score("net", "loss", "", 1.5, "me", "2", "lower"),
    ]
    with ww.open_store(place) as opened:
        opened.add_scores(scores)
    return place


PREDICTED = "test_accuracy from predictor:0123456789abcdef"
MEASURED = "test_accuracy from a paper"


def rows(ww_here, store, *more):
    done = ww_here("history", "net", "--metrics", "alpha", "--store", store, "--csv", *more)
    assert done.returncode == 0, done.stderr
    return list(csv.DictReader(io.StringIO(done.stdout)))


def test_each_kind_and_source_is_a_column_with_its_interval(ww_here, store):
    told = rows(ww_here, store)
    assert [row[PREDICTED] for row in told] == ["0.5", "", "0.75"]
    assert [(row[f"{PREDICTED}_low"], row[f"{PREDICTED}_high"]) for row in told] == [
        ("0.4", "0.6"),
        ("", ""),
        ("0.7", "0.875"),
    ]
    assert [row[MEASURED] for row in told] == ["", "", "0.8125"]
    assert [row["loss"] for row in told] == ["", "1.5", ""]


def test_json_tells_the_scores_of_each_version(ww_here, store):
    done = ww_here("history", "net", "--metrics", "alpha", "--store", store, "--json")
    versions = json.loads(done.stdout)["versions"]
    assert [len(own["scores"]) for own in versions] == [1, 1, 2]
    assert versions[0]["scores"] == [
        {
            "name": "test_accuracy",
            "dataset": "digits",
            "source": "predictor:0123456789abcdef",
            "better": "higher",
            "unit": "",
            "value": 0.5,
            "low": 0.4,
            "high": 0.6,
        }
    ]
    assert versions[1]["scores"][0]["low"] is None


def test_the_table_shows_intervals_and_a_line_tells_how_a_score_went(ww_here, store):
    text = ww_here("history", "net", "--metrics", "alpha", "--store", store).stdout
    assert PREDICTED in text.splitlines()[2]
    assert "0.5 (0.4 to 0.6)" in text
    (line,) = (own for own in text.splitlines() if own.startswith("test_accuracy on digits from predictor:"))
    assert "0.5" in line
    assert "+0.25 better" in line
    assert "loss from me: 1.5" in text


def test_one_score_is_chosen_by_its_name(ww_here, store):
    told = rows(ww_here, store, "--score", "loss")
    assert "loss" in told[0]
    assert PREDICTED not in told[0]
    assert rows(ww_here, store, "--score", "loss", "--score", "test_accuracy") == rows(ww_here, store)
    done = ww_here("history", "net", "--store", store, "--score", "test_acuracy")
    assert done.returncode == 2
    assert "did you mean test_accuracy" in done.stderr
    assert ww_here("history", "net", "--store", store, "--score", "").returncode == 2


def test_a_name_with_a_comma_is_a_name(ww_here, store):
    with ww.open_store(store) as opened:
        opened.add_scores([ww.Score("net", "top1, clean", "", 0.7, "me", "1", "higher")])
    assert "loss" not in rows(ww_here, store, "--score", "top1, clean")[0]
    assert {"top1, clean", "loss"} < rows(ww_here, store, "--score", "loss", "--score", "top1, clean")[0].keys()


def test_without_a_score_nothing_is_shown_and_one_that_is_asked_for_is_missed(ww_here, store):
    with ww.open_store(store) as opened:
        opened.remove_scores(["net"])
    assert not any("accuracy" in own for own in rows(ww_here, store)[0])
    done = ww_here("history", "net", "--store", store, "--score", "loss")
    assert done.returncode == 3
    assert "`ww scores add`" in done.stderr


def test_a_score_with_the_name_of_a_column_keeps_both(ww_here, store):
    with ww.open_store(store) as opened:
        opened.add_scores(
            [
                ww.Score("net", name, "", 7.0, "me", "1", "lower")
                for name in ("alpha", "alpha_count", "version", "moved most", "loss_low")
            ]
        )
    first = rows(ww_here, store)[0]
    assert float(first["alpha"]) != 7.0
    assert {first[f"score {name}"] for name in ("alpha", "alpha_count", "version", "moved most", "loss_low")} == {"7.0"}
    assert first["version"] == "1"


def test_scores_that_differ_in_unit_alone_do_not_mix(ww_here, store):
    with ww.open_store(store) as opened:
        opened.add_scores([ww.Score("net", "loss", "", 70.0, "me", "1", "lower", "%")])
    told = rows(ww_here, store, "--score", "loss")
    assert [row["loss from me, %, better lower"] for row in told] == ["70.0", "", ""]
    assert [row["loss from me, no unit, better lower"] for row in told] == ["", "1.5", ""]


def test_python_has_the_same(store):
    history = ww.history("net", store=store, metrics=["alpha"], scores=["loss"])
    assert [own.numbers for own in history.scores.values()] == [(None, (1.5, None, None), None)]
    assert ww.history("net", store=store, metrics=["alpha"]).of(["alpha"]).scores.keys() == {
        "loss",
        MEASURED,
        PREDICTED,
    }
