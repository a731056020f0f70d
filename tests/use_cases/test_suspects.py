"""`ww regressions` also tells the largest changes that noise may explain."""

import json

import numpy as np
import pytest

import ww_core as ww


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Five versions of twelve layers, drawn anew each; in the last one, one layer is 1.1 times as large."""
    path = tmp_path_factory.mktemp("suspects") / "s.sqlite"
    random = np.random.default_rng(0)
    for version in range(5):
        weights = {f"l{at}.weight": random.standard_normal((40, 24)).astype(np.float32) for at in range(12)}
        if version == 4:
            weights["l3.weight"] *= np.float32(1.1)
        ww.analyze(weights, store=path, name="net")
    return path


def test_the_largest_changes_are_told_though_none_is_a_step(store):
    answer = ww.regressions("net", store=store, metrics=["frobenius_norm"])
    assert answer.regressions == ()
    assert 1 <= len(answer.suspects) <= 5
    first = answer.suspects[0]
    assert (first.layer, first.version, first.verdict) == ("l3", "5", "worse")
    assert first.evidence < first.needed
    assert all(own.verdict == "worse" for own in answer.suspects)


def test_json_and_text_tell_them(store, ww_here):
    options = ("regressions", "net", "--store", str(store), "--metrics", "frobenius_norm")
    told = json.loads(ww_here(*options, "--json").stdout)
    assert told["regressions"] == []
    assert told["suspects"][0]["layer"] == "l3"
    assert {"evidence", "needed", "p_value"} <= set(told["suspects"][0])
    lines = [line for line in ww_here(*options).stdout.splitlines() if line.startswith("may be noise: ")]
    assert lines[0].startswith("may be noise: 5 l3 frobenius_norm ")
    assert "worse" in lines[0]


def test_a_step_is_no_suspect(store):
    loose = ww.regressions("net", store=store, metrics=["frobenius_norm"], false_alarms=0.99)
    places = {(own.layer, own.version, own.column) for own in loose.regressions}
    assert not places & {(own.layer, own.version, own.column) for own in loose.suspects}


def test_nothing_is_suspect_where_nothing_changed(tmp_path):
    weights = {"a.weight": np.random.default_rng(0).standard_normal((40, 24)).astype(np.float32)}
    for version in ("1", "2"):
        ww.analyze(weights, store=tmp_path / "s.sqlite", name="net", version=version)
    assert ww.regressions("net", store=tmp_path / "s.sqlite").suspects == ()


def test_a_change_beside_which_no_noise_is_known_is_no_suspect(tmp_path, ww_here):
    for version in (0, 1, 2):
        weights = {"a.weight": np.full((9, 8), version, np.float32)}
        ww.analyze(weights, store=tmp_path / "s.sqlite", name="net", version=str(version))
    options = ("--store", str(tmp_path / "s.sqlite"), "--metrics", "stable_rank,log_spectral_norm")
    told = ww_here("regressions", "net", *options, "--json")
    assert (told.returncode, told.stderr) == (0, "")
    assert json.loads(told.stdout)["suspects"] == []
