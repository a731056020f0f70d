"""Packages that ``ww plugins new`` writes, one of each kind, as an author goes on with them: pip, pytest, mypy, ww."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from ww_core.use_cases.plugin_kinds import PluginKind

ROOT = Path(__file__).parents[2]
PATIENCE = 60.0
"""Seconds of one processor in which all of them are written, installed, tested and listed."""

pytestmark = [pytest.mark.acceptance, pytest.mark.install]


class Author:
    """A person with an environment of its own that has ww, pip and pytest, as this one has them."""

    def __init__(self, folder):
        self.folder = folder
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "env"], check=True, timeout=300)
        self.python = folder / "env/bin/python"
        site = Path(self.run("-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
        # Behind its own packages stand those of this environment, with ww from this tree before them.
        (site / "ww.pth").write_text(f"{ROOT}\nimport site; site.addsitedir({sysconfig.get_path('purelib')!r})\n")

    def run(self, *arguments, cwd=None):
        """Run Python, which must succeed, and return what it prints."""
        environ = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "WW_"))}
        done = subprocess.run(
            [self.python, *map(str, arguments)],
            cwd=cwd or self.folder,
            env=environ | {"WW_STORE": str(self.folder / "store.sqlite")},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


PIP = ["-m", "pip", "--disable-pip-version-check", "--no-input", "install", "--quiet"]


@pytest.fixture(scope="module")
def author(tmp_path_factory):
    author = Author(tmp_path_factory.mktemp("author"))
    author.run(*PIP, "hatchling", "editables")  # what pip would fetch for each package anew
    return author


def processor_seconds():
    """Those of all programs that were started and have ended: a busy machine takes no more of them."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_every_kind_is_written_installed_tested_and_listed_in_a_minute(author):
    names = [f"ww-new-{kind}" for kind in PluginKind]
    before = processor_seconds()
    for kind, name in zip(PluginKind, names, strict=True):
        author.run("-m", "ww_core", "plugins", "new", name, "--kind", kind)
    alone = ["--no-build-isolation", "--no-deps", "--no-index"]
    author.run(*PIP, *alone, *(part for name in names for part in ("--editable", f"./{name}")))
    author.run("-m", "pytest", "-q", "-p", "no:cacheprovider", *names)
    rows = {row["distribution"]: row for row in json.loads(author.run("-m", "ww_core", "plugins", "--json"))}
    assert [(rows[name]["state"], rows[name]["problems"]) for name in names] == [("loaded", [])] * len(names)
    assert processor_seconds() - before < PATIENCE


def test_the_types_are_right(author):
    """Of code and tests, by the settings of this repository."""
    for kind in PluginKind:
        author.run("-m", "ww_core", "plugins", "new", f"ww-typed-{kind}", "--kind", kind)
        folder = author.folder / f"ww-typed-{kind}"
        mypy = ["-m", "mypy", "--config-file", ROOT / "pyproject.toml", "--cache-dir", author.folder / "mypy"]
        author.run(*mypy, f"{folder.name.replace('-', '_')}.py", "tests", cwd=folder)
