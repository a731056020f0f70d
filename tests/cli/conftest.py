"""The program without a process of its own, for tests that run it many times."""

import subprocess
import sys

import pytest

from ww_core.cli.main import main


@pytest.fixture
def ww_here(tmp_path, monkeypatch, capsys):
    """The program, run in this process as a user runs it in his: arguments, folder and environment; with a store."""
    store = tmp_path / "store.sqlite"

    def run(*arguments, environ=None, with_store=True):
        texts = ["ww", *map(str, arguments)]
        with monkeypatch.context() as patched:
            patched.chdir(tmp_path)
            patched.setattr(sys, "argv", texts)
            for name, value in (({"WW_STORE": str(store)} if with_store else {}) | (environ or {})).items():
                patched.setenv(name, value)
            code = main()
        output = capsys.readouterr()
        return subprocess.CompletedProcess(texts, code, output.out, output.err)

    run.store = store
    return run
