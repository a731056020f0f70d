"""What a terminal that is too narrow leaves out: never the column that a table is read for."""

import os
import pty
import re
import sys

import numpy as np
import pytest
from safetensors.numpy import save_file

PROFILE = """
import ww_core as ww


@ww.hookimpl
def ww_register_profiles():
    return [ww.Profile("ranks", "Ranks first.", headline=("stable_rank", "alpha", "D", "sigma", "entropy", "warning"))]
"""


@pytest.fixture
def on_a_terminal(ww_here, monkeypatch):
    """Runs ``ww`` with stdout on a terminal of so many columns, and returns what it shows."""

    def run(columns, *arguments, plain=True, code=0, **variables):
        ours, theirs = pty.openpty()
        with monkeypatch.context() as patched, os.fdopen(theirs, "w", encoding="utf-8") as terminal:
            for stream in ("stdout",) if plain else ("stdout", "stderr"):
                patched.setattr(sys, stream, terminal)
            for name in ("NO_COLOR", "FORCE_COLOR"):
                patched.delenv(name, raising=False)
            done = ww_here(*arguments, environ={"COLUMNS": str(columns), "TERM": "xterm"} | variables)
        assert done.returncode == code
        shown = b""
        try:
            while part := os.read(ours, 65536):
                shown += part
        except OSError:  # Linux's way to say that nobody writes any more
            pass
        os.close(ours)
        text = shown.decode().replace("\r\n", "\n")
        return re.sub(r"\x1b\[[\d;]*m", "", text) if plain else text

    return run


def header(text):
    return next(line for line in text.splitlines() if line.startswith("layer ")).split()


def test_the_first_column_of_the_headline_and_texts_stay(on_a_terminal, ww_here, model_file):
    assert header(on_a_terminal(300, "analyze", model_file))[6:9] == ["alpha", "D", "sigma"]
    text = on_a_terminal(34, "show", "net")
    assert header(text) == ["layer", "N", "M", "alpha", "warning"]
    assert "no room for shape" in text
    (ww_here.folder / "ranks.py").write_text(PROFILE)
    on_a_terminal(300, "--plugin", "ranks.py", "analyze", model_file, "--profile", "ranks")
    assert header(on_a_terminal(30, "show", "net", "--profile", "ranks"))[-2:] == ["stable_rank", "warning"]


def test_means_over_groups_of_a_trend_fit_and_keep_tau(on_a_terminal, ww_here):
    values = [f"{series}-{size},{size + 0.1 * (size == 2)},{1 / size}" for series in "ab" for size in range(1, 6)]
    (ww_here.folder / "zoo.csv").write_text("\n".join(["modelname,lognorm,alpha_weighted", *values]))
    scores = [f"{series}-{size},top1_error,{9 - size**1.2},lower,me" for series in "ab" for size in range(1, 6)]
    (ww_here.folder / "scores.csv").write_text("\n".join(["model,name,value,direction,source", *scores]))
    on_a_terminal(300, "import", "zoo.csv")
    on_a_terminal(300, "scores", "import", "scores.csv")
    for series in "ab":
        on_a_terminal(300, "series", "add", series, *(f"{series}-{size}" for size in range(1, 6)))
    asked = ("trend", "--metric", "lognorm,alpha_weighted", "--score", "top1_error", "--bootstrap", "0")
    text = on_a_terminal(60, *asked)
    assert max(map(len, text.splitlines())) <= 60
    assert re.search("^metric +groups .*mean tau *$", text, re.MULTILINE)


def test_annotations_for_a_server_are_never_broken(on_a_terminal, weights, model_file):
    on_a_terminal(300, "analyze", model_file)
    save_file(weights | {"first.weight": weights["first.weight"] ** 3}, model_file)
    check = ("check", model_file, "--baseline", "net@1", "--rule", "log_norm: +-0.1%", "--format", "github")
    narrow, wide = (on_a_terminal(columns, *check, code=1).splitlines() for columns in (40, 300))
    assert narrow[0].startswith("::error ")
    assert narrow[0] == wide[0]


def test_messages_break_between_words_and_commands_stay_whole(on_a_terminal, ww_here):
    text = on_a_terminal(40, "show", "net", "--store", "there-is-none.sqlite", plain=False, code=3)
    assert re.sub(r"\x1b\[[\d;]*m", "", text).splitlines() == [
        "error: there is no store at",
        f"  {ww_here.folder / 'there-is-none.sqlite'}:",
        "  `ww analyze` makes one",
    ]


def test_a_difference_keeps_both_sides_of_the_first_column(on_a_terminal, weights, model_file):
    on_a_terminal(300, "analyze", model_file)
    save_file(weights | {"first.weight": weights["first.weight"] ** 3}, model_file)
    on_a_terminal(300, "analyze", model_file)
    text = on_a_terminal(50, "diff", "net@1", "net@2")
    assert header(text) == ["layer", "status", "alpha"]
    assert re.search(r"^first +changed +[\d.]+\*? → [\d.]+\*? \([+-][\d.]+", text, re.MULTILINE)


def test_a_difference_keeps_what_says_how_far_to_trust_it(on_a_terminal, weights, model_file):
    on_a_terminal(300, "analyze", model_file)
    save_file(weights | {"second.weight": weights["second.weight"][:6, :5].copy()}, model_file)
    on_a_terminal(300, "analyze", model_file)
    text = on_a_terminal(70, "diff", "net@1", "net@2")
    assert header(text) == ["layer", "status", "alpha", "warning"]
    assert text.partition("(no room for ")[2].startswith("short_tail")
    assert re.search(r"^second +changed +[\d.]+ → [\d.]+\*", text, re.MULTILINE)
    assert "* short_tail: this number is not to be trusted" in text


@pytest.fixture
def short(tmp_path):
    """A file of one layer whose tail is short."""
    save_file({"short.weight": np.diag(np.arange(1.0, 9.0)).astype(np.float32)}, tmp_path / "short.safetensors")
    return tmp_path / "short.safetensors"


def test_marks_stay_while_their_flags_go_first_and_footers_break_between_items(on_a_terminal, short):
    wide = on_a_terminal(300, "analyze", short)
    assert header(wide)[-1] == "short_tail"
    assert "no room" not in wide
    assert re.search(r"\(no room for short_tail[:,]", on_a_terminal(120, "show", "short"))
    lines = on_a_terminal(40, "show", "short").splitlines()
    assert any(re.match(r"short .* [\d.]+\*", line) for line in lines)
    means = lines[lines.index(next(line for line in lines if line.startswith("mean: "))) :]
    means = means[: means.index(next(line for line in means if line.startswith("model: ")))]
    assert len(means) > 1
    assert max(map(len, means)) <= 40
    assert all(line.endswith(",") for line in means[:-1])
    assert " ".join(map(str.strip, means)) in wide


def test_warnings_have_a_colour_where_the_terminal_has_any(on_a_terminal, short):
    text = on_a_terminal(120, "analyze", short, plain=False)
    assert re.search(r"\x1b\[33m *[\d.]+\*", text)
    assert "\x1b[31merror\x1b[0m: " in on_a_terminal(120, "show", "nothing", plain=False, code=3)
    for variables in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        text = on_a_terminal(120, "show", "short", plain=False, **variables)
        assert re.search(r"[\d.]+\*", text)
        assert not re.search(r"\x1b\[[39]\dm", text)
    refused = on_a_terminal(120, "show", "nothing", plain=False, code=3, NO_COLOR="1")
    assert refused.startswith("error: ")
