"""The study of zoos: every step on zoos too small to say anything, and what has to come out of the whole."""

import contextlib
import gc
import io
import json
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmarks.zoo_study import __main__ as study_program
from benchmarks.zoo_study import running
from benchmarks.zoo_study.goals import goals_of
from benchmarks.zoo_study.running import Answer, StepError, answers_of
from benchmarks.zoo_study.steps import FULL, SMALL, Step, steps_of
from ww_core.cli.main import main

ROOT = Path(__file__).resolve().parents[2]
COMMAND = re.compile(r"^\d\d:\d\d:\d\d  (ww|examples/)", re.MULTILINE)


def study(folder):
    return subprocess.run(
        [sys.executable, "-m", "benchmarks.zoo_study", "--out", folder, "--small"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=540,
    )


def run_here(command, *, cwd, env, **options):
    """Run a step as the study does, but a command of ``ww`` in this process, where torch is imported once."""
    if command[1:3] != ["-m", "ww_core"]:
        return subprocess.run(command, cwd=cwd, env=env, **options)
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(cwd)
        patched.setenv("WW_STORE", env["WW_STORE"])
        patched.setattr(gc, "freeze", lambda: None)  # the program's last act, when its process ends
        return called(main, ["ww", *command[3:]])


def called(program, argv):
    """Call a program's main function, and return what it would have been as a process."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patched, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        patched.setattr(sys, "argv", argv)
        code = program()
    return subprocess.CompletedProcess(argv, code, out.getvalue(), err.getvalue())


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(running, "subprocess", SimpleNamespace(run=run_here))
        return folder, called(study_program.main, ["zoo_study", "--out", str(folder), "--small"])


def test_every_step_of_the_study_runs_once(small):
    folder, ended = small
    assert ended.returncode == 0, ended.stderr
    steps = list(steps_of(SMALL))
    assert len(COMMAND.findall(ended.stdout)) == len(steps) == len({step.name for step in steps})
    assert {own.stem for own in (folder / "answers").glob("*.json")} == {step.name for step in steps}
    assert "minutes of CPU time" in ended.stdout


def test_the_page_has_what_the_commands_answered(small):
    folder, _ = small
    page = (folder / "study.md").read_text()
    sections = dict(own.split("\n", 1) for own in page.split("\n## ")[1:])
    assert len(sections) == 12
    for name, section in sections.items():
        assert len(re.findall(r"^\|", section, re.MULTILINE)) >= 3, name
    told = json.loads((folder / "answers/features-digits.json").read_text())["said"]
    cells = re.search(r"^\| `statistics` \| ([^|]*) \| ([^|]*) \|", page, re.MULTILINE).groups()
    own = next(row for row in told if row["features"] == "statistics")
    assert cells == tuple(f"{own[name]:.3f}" for name in ("r2", "kendall_tau"))
    transfer = json.loads((folder / "answers/transfer-0.json").read_text())["said"]
    row = " | ".join(f"{own['kendall_tau']:.3f}" for own in transfer if own["fitted_on"] == "textures")
    assert f"| textures | {row} |" in sections["Transfer, of the statistics (table 3)"]
    for picture in ("bias-ranges", "importance-by-layer", "predicted-digits", "zoo-digits"):
        assert (folder / f"{picture}.png").stat().st_size > 5000


def test_the_study_goes_on_where_it_was_ended(small):
    folder, _ = small
    page = (folder / "study.md").read_bytes()
    missing = folder / "answers/show-digits.json"
    before = json.loads(missing.read_text())
    missing.unlink()
    (folder / "study.md").unlink()
    ended = study(folder)
    assert COMMAND.findall(ended.stdout) == ["ww"]
    assert "ww zoo show zoos/digits" in ended.stdout
    assert json.loads(missing.read_text())["said"] == before["said"]
    tables = [own.split(b"\n", 4)[4] for own in (page, (folder / "study.md").read_bytes())]
    assert tables[0] == tables[1]


def test_a_step_that_fails_ends_the_study_with_what_it_said(tmp_path):
    steps = [Step("version", ("ww", "--version")), Step("nothing", ("ww", "zoo", "show", "nothing"))]
    with pytest.raises(StepError, match=r"ww zoo show nothing\nended with \d: error: .*nothing"):
        answers_of(steps, tmp_path)
    assert [own.name for own in (tmp_path / "answers").iterdir()] == ["version.json"]


@pytest.mark.parametrize("kept", [b"", b'{"command": "ww --ver', b"[1]", b'{"command": "ww --version"}', b"\xff\xfe"])
def test_an_answer_that_is_cut_short_is_asked_for_again(tmp_path, kept):
    (tmp_path / "answers").mkdir()
    (tmp_path / "answers/version.json").write_bytes(kept)
    assert answers_of([Step("version", ("ww", "--version"))], tmp_path)["version"].said.startswith("ww ")


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    ended = study(tmp_path / "file/study")
    assert ended.returncode == 3
    assert ended.stderr.startswith("error: ")
    assert len(ended.stderr.splitlines()) == 1


def answered(r2=0.95, tau=0.82, transfer=0.6, coverage=0.9, fresh=0.6):
    """Answers as of the whole study, as far as something has to come out of them."""

    def rows(**values):
        return [{"features": name.replace("_", "+"), "r2": own, "kendall_tau": tau} for name, own in values.items()]

    layers = {"features": "weights[layer=4]", "r2": 0.93, "kendall_tau": tau}
    norms = {"features": "norms[p=1]", "r2": 0.88, "kendall_tau": tau}
    pairs = [
        {"fitted_on": one, "tested_on": other, "kendall_tau": tau if one == other else transfer}
        for one in FULL.data
        for other in FULL.data
    ]
    said = {
        "features-digits": [*rows(statistics=r2, norms=0.87, hyperparameters=0.8), layers, norms],
        "wide-digits": rows(weights=0.92),
        "transfer-0": pairs,
        "seeds-digits-narrow": rows(statistics=0.93),
        "seeds-digits-wide": rows(weights=0.9),
        "seeds-digits-fresh-narrow": rows(statistics=0.9),
        "seeds-digits-fresh-wide": rows(weights=fresh),
        "coverage": [{"coverage": coverage}],
        "invariance-statistics": [{"change": "permuted within each layer, biases apart", "mad": 0.0}],
    }
    return {name: Answer(name, name, 1.0, own) for name, own in said.items()}


@pytest.mark.parametrize(
    ("changed", "fails"),
    [
        ({}, []),
        ({"r2": 0.935}, ["R2 of statistics"]),
        ({"r2": 0.91}, ["R2 of statistics", "statistics, W", "statistics, W_4"]),
        ({"tau": 0.79}, ["tau of statistics"]),
        ({"transfer": 0.54}, ["tau of transfer"]),
        ({"coverage": 0.94}, ["90 % intervals"]),
        ({"fresh": 0.89}, ["loss of W"]),
    ],
)
def test_the_goals_are_told_from_what_came_out(changed, fails):
    failed = [goal.claim for goal in goals_of(answered(**changed), FULL) if not goal.holds]
    assert len(failed) == len(fails)
    for claim, what in zip(failed, fails, strict=True):
        assert what in claim


def test_an_interrupted_study_says_how_it_goes_on(tmp_path, monkeypatch, capsys):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(sys, "argv", ["zoo_study", "--out", str(tmp_path)])
    monkeypatch.setattr(study_program, "answers_of", interrupted)
    assert study_program.main() == 130
    assert capsys.readouterr().err == "interrupted: the same command goes on from there\n"
