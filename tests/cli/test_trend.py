"""``ww trend``, as a user runs it."""

import csv
import io
import json

import numpy as np
import pytest
from published import Paper

import ww_core as ww
from ww_core.command.picture import save_plot

PNG = b"\x89PNG\r\n\x1a\n"


def paper(groups=("vgg", "resnet", "dense"), size=6):
    own = Paper(caveats={"alpha": "It does not order networks that differ in depth."})
    drawn = np.random.default_rng(3)
    for series in groups:
        for at in range(size):
            alpha = 2 + at / 8
            own.add(
                f"{series}-{at}", series, alpha=alpha, rank=float(drawn.normal()), score=10 + 3 * alpha + drawn.random()
            )
    for at in range(2):
        own.add(f"tiny-{at}", "tiny", alpha=at, rank=1.0, score=1.0)
    return own.add("lost", groups[0], rank=1.0, score=1.0)


def record(ww_here, own):
    with ww.open_store(ww_here.store) as store:
        own.record(store)
    return ww_here


@pytest.fixture
def ww_filled(ww_here):
    """The program, with a store that holds a paper's table."""
    return record(ww_here, paper())


def ok(result):
    assert result.returncode == 0, result.stderr
    assert "Traceback" not in result.stderr
    return result.stdout


def test_a_table_for_people(ww_filled):
    result = ww_filled("trend", "--metric", "alpha", "--score", "top1_error", "--as", "accuracy")
    lines = ok(result).splitlines()
    assert lines[0] == "100 - top1_error (%) from paper, against values of paper"
    assert lines[2].split() == [
        "metric",
        "series",
        "models",
        "slope",
        "intercept",
        "RMSE",
        "MSE",
        "R2",
        "tau",
        "by",
        "luck",
        "rho",
    ]
    assert [line.split()[1] for line in lines[3:6]] == ["dense", "resnet", "vgg"]
    assert lines[3].split()[3].startswith("-")
    assert "[" in lines[3]
    assert lines[7].split()[:2] == ["metric", "groups"]
    assert lines[8].split()[:2] == ["alpha", "3"]
    assert lines[10:] == [
        "21 models, 21 with a score, 21 of them in a group",
        "too few models in tiny (2): alpha",
        "no value of lost (paper has no value of it): alpha",
    ]
    assert result.stderr == "warning: alpha: It does not order networks that differ in depth.\n"


def test_json_is_one_object_without_nan(ww_filled):
    def refuse(text):
        raise AssertionError(text)

    arguments = ("--metric", "alpha, if(alpha < 2.1, 1, 1)", "--metric", "rank", "--score", "top1_error", "--json")
    told = json.loads(ok(ww_filled("trend", *arguments)), parse_constant=refuse)
    assert list(told) == [
        "score", "metrics", "origin", "by", "ddof", "lines", "summary", "points", "small_groups", "left_out", "counts",
        "warnings",
    ]  # fmt: skip
    assert [own["name"] for own in told["metrics"]] == ["alpha", "if(alpha < 2.1, 1, 1)", "rank"]
    assert told["lines"][3]["slope"]["value"] is None
    assert told["left_out"][0]["model"] == "lost"
    assert told["small_groups"][0] == {"metric": "alpha", "series": "tiny", "dataset": "", "n": 2}


def test_csv_has_a_row_a_line_with_full_numbers(ww_filled):
    text = ok(ww_filled("trend", "--metric", "alpha,rank", "--score", "top1_error", "--csv", "--by", "dataset,series"))
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [(own["metric"], own["series"], own["dataset"], own["n"]) for own in rows] == [
        (metric, series, "imagenet", "7" if (metric, series) == ("rank", "vgg") else "6")
        for metric in ("alpha", "rank")
        for series in ("dense", "resnet", "vgg")
    ]
    with ww.open_store(ww_filled.store, mode="read") as store:
        line = ww.trend(["alpha"], "top1_error", store=store).line("alpha", "vgg")
    assert float(rows[2]["slope"]) == line.slope.value
    assert float(rows[2]["tau_low"]) == line.tau.low


def test_one_group_of_all(ww_filled):
    text = ok(ww_filled("trend", "--metric", "rank", "--score", "top1_error", "--by", "none", "--bootstrap", 0))
    assert text.splitlines()[2].split()[:3] == ["metric", "models", "slope"]
    assert "groups" not in text
    assert text.splitlines()[-1] == "21 models, 21 with a score, 21 of them in a group"


@pytest.mark.parametrize("name", ["plot.png", "plot.svg", "plot.pdf"])
def test_a_picture_is_drawn_beside_the_table(ww_filled, name):
    arguments = ("trend", "--metric", "alpha,rank", "--score", "top1_error", "--bootstrap", 0)
    with_plot = ok(ww_filled(*arguments, "--plot", name))
    assert with_plot == ok(ww_filled(*arguments))
    content = (ww_filled.folder / name).read_bytes()
    assert content.startswith({"png": PNG, "svg": b"<?xml", "pdf": b"%PDF"}[name[-3:]])


def labels(ww_here, monkeypatch, *arguments):
    """Texts of the picture that a command draws, panel by panel, and how many points and lines each has."""
    found = []

    def keep(figure, file):
        for axis in figure.axes:
            if axis.axison:
                legend = axis.get_legend()
                found.append(
                    {
                        "x": axis.get_xlabel(),
                        "y": axis.get_ylabel(),
                        "title": axis.get_title(),
                        "legend": [own.get_text() for own in legend.get_texts()] if legend else [],
                        "points": sum(len(own.get_xdata()) for own in axis.lines if own.get_linestyle() == "None"),
                        "lines": sum(own.get_linestyle() != "None" for own in axis.lines),
                    }
                )
        save_plot(figure, file)

    monkeypatch.setattr("ww_core.cli.trend_plot.save_plot", keep)
    ok(ww_here("trend", "--score", "top1_error", "--bootstrap", 0, "--plot", "plot.png", *arguments))
    return found


