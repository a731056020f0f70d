"""The reference pages are complete: the command line, every hook, every metric's column, every extractor."""

from __future__ import annotations

import contextlib
import json
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from ww_core.plugins import hookspecs

ROOT = Path(__file__).resolve().parents[2]
REFERENCE = ROOT / "docs/reference"
HOOKS = sorted(name for name in vars(hookspecs) if name.startswith("ww_register_"))


def headings_of(page):
    """Headings without their back-ticks, and without the arguments of a call."""
    found = re.findall(r"^#{2,6} +(.+?) *$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {heading.replace("`", "").removesuffix("()") for heading in found}


def rows_of(page):
    """Names in back-ticks in the first cells of the page's tables."""
    cells = re.findall(r"^\|([^|]*)\|", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {name for cell in cells for name in re.findall(r"`([^`]+)`", cell)}


def listed(command):
    done = subprocess.run(
        [Path(sys.executable).with_name("ww"), command, "--json"], capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


def test_the_page_of_the_command_line_is_fresh(ww_here):
    """Asked in this process, as the program that writes it asks one process for each command."""
    making = runpy.run_path(str(ROOT / "docs/make_cli_reference.py"))

    def help_of(command):
        done = ww_here(*command, "--help", environ=making["ENVIRONMENT"], store=False)
        assert (done.returncode, done.stderr) == (0, "")
        return "\n".join(line.rstrip() for line in done.stdout.strip("\n").splitlines())

    page = making["page"]
    page.__globals__.update(help_of=help_of, ThreadPoolExecutor=OneAfterTheOther)
    assert making["PAGE"].read_text(encoding="utf-8") == page()


class OneAfterTheOther(contextlib.nullcontext):
    """A pool of threads that has none."""

    def map(self, function, things):
        return list(map(function, things))

    def __enter__(self):
        return self


@pytest.mark.parametrize(
    "script",
    [
        pytest.param("make_cli_reference.py", marks=pytest.mark.stress),
        "make_architecture.py",
        "make_importers_reference.py",
    ],
)
def test_a_page_that_is_written_is_fresh(script):
    command = [sys.executable, ROOT / "docs" / script, "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_has_a_heading(hook):
    assert hook in headings_of(REFERENCE / "hooks.md")


def test_the_page_of_hooks_names_no_hook_that_is_not():
    named = set(re.findall(r"\bww_register_\w+", (REFERENCE / "hooks.md").read_text(encoding="utf-8")))
    assert named <= set(HOOKS)


@pytest.mark.parametrize("kind", ["metrics", "extractors"])
def test_every_column_and_extractor_is_described(kind):
    page = REFERENCE / "metrics.md"
    names = {row["column" if kind == "metrics" else "extractor"] for row in listed(kind)}
    assert sorted(names - headings_of(page) - rows_of(page)) == []
