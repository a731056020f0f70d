"""Environments of their own, made by ``python -m venv`` and pip, with the wheel of this tree."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PIP = ["-m", "pip", "--disable-pip-version-check", "--no-input"]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PYTHONS = [found[1] for line in PROJECT["classifiers"] if (found := re.fullmatch(r".* :: (3\.\d+)", line))]


def python_of(version):
    """Find a Python that runs: on the path, or one of pyenv's, whose names on the path need not run."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    asked = "import sys; print(*sys.version_info[:2], sep='.')"
    for program in [shutil.which(f"python{version}"), *sorted(pyenv.glob(f"versions/{version}.*/bin/python"))]:
        if program is not None:
            done = subprocess.run([program, "-c", asked], capture_output=True, text=True, check=False)
            if done.stdout.strip() == version:
                return program
    pytest.skip(f"Python {version} is not at hand")


def oldest_versions(folder, extras=()):
    """Write constraints to the oldest versions that the bounds of ww and some extras allow, and return the file."""
    bounds = [
        *PROJECT["dependencies"],
        *(bound for extra in extras for bound in PROJECT["optional-dependencies"][extra]),
    ]
    file = folder / "oldest.txt"
    file.write_text("\n".join(re.sub(r"\[.*\]", "", bound).replace(">=", "==") for bound in bounds))
    return file


class Environment:
    """An environment of its own, with ww and one extra or none.

    Args:
        folder: Where it is made.
        wheel: The wheel of ww.
        extra: Its extra.
        python: The Python that it is made with.
        constraints: File of the versions that are installed.
    """

    def __init__(self, folder, wheel, extra="", *, python=sys.executable, constraints=ROOT / "constraints.txt"):
        self.folder = folder
        self._bin = folder / "env" / "bin"
        self._constraints = constraints
        subprocess.run([python, "-m", "venv", folder / "env"], check=True, timeout=300)
        self.install(f"ww-core[{extra}] @ {wheel.as_uri()}" if extra else wheel)

    def install(self, *requirements):
        """Install more, in the same versions."""
        self._checked("python", *PIP, "install", "--quiet", "--no-compile", "-c", self._constraints, *requirements)

    def run(self, program, *arguments, timeout=900):
        """Run a program of it, in its folder."""
        environ = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "WW_"))}
        return subprocess.run(
            [self._bin / program, *map(str, arguments)],
            cwd=self.folder,
            env=environ | {"WW_STORE": "store.sqlite"},
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def _checked(self, *arguments):
        done = self.run(*arguments)
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout

    def ww(self, *arguments):
        """Run ww, which must succeed, and return what it prints."""
        return self._checked("ww", *arguments)

    def python(self, code):
        return self._checked("python", "-c", code)

    def has(self, package):
        return self.run("python", "-c", f"import {package}").returncode == 0

    def works(self, model):
        """Whether what needs no extra does what it should."""
        assert "Usage" in self.ww("--help")
        assert all(row["install"] == "" for row in json.loads(self.ww("loaders", "--json")))
        assert all(row["install"] == "" for row in json.loads(self.ww("importers", "--json")))
        assert not any(row["problems"] for row in json.loads(self.ww("plugins", "--json")))
        assert json.loads(self.ww("analyze", model, "--json"))["failures"] == []