def test_few_groups_share_a_panel_a_metric(ww_filled, monkeypatch):
    panels = labels(ww_filled, monkeypatch, "--metric", "alpha,rank / 2")
    assert [(own["x"], own["y"]) for own in panels] == [
        ("alpha, lower is better", "top1_error (%), lower is better"),
        ("rank / 2", "top1_error (%), lower is better"),
    ]
    assert [(own["points"], own["lines"]) for own in panels] == [(18, 3), (19, 3)]
    assert [own.split(":")[0] for own in panels[0]["legend"]] == ["dense", "resnet", "vgg"]
    assert panels[0]["legend"][0].endswith("n 6")
    assert "R2 0." in panels[0]["legend"][0]


def test_many_groups_have_panels_of_their_own(ww_here, monkeypatch):
    record(ww_here, paper([f"group-{at:02}" for at in range(28)], 4))
    panels = labels(ww_here, monkeypatch, "--metric", "alpha")
    assert len(panels) == 28
    assert panels[3]["title"].splitlines()[0] == "group-03"
    assert all(own["points"] == 4 and own["lines"] == 1 and own["legend"] == [] for own in panels)
    result = ww_here("trend", "--metric", "alpha,rank,-alpha,-rank,2*rank", "--score", "top1_error", "--plot", "p.png")
    assert result.returncode == 2
    assert "140 panels, and 120 can be looked at: choose fewer metrics or series" in result.stderr


def test_one_group_and_odd_names_are_drawn_as_they_are(ww_here, monkeypatch):
    record(ww_here, paper(["$x^2$ and $\\frac", "very long " * 19, "größe\u202e 模型"]))
    panels = labels(ww_here, monkeypatch, "--metric", "alpha")
    names = [own.split(": R2")[0] for own in panels[0]["legend"]]
    assert names[0] == "$x^2$ and $\\frac"
    assert len(names[2]) <= 40
    assert "..." in names[2]
    assert not any("\u202e" in own for own in names)
    panels = labels(ww_here, monkeypatch, "--metric", "alpha", "--series", "$x^2$ and $\\frac")
    assert len(panels) == 1


def test_a_line_that_cannot_be_drawn_is_left_out_of_the_picture(ww_here, monkeypatch):
    own = Paper()
    for at in range(4):
        own.add(f"m{at}", "flat", alpha=1.0, score=at)
    record(ww_here, own)
    (panel,) = labels(ww_here, monkeypatch, "--metric", "alpha")
    assert (panel["points"], panel["lines"], panel["legend"]) == (4, 0, ["flat: n 4"])
    assert "x is the same for all models" in ok(ww_here("trend", "--metric", "alpha", "--score", "top1_error"))


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--score", "top1_error"], 2, "Missing option '--metric'"),
        (["--metric", "alpha"], 2, "Missing option '--score'"),
        (["--metric", "", "--score", "top1_error"], 2, "metrics must be texts that are not empty"),
        (["--metric", "alpha,", "--score", "top1_error"], 2, "metric 'alpha,', character 7"),
        (["--metric", "alpha", "--score", ""], 2, "--score is empty"),
        (["--metric", "alpha", "--score", "top5"], 2, "unknown score 'top5'"),
        (["--metric", "alpha", "--score", "top1_error", "--by", "model"], 2, "unknown kind of group 'model'"),
        (["--metric", "alpha", "--score", "top1_error", "--by", ""], 2, "--by is empty"),
        (["--metric", "alpha", "--score", "top1_error", "--as", "loss"], 2, "Invalid value for '--as'"),
        (["--metric", "alpha", "--score", "top1_error", "--min-models", "1"], 2, "Invalid value for '--min-models'"),
        (
            ["--metric", "alpha", "--score", "top1_error", "--min-models", "9"],
            2,
            "the largest has 6 (--min-models sets",
        ),
        (["--metric", "alpha", "--score", "top1_error", "--ddof", "3"], 2, "ddof 3 leaves nothing of 3 models"),
        (["--metric", "alpha", "--score", "top1_error", "--dataset", "x"], 2, "unknown dataset of top1_error 'x'"),
        (["--metric", "alpha", "--score", "top1_error", "--source", "x"], 2, "unknown source of top1_error 'x'"),
        (["--metric", "alpha", "--score", "top1_error", "--plot", "p.jpg"], 2, "a picture's name ends in"),
        (["--metric", "max(alpha)", "--score", "top1_error"], 2, "paper tells alpha of whole models: there is no max"),
    ],
)
def test_wrong_options_are_one_sentence(ww_filled, arguments, code, words):
    result = ww_filled("trend", *arguments)
    assert result.returncode == code, result.stderr
    assert words in result.stderr
    assert result.stdout == ""
    assert "Traceback" not in result.stderr


def test_a_picture_that_cannot_be_drawn_costs_no_time(ww_program):
    record(ww_program, paper())
    result = ww_program("trend", "--metric", "alpha", "--score", "top1_error", "--plot", "no/plot.png")
    assert (result.returncode, result.stdout) == (3, "")
    assert result.stderr.endswith("--plot no/plot.png: there is no folder no\n")
