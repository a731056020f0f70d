"""``ww leaderboard``, as a user runs it."""

import csv
import io
import json

import pytest
from published import Paper

import ww_core as ww


def paper():
    """Two series of six models, the one with scores, and a model without a value."""
    own = Paper(
        better={"alpha": "lower", "quality": "higher"},
        caveats={"alpha": "It does not order networks that differ in depth."},
    )
    for at in range(6):
        own.add(f"vgg-{at}", "vgg", alpha=2 + at / 8, quality=at // 2, score=10 + at)
        own.add(f"resnet-{at}", "resnet", alpha=4 - at / 8, quality=at)
    return own.add("lost", "vgg", quality=3.0, score=9.0)


@pytest.fixture
def ww_filled(ww_here):
    """The program, with a store that holds a paper's table."""
    with ww.open_store(ww_here.store) as store:
        paper().record(store)
    return ww_here


def ok(result):
    assert result.returncode == 0, result.stderr
    assert "Traceback" not in result.stderr
    return result.stdout


def test_a_table_for_people(ww_filled):
    result = ww_filled("leaderboard", "--metric", "quality", "--bootstrap", 0)
    assert ok(result) == (
        "quality, higher is better, paper\n"
        "top1_error (%) on imagenet, lower is better, from paper\n"
        "\n"
        "series  rank  model     quality  top1_error  its rank\n"
        "resnet  1     resnet-5        5\n"
        "resnet  2     resnet-4        4\n"
        "resnet  3     resnet-3        3\n"
        "resnet  4     resnet-2        2\n"
        "resnet  5     resnet-1        1\n"
        "resnet  6     resnet-0        0\n"
        "vgg     1     lost            3           9         1\n"
        "vgg     2=    vgg-4           2          14         6\n"
        "vgg     2=    vgg-5           2          15         7\n"
        "vgg     4=    vgg-2           1          12         4\n"
        "vgg     4=    vgg-3           1          13         5\n"
        "vgg     6=    vgg-0           0          10         2\n"
        "vgg     6=    vgg-1           0          11         3\n"
        "\n"
        "13 models, 13 ranked, 7 with top1_error, 7 with both\n"
        "\n"
        "agreement  models  tau      by luck  rho\n"
        "vgg             7  -0.3086  0.45     -0.2019\n"
    )
    assert result.stderr == ""


def test_what_is_not_ranked_says_why_and_warnings_go_to_stderr(ww_filled):
    result = ww_filled("leaderboard", "--metric", "alpha", "--series", "vgg", "--top", 6)
    text = ok(result)
    assert "(1 more: leave --top out)" in text
    assert "not ranked" not in text
    assert result.stderr == "warning: alpha: It does not order networks that differ in depth.\n"
    every = ok(ww_filled("leaderboard", "--metric", "alpha", "--series", "vgg"))
    (line,) = [line for line in every.splitlines() if "lost" in line]
    assert line.split(maxsplit=4) == ["vgg", "lost", "9", "1", "paper has no value of it"]
    assert "7 models, 6 ranked, 7 with top1_error, 6 with both" in every
    assert "vgg             6  1 [1, 1]  0.0028   1 [1, 1]" in every


def test_json_is_one_object_without_nan(ww_filled):
    def refuse(text):
        raise AssertionError(text)

    result = ww_filled("leaderboard", "--metric", "alpha", "--json", "--top", 1)
    told = json.loads(ok(result), parse_constant=refuse)
    assert result.stderr == ""
    assert list(told) == [
        "metric", "better", "unit", "origin", "score", "dataset", "counts", "models", "by_series", "inside", "between",
        "overall", "warnings",
    ]  # fmt: skip
    assert told["counts"] == {"models": 13, "ranked": 12, "with_score": 7, "with_both": 6}
    assert [own["model"] for own in told["models"]] == ["resnet-5", "vgg-0"]
    assert told["models"][0]["score"] is None
    assert (told["by_series"][0]["series"], told["by_series"][0]["tau"]["value"]) == ("vgg", 1.0)
    assert told["inside"] is None
    assert told["warnings"] == ["alpha: It does not order networks that differ in depth."]


def test_csv_has_a_row_a_model_with_full_numbers(ww_filled):
    rows = list(
        csv.DictReader(io.StringIO(ok(ww_filled("leaderboard", "--metric", "alpha / 3", "--better", "lower", "--csv"))))
    )
    assert len(rows) == 13
    assert float(rows[0]["value"]) == (4 - 5 / 8) / 3
    assert (rows[-1]["model"], rows[-1]["value"], rows[-1]["rank"]) == ("lost", "", "")
    assert rows[-1]["reason"] == "alpha: paper has no value of it"


def test_models_analysed_here(ww_here, model_file):
    ok(ww_here("analyze", model_file, "--name", "net", "--version", "one"))
    ok(ww_here("analyze", model_file, "--name", "twin"))
    text = ok(ww_here("leaderboard", "--metric", "stable_rank", "--better", "higher"))
    assert text.splitlines()[0] == "stable_rank, higher is better, profile default"
    assert text.splitlines()[2].split() == ["rank", "model", "version", "stable_rank", "of"]
    assert [line.split()[:3] for line in text.splitlines()[3:5]] == [["1=", "net", "one"], ["1=", "twin", "1"]]
    layers = ok(ww_here("leaderboard", "--metric", "alpha", "--layers", "conv,first", "--json"))
    assert {own["present"] for own in json.loads(layers)["models"]} == {2}


def test_names_from_strangers_are_printed_and_never_run(ww_here):
    with ww.open_store(ww_here.store) as store:
        own = Paper(better={"alpha": "lower", "version": "lower"})
        own.add("=HYPERLINK()", "[red]x", alpha=1.0, version=1.0, score=2.0, name="alpha")
        own.add("b\u202e", "[red]x", alpha=2.0, version=2.0, score=1.0, name="alpha")
        own.record(store)
    text = ok(ww_here("leaderboard", "--metric", "alpha"))
    assert "[red]x" in text
    assert "\u202e" not in text
    assert text.splitlines()[3].split() == ["series", "rank", "model", "alpha", "score", "alpha", "its", "rank"]
    assert "metric version" in ok(ww_here("leaderboard", "--metric", "version"))


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--metric", ""], 2, "--metric is empty"),
        (["--metric", "alhpa"], 3, "alhpa: no imported table has it, and no model is stored here"),
        (["--metric", "alpha", "--reported", "papre"], 2, "unknown table or provider 'papre': did you mean paper"),
        (["--metric", "alpha", "--reported", ""], 2, "--reported is empty"),
        (["--metric", "alpha", "--series", "vg"], 2, "unknown series 'vg': did you mean vgg"),
        (["--metric", "alpha", "--series", ""], 2, "--series is empty"),
        (["--metric", "alpha", "--models", "vgg-9"], 2, "unknown model 'vgg-9'"),
        (["--metric", "alpha", "--score", "top5"], 2, "unknown score 'top5'"),
        (["--metric", "alpha", "--dataset", "cifar"], 2, "unknown dataset 'cifar': known: imagenet"),
        (["--metric", "alpha", "--source", "nobody"], 2, "unknown source 'nobody': known: paper"),
        (["--metric", "alpha", "--better", "best"], 2, "unknown direction 'best'"),
        (["--metric", "alpha / quality"], 2, "and its direction is unknown: give --better lower or higher"),
        (["--metric", "alpha", "--where", "alpha"], 2, "condition 'alpha', character 6"),
        (["--metric", "alpha", "--where", "alpha > 9"], 3, "no model keeps the condition 'alpha > 9'"),
        (["--metric", "alpha", "--layers", "conv"], 2, "unknown layer 'conv'"),
        (["--metric", "alpha", "--min-m", "-1"], 2, "Invalid value for '--min-m'"),
        (["--metric", "alpha", "--min-m", "50"], 2, "unknown column of paper 'M'"),
        (["--metric", "alpha", "--leave-out", "short"], 2, "unknown column of paper 'short'"),
        (["--metric", "alpha", "--mean-over", "slices"], 2, "Invalid value for '--mean-over'"),
        (["--metric", "alpha", "--mean-over", "layers"], 2, "paper tells alpha of whole models: no layers can be"),
        (["--metric", "alpha", "--profile", "default", "--reported", "paper"], 2, "give one of the two"),
        (["--metric", "alpha", "--profile", "nix"], 3, "no model is stored here"),
        (["--metric", "alpha", "--all-versions", "--reported", "paper"], 2, "no order of versions"),
        (["--metric", "alpha", "--bootstrap", "-1"], 2, "Invalid value for '--bootstrap'"),
        (["--metric", "alpha", "--top", "x"], 2, "Invalid value for '--top'"),
        (["--metric", "alpha", "--json", "--csv"], 2, "exclude"),
        ([], 2, "Missing option '--metric'"),
    ],
)
def test_wrong_options_are_one_sentence(ww_filled, arguments, code, words):
    result = ww_filled("leaderboard", *arguments)
    assert result.returncode == code, result.stderr
    assert words in result.stderr
    assert result.stdout == ""
    assert "Traceback" not in result.stderr


def test_a_store_that_is_not_there(ww_here):
    result = ww_here("leaderboard", "--metric", "alpha")
    assert result.returncode == 3
    assert len(result.stderr.splitlines()) == 1
    assert not ww_here.store.exists()
