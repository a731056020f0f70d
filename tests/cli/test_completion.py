"""What a shell is told when somebody presses the tab key: by typer's protocol, quickly, and no word on errors."""

import re
import shutil
import sqlite3
import subprocess
import sys

import pytest

HEAVY = {"sqlalchemy", "alembic", "numpy", "scipy", "rich", "ww_plugins"}


@pytest.fixture
def asked(ww_here):
    """Asks in the words of bash, the last of which is incomplete; returns the lines of the answer."""

    def ask(*words, environ=None, store=True):
        said = {"_WW_COMPLETE": "complete_bash", "COMP_WORDS": "\n".join(["ww", *words]), "COMP_CWORD": str(len(words))}
        done = ww_here(environ=said | (environ or {}), store=store)
        assert done.stderr == ""
        return done.stdout.split()

    return ask


@pytest.fixture
def stored(ww_here, model_file):
    for version in ("1", "two"):
        assert ww_here("analyze", model_file, "--version", version, "--move-label", "--profile", "fast").returncode == 0
    return ww_here


def test_commands_and_options(asked):
    assert {"analyze", "zoo", "compare-svd"} < set(asked(""))
    assert asked("sco") == ["scores"]
    assert asked("scores", "re") == ["remove"]
    assert "--json" in asked("show", "--")
    assert asked("completion", "f") == ["fish"]


def test_models_versions_layers_and_columns(asked, stored):
    before = sorted(stored.folder.iterdir())
    assert asked("show", "") == ["net"]
    assert asked("show", "net@") == ["net@1", "net@two"]
    assert asked("show", "net", "@") == ["1", "two"]  # as bash cuts words: it replaces what follows the @
    assert asked("diff", "net", "@", "1", "net", "@", "t") == ["two"]
    assert asked("spectrum", "net", "f") == ["first"]
    assert set(asked("spectrum", "net@two", "")) >= {"first", "second", "conv"}
    assert asked("history", "net", "--metrics", "entropy,st") == ["entropy,stable_rank"]
    assert asked("forget", "n") == ["net"]
    assert asked("show", "nets") == []
    assert sorted(stored.folder.iterdir()) == before


def test_what_plugins_give(asked):
    assert asked("analyze", "x", "--profile", "weightw") == ["weightwatcher", "weightwatcher-full"]
    assert asked("analyze", "x", "--extractor", "fft,s") == ["fft,slice", "fft,stack"]
    assert asked("loaders", "pyt") == ["pytorch"]
    assert "stable_rank" in asked("analyze", "x", "--metrics", "stable")
    assert asked("zoo", "feature-sets", "no") == ["norms"]
    assert asked("analyze", "x", "--profile", "fas", environ={"WW_BLOCK_PLUGINS": "ww.profiles"}) == []


def test_nothing_is_made(asked, ww_here):
    for words in (["show", ""], ["spectrum", "net", ""], ["series", "list", ""]):
        assert asked(*words) == []
    assert list(ww_here.folder.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"no store", b"SQLite format 3\0" + bytes(4000)])
def test_no_error_is_told(asked, ww_here, content):
    ww_here.store.write_bytes(content)
    assert asked("show", "") == []
    assert asked("show", "net", "--no-such-option", "x", "") == []
    assert asked("show", "", environ={"WW_STORE": "postgresql://nobody@nowhere.invalid/db"}) == []


def test_a_store_that_never_answers_is_left(asked, ww_here):
    with sqlite3.connect(ww_here.store) as connection:
        endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT 'net' || x AS name FROM n"
        connection.execute(f"CREATE VIEW model AS {endless} WHERE x < 0")
    assert asked("show", "") == []


def test_names_that_a_shell_would_run_are_left_out(asked, stored):
    with sqlite3.connect(stored.store) as connection:
        for number, name in enumerate(("$(touch x)", "a b", "`x`", "a;b", "a'b", "\x1b[31m", "fine")):
            connection.execute("INSERT INTO model (id, name, created_at) VALUES (?, ?, ?)", (100 + number, name, ""))
    assert asked("show", "") == ["fine", "net"]


def test_zsh_and_fish(ww_here, stored):
    zsh = {"_WW_COMPLETE": "complete_zsh", "_TYPER_COMPLETE_ARGS": "ww show net@t"}
    assert ww_here(environ=zsh).stdout == "_arguments '*: :((\"net@two\"))'\n"
    fish = {"_WW_COMPLETE": "complete_fish", "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    assert ww_here(environ=fish | {"_TYPER_COMPLETE_ARGS": "ww show net@"}).stdout.split() == ["net@1", "net@two"]


def test_names_of_the_store_import_nothing_heavy(ww_program, stored):
    said = {"_WW_COMPLETE": "complete_bash", "COMP_WORDS": "ww\nspectrum\nnet\n", "COMP_CWORD": "3"}
    command = [sys.executable, "-X", "importtime", "-m", "ww_core"]
    environment = said | {"WW_STORE": str(stored.store), "PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    imported = {name.partition(".")[0] for name in re.findall(r"^import time: .*\| +(\S+)$", done.stderr, re.MULTILINE)}
    assert "first" in done.stdout.split()
    assert imported & HEAVY == set()


@pytest.mark.skipif(not shutil.which("bash"), reason="no bash here")
def test_the_script_works_in_bash(ww_here, stored, tmp_path):
    script = ww_here("completion", "bash").stdout
    program = tmp_path / "bin" / "ww"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m ww_core "$@"\n')
    program.chmod(0o755)
    ask = f'{script}\nCOMP_WORDS=(ww show net @ t); COMP_CWORD=4\n_ww_completion ww\necho "${{COMPREPLY[@]}}"\n'
    environment = {
        "PATH": f"{program.parent}:/usr/bin:/bin",
        "WW_STORE": str(stored.store),
        "PYTHONPATH": ":".join(sys.path),
    }
    done = subprocess.run(["bash", "--norc", "-c", ask], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "two\n"
    assert done.stderr == ""


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_scripts(ww_here, shell):
    done = ww_here("completion", shell)
    assert f"_WW_COMPLETE=complete_{shell}" in done.stdout
    assert ww_here("completion", "csh").returncode == 2


def test_a_shell_that_no_longer_waits_is_told_nothing():
    variables = "_WW_COMPLETE=complete_bash COMP_WORDS='ww s' COMP_CWORD=1"
    for redirection in (">/dev/full", "| true"):
        script = f"set -o pipefail; {variables} {sys.executable} -m ww_core {redirection}"
        done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, ""), redirection
