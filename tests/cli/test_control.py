"""``ww analyze --control`` as a user runs it."""

import json

import numpy as np
import pytest
from safetensors.numpy import save_file


def ok(result):
    assert result.returncode == 0, result.stderr
    assert "Traceback" not in result.stderr
    return result.stdout


def refused(result, code):
    assert result.returncode == code
    (line,) = result.stderr.splitlines()
    return line


def test_a_control_says_of_what_it_is_one_and_how_it_was_made(ww_here, model_file):
    ok(ww_here("analyze", model_file))
    said = "a control, no trained network: net@1 with the elements of every tensor permuted (seed 0)"
    analyzed = ok(ww_here("analyze", model_file, "--control", "permuted")).splitlines()
    shown = ok(ww_here("show", "net~permuted")).splitlines()
    for lines in (analyzed, shown):
        assert lines[0].startswith(f"net~permuted@1  {model_file}")
        assert lines[1] == said
    assert "no trained network" not in ok(ww_here("show", "net"))
    again = json.loads(ok(ww_here("analyze", model_file, "--control", "permuted", "--json")))
    assert again["run"]["computed"] == 0
    assert again["run"]["control"]["of"][0].items() >= {"model": "net", "version": "1"}.items()
    assert again["run"]["control"] == json.loads(ok(ww_here("show", "net~permuted", "--json")))["run"]["control"]
    assert json.loads(ok(ww_here("show", "net", "--json")))["run"]["control"] is None


def test_a_network_and_its_controls_side_by_side(ww_here, model_file, tmp_path):
    ok(ww_here("analyze", model_file))
    for options in (["random"], ["random", "--seed", "1"], ["permuted"]):
        ok(ww_here("analyze", model_file, "--control", *options))
    assert "net@1 → net~random@1" in ok(ww_here("diff", "net", "net~random"))
    listed = ok(ww_here("show"))
    assert [name in listed for name in ("net~permuted", "net~random", "net~random-seed1")] == [True] * 3
    board = json.loads(ok(ww_here("leaderboard", "--metric", "alpha", "--json")))
    assert [own["model"] for own in board["models"]] == ["net"]
    pytest.importorskip("matplotlib")
    picture = tmp_path / "both.png"
    ok(ww_here("plot", "esd", "net", "net~permuted", "--layers", "first", "-o", picture))
    assert picture.stat().st_size > 10_000


def test_refusals_are_one_sentence(ww_here, model_file, tmp_path):
    assert refused(ww_here("analyze", model_file, "--control", "shuffled"), 2) == (
        "error: unknown control 'shuffled': known: permuted, random"
    )
    assert "--control is empty" in refused(ww_here("analyze", model_file, "--control", ""), 2)
    ok(ww_here("analyze", model_file, "--control", "random"))
    assert refused(ww_here("analyze", model_file, "--name", "net~random"), 2) == (
        "error: 'net~random' is the name of a control (random), and this is a network: give it another --name"
    )
    save_file({"steps": np.arange(3)}, tmp_path / "nothing.safetensors")
    assert "nothing in it can be analysed" in refused(
        ww_here("analyze", tmp_path / "nothing.safetensors", "--control", "random"), 3
    )
    assert "nosuch" in refused(ww_here("analyze", tmp_path / "nosuch", "--control", "random"), 3)


def test_csv_and_json_are_nothing_but_data(ww_here, model_file):
    rows = ok(ww_here("analyze", model_file, "--control", "permuted", "--csv")).splitlines()
    assert rows[0].startswith("layer,kind,")
    assert len(rows) == 4
