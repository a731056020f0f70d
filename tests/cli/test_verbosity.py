"""``-v`` and ``-q``: what is said on stderr, which never changes data or exit codes."""

import os
import pty
import subprocess
import sys

import pytest

PLUGIN = """
import ww_core as ww

@ww.metric(version="1")
def broken(singular_values):
    raise RuntimeError("worn out")

@ww.metric(version="1")
def largest(singular_values):
    return singular_values[0]

@ww.hookimpl
def ww_register_metrics():
    return [broken, largest]
"""
COMMAND = """
import typer
import ww_core as ww
from ww_core.command import say, say_more, warn

app = typer.Typer(add_completion=False, rich_markup_mode=None)

@app.command()
def talk() -> None:
    "Talk."
    say("a note")
    say_more("a detail")
    warn("warning: mind the step")

@ww.hookimpl
def ww_register_commands():
    return [ww.Command("talk", app)]
"""


@pytest.fixture
def own(ww_here):
    (ww_here.folder / "own.py").write_text(PLUGIN)
    (ww_here.folder / "talk.py").write_text(COMMAND)
    return ww_here


def test_verbose_shows_tracebacks_of_plugins_what_is_read_and_times(own, model_file):
    asked = ("analyze", model_file, "--plugin", "own.py", "--metrics", "broken,largest", "--csv")
    plain, said = own(*asked), own(*asked, "-v")
    assert "Traceback" not in plain.stderr
    assert 'raise RuntimeError("worn out")' in said.stderr
    assert f"{model_file}: profile default" in said.stderr
    assert " s: first" in said.stderr
    assert "plugins: " in said.stderr
    assert f"exit code {said.returncode} after " in said.stderr
    assert (said.stdout, said.returncode) == (plain.stdout, plain.returncode)


@pytest.mark.parametrize("place", [lambda *words: ("-q", *words), lambda *words: (*words, "--quiet")])
def test_quiet_leaves_out_notes_and_keeps_failures_and_errors(own, model_file, place):
    done = own(*place("analyze", model_file, "--plugin", "own.py", "--metrics", "broken,largest"))
    assert done.returncode == 4
    lines = done.stderr.splitlines()
    assert lines
    assert all(line.startswith(("failed: ", "error: ")) for line in lines)
    nothing = own("blame", "nets", "x")
    assert own(*place("blame", "nets", "x")).stderr == nothing.stderr != ""
    assert own("series", "list").stderr.startswith("no series")
    assert own(*place("series", "list")).stderr == ""


def test_commands_of_plugins_are_as_loud_as_others(own):
    plain, quiet, loud = (
        own("--plugin", "talk.py", *words, "talk").stderr.splitlines() for words in ([], ["-q"], ["-v"])
    )
    assert plain == ["a note", "warning: mind the step"]
    assert quiet == ["warning: mind the step"]
    assert {"a note", "a detail", "warning: mind the step"} < set(loud)
    assert set(own("talk", "-v", "--plugin", "talk.py").stderr.splitlines()) > set(plain)
    assert own("talk", "--plugin", "talk.py").stderr.splitlines() == plain  # what an option said ended with it


def test_one_of_the_two(own):
    done = own("-v", "metrics", "-q")
    assert done.returncode == 2
    assert "error: --verbose and --quiet exclude each other: give one\n" in done.stderr
    assert own("metrics", "-q", environ={"WW_VERBOSITY": "verbose"}).stderr == ""  # an option comes before the variable
    assert "plugins: " in own("metrics", environ={"WW_VERBOSITY": "verbose"}).stderr


def test_quiet_shows_no_progress_on_a_terminal(ww_program, model_file):
    def said(*words):
        ours, theirs = pty.openpty()
        environment = os.environ | {"WW_STORE": str(ww_program.folder / f"{len(words)}.sqlite"), "TERM": "xterm"}
        command = [sys.executable, "-m", "ww_core", "analyze", str(model_file), *words]
        subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, stderr=theirs, check=True)
        os.close(theirs)
        try:
            return os.read(ours, 65536)
        except OSError:
            return b""
        finally:
            os.close(ours)

    assert b"layers" in said()
    assert said("-q") == b""


def test_verbose_tells_where_a_plugin_file_fails_wherever_it_stands(own):
    (own.folder / "bad.py").write_text("def made():\n    return 1 / 0\n\n\nmade()\n")
    assert "return 1 / 0" not in own("metrics", "--plugin", "bad.py").stderr
    done = own("metrics", "--plugin", "bad.py", "-v")
    assert done.returncode == 2
    assert "return 1 / 0" in done.stderr


@pytest.mark.parametrize("value", ["-v", "-q", "--strict-plugins", "--plugin", "--plugin=x.py"])
def test_what_follows_an_option_that_takes_a_value_is_its_value(own, model_file, value):
    done = own("analyze", model_file, "--name", value, "--metrics", "entropy", "-q")
    assert (done.returncode, done.stderr) == (0, "")
    assert own("show", "--json", "--", value).returncode == 0


def test_of_a_command_below_another_too(own):
    done = own("db", "info", "--store", "-v", "-q", store=False)
    assert (done.returncode, done.stderr) == (3, own("db", "info", "--store=-v", store=False).stderr)
    assert "-v: " in done.stderr


def test_of_an_installed_command_too(own):
    done = own("compare-svd", "net", "--store", "-v", "-q", store=False)
    assert (done.returncode, done.stderr) == (3, own("compare-svd", "net", "--store=-v", store=False).stderr)
    assert "-v: " in done.stderr
