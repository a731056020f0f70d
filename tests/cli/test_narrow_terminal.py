"""What a terminal that is too narrow leaves out: never the column that a table is read for."""

import os
import pty
import re
import subprocess
import sys

import pytest
from safetensors.numpy import save_file

PROFILE = """
import ww_core as ww


@ww.hookimpl
def ww_register_profiles():
    return [ww.Profile("ranks", "Ranks first.", headline=("stable_rank", "alpha", "D", "sigma", "entropy", "warning"))]
"""


@pytest.fixture
def on_a_terminal(ww_program):
    """Runs ``ww`` with stdout on a terminal of so many columns, and returns what it shows."""

    def run(columns, *arguments):
        ours, theirs = pty.openpty()
        environment = os.environ | {"WW_STORE": str(ww_program.store), "COLUMNS": str(columns), "NO_COLOR": "1"}
        command = [sys.executable, "-m", "ww_core", *map(str, arguments)]
        subprocess.run(command, cwd=ww_program.folder, env=environment, stdout=theirs, check=True)
        os.close(theirs)
        shown = b""
        try:
            while part := os.read(ours, 65536):
                shown += part
        except OSError:  # Linux's way to say that nobody writes any more
            pass
        os.close(ours)
        return re.sub(r"\x1b\[[\d;]*m", "", shown.decode())

    return run


def header(text):
    (line,) = [line for line in text.splitlines() if line.startswith("layer ")]
    return line.split()


def test_the_first_column_of_the_headline_and_texts_stay(on_a_terminal, ww_program, model_file):
    assert header(on_a_terminal(300, "analyze", model_file))[6:9] == ["alpha", "D", "sigma"]
    text = on_a_terminal(30, "show", "net")
    assert header(text) == ["layer", "N", "M", "alpha", "warning"]
    assert "no room for shape" in text
    (ww_program.folder / "ranks.py").write_text(PROFILE)
    on_a_terminal(300, "--plugin", "ranks.py", "analyze", model_file, "--profile", "ranks")
    assert header(on_a_terminal(30, "show", "net", "--profile", "ranks"))[-2:] == ["stable_rank", "warning"]


def test_a_difference_keeps_both_sides_of_the_first_column(on_a_terminal, weights, model_file):
    on_a_terminal(300, "analyze", model_file)
    save_file(weights | {"first.weight": weights["first.weight"] ** 3}, model_file)
    on_a_terminal(300, "analyze", model_file)
    text = on_a_terminal(50, "diff", "net@1", "net@2")
    assert header(text) == ["layer", "status", "alpha"]
    assert re.search(r"^first +changed +[\d.]+ → [\d.]+ \([+-][\d.]+", text, re.MULTILINE)


def test_a_difference_keeps_what_says_how_far_to_trust_it(on_a_terminal, weights, model_file):
    on_a_terminal(300, "analyze", model_file)
    save_file(weights | {"second.weight": weights["second.weight"][:6, :5].copy()}, model_file)
    on_a_terminal(300, "analyze", model_file)
    text = on_a_terminal(70, "diff", "net@1", "net@2")
    assert header(text) == ["layer", "status", "alpha", "warning", "short_tail"]
    assert "sigma" in text.partition("(no room for ")[2]
