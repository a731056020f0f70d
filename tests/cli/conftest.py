"""The program without a process of its own: most tests of the command line run it many times."""

import subprocess
import sys

import pytest

from ww_core.cli.main import main


class ProgramHere:
    """Runs ``ww`` in this process as a user runs it: with arguments, a folder, variables, and a store of its own."""

    def __init__(self, folder, monkeypatch, capsys):
        self.folder = folder
        self.store = folder / "store.sqlite"
        self._monkeypatch = monkeypatch
        self._capsys = capsys

    def __call__(self, *arguments, environ=None, store=True):
        texts = ["ww", *map(str, arguments)]
        variables = ({"WW_STORE": str(self.store)} if store else {}) | (environ or {})
        with self._monkeypatch.context() as patched:
            patched.chdir(self.folder)
            patched.setattr(sys, "argv", texts)
            for name, value in variables.items():
                patched.setenv(name, value)
            code = main()
        output = self._capsys.readouterr()
        return subprocess.CompletedProcess(texts, code, output.out, output.err)


@pytest.fixture
def ww_here(tmp_path, monkeypatch, capsys):
    """The program, in this process."""
    return ProgramHere(tmp_path, monkeypatch, capsys)
