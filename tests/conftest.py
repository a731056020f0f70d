"""Fixtures that several folders of tests share."""

import functools
import gc
import importlib.metadata
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.linalg  # noqa: F401 - it has a BLAS of its own, which is limited with NumPy's
import typer.main
from safetensors.numpy import save_file
from threadpoolctl import threadpool_limits

from ww_core.cli.main import app, main
from ww_core.plugins import discovery
from ww_core.store import migrate

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in the background of a shell: then nobody could interrupt
    signal.signal(signal.SIGINT, signal.default_int_handler)

OWN_VARIABLES = ("WW_STORE", "WW_BLOCK_PLUGINS", "WW_ONLY_PLUGINS", "WW_DEBUG", "WW_VERBOSITY")


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    """Collect without looking for garbage among ten thousand tests, then or later."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.fixture(autouse=True)
def _no_settings_of_the_user(monkeypatch):
    for variable in OWN_VARIABLES:
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture
def weights():
    """A small network: two dense layers, a convolution, a norm, and two names for one tensor."""
    random = np.random.Generator(np.random.Philox(1))
    first = random.standard_normal((40, 30)).astype(np.float32)
    return {
        "first.weight": first,
        "first.bias": random.standard_normal(40).astype(np.float32),
        "second.weight": random.standard_t(3, (30, 20)).astype(np.float32),
        "conv.weight": random.standard_normal((16, 8, 3, 3)).astype(np.float32),
        "norm.weight": np.ones(30, dtype=np.float32),
        "steps": np.arange(4),
    }


@pytest.fixture
def model_file(weights, tmp_path):
    """The same network as a safetensors file."""
    path = tmp_path / "net.safetensors"
    save_file(weights, path)
    return path


@pytest.fixture(autouse=True, scope="session")
def _commands_made_once():
    """Make the commands of the program's functions once in a process, as the program does; it takes long."""
    made = functools.cache(typer.main.get_command)
    anew = typer.main.get_command
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(typer.main, "get_command", lambda own: made(own) if own is app else anew(own))
        yield


@pytest.fixture(autouse=True, scope="session")
def _one_thread_of_blas():
    """Leave BLAS one thread: what tests compute is small, and threads would wait for each other and for other workers.

    An analysis does so itself (``test_two_analyses_at_once_leave_blas_as_it_was``); programs begin with all threads.
    """
    with threadpool_limits(1, user_api="blas"):
        yield


@pytest.fixture(autouse=True, scope="session")
def _entry_points_read_once():
    """Read what is installed once for a path of Python's, not for each command: a process does so too."""
    with pytest.MonkeyPatch.context() as patched:
        found = importlib.metadata.entry_points
        cached = functools.cache(lambda path, group: found(group=group))

        def entry_points(**chosen):
            return cached(tuple(sys.path), chosen["group"]) if chosen.keys() == {"group"} else found(**chosen)

        patched.setattr(importlib.metadata, "entry_points", entry_points)
        yield


@pytest.fixture(autouse=True, scope="session")
def _installed_plugins_loaded_once():
    """Load what is installed once for one environment, not for each command: a process does so too.

    Tests that load plugins themselves, or give some of their own, load all anew.
    """
    original = discovery.load_plugins
    loaded = {}

    def load_plugins(**given):
        if given.get("files") or given.get("objects") or given.get("environ") is not None:
            return original(**given)
        variables = tuple(os.environ.get(name) for name in ("WW_BLOCK_PLUGINS", "WW_ONLY_PLUGINS"))
        asked = given.get("strict"), tuple(given.get("own_commands", ()))
        key = asked, variables, tuple(sys.path), importlib.metadata.entry_points, discovery._installed
        if key not in loaded:
            loaded[key] = original(**given)
        return loaded[key]

    with pytest.MonkeyPatch.context() as patched:
        for name, module in list(sys.modules.items()):
            if name.startswith(("ww_core", "ww_plugins")) and vars(module).get("load_plugins") is original:
                patched.setattr(module, "load_plugins", load_plugins)
        yield


@pytest.fixture(autouse=True)
def _new_stores_are_copied(request, monkeypatch):
    """Make new stores in files by copying an empty one, as those in memory: ten times as fast as by migrations.

    Tests with the mark ``migrations`` make them as people do, and so do all processes that tests start.
    """
    if request.node.get_closest_marker("migrations"):
        return
    step_by_step = migrate.upgrade

    def upgrade(engine, location):
        if engine.dialect.name == "sqlite":
            with engine.connect() as connection:
                is_new = migrate.current_revision(connection, location) is None
            if is_new:
                migrate.copy_empty_store(engine)
                return None
        return step_by_step(engine, location)

    migrate._empty_store()
    monkeypatch.setattr(migrate, "upgrade", upgrade)


class Program:
    """Runs ``ww`` as a user does: in a process of its own, with pipes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = folder / "store.sqlite"

    def __call__(self, *arguments, environ=None, store=True, timeout=120):
        variables = {k: v for k, v in os.environ.items() if k not in OWN_VARIABLES}
        if store:
            variables["WW_STORE"] = str(self.store)
        variables |= environ or {}
        return subprocess.run(
            [sys.executable, "-m", "ww_core", *map(str, arguments)],
            cwd=self.folder,
            env=variables,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )


@pytest.fixture
def ww_program(tmp_path):
    """The program, with a store of its own."""
    return Program(tmp_path)


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
            patched.setattr(gc, "freeze", lambda: None)  # the program's last act, when its process ends
            for name, value in variables.items():
                patched.setenv(name, value)
            code = main()
        output = self._capsys.readouterr()
        return subprocess.CompletedProcess(texts, code, output.out, output.err)


@pytest.fixture
def ww_here(tmp_path, monkeypatch, capsys):
    """The program, in this process."""
    return ProgramHere(tmp_path, monkeypatch, capsys)
