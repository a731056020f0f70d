"""Ctrl-C and SIGTERM against plugins that never return: told how to end at once, and a second one ends at once."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest

from ww_core.cli.endings import ADVICE, AT_ONCE

ENDED = "interrupted: the store is intact, and the same command continues from there"

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")

HANGING = """
import os
import threading
import time
from pathlib import Path
import numpy as np
import ww_core as ww

ends = threading.Timer(120, os._exit, [1])  # also if the test that started it was killed
ends.daemon = True
ends.start()

def begun():
    Path(__file__).with_suffix(".begun").touch()

@ww.metric(version="1")
def sleeps(singular_values):
    begun()
    while True:
        try:
            time.sleep(1e6)
        except BaseException:
            pass

@ww.metric(version="1")
def spins(singular_values):
    begun()
    while True:
        pass

@ww.metric(version="1")
def computes(singular_values):
    begun()
    long = np.random.default_rng(0).random((2500, 2500))
    while True:
        np.linalg.eigvals(long)

@ww.metric(version="1", scope="model", needs={"given": "stable_rank"})
def clings(given):
    begun()
    while True:
        try:
            time.sleep(1e6)
        except KeyboardInterrupt:
            pass

@ww.hookimpl
def ww_register_metrics():
    return [sleeps, spins, computes, clings]
"""


def begun(folder, metric, *options):
    """Start an analysis with a metric that never returns, and return the program once the metric was called."""
    (folder / "mine.py").write_text(HANGING)
    command = [
        "analyze",
        "net.safetensors",
        "--name",
        "net",
        "--plugin",
        "mine.py",
        "--metrics",
        f"stable_rank,{metric}",
        *options,
    ]
    program = subprocess.Popen(
        [sys.executable, "-m", "ww_core", *command, "--store", "store.sqlite"],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    until = time.monotonic() + 60
    while not (folder / "mine.begun").exists():
        assert program.poll() is None, program.communicate()
        assert time.monotonic() < until
        time.sleep(0.01)
    return program


@pytest.mark.parametrize(
    ("metric", "executor", "how"),
    [
        pytest.param("sleeps", "threads", signal.SIGINT, marks=pytest.mark.stress),
        ("computes", "threads", signal.SIGINT),
        ("spins", "processes", signal.SIGINT),
        ("clings", "threads", signal.SIGTERM),
    ],
)
def test_the_second_ends_at_once(metric, executor, how, model_file, ww_here):
    folder = model_file.parent
    program = begun(folder, metric, "--executor", executor, "--jobs", "2")
    with ended(program):
        os.killpg(program.pid, how)  # as a terminal does: workers get it too
        assert program.stderr.readline().strip() == ADVICE
        assert program.poll() is None
        os.killpg(program.pid, how)
        sent = time.monotonic()
        _, said = program.communicate(timeout=30)  # which waits for all who hold the pipe
        assert time.monotonic() - sent < 10
    assert program.returncode == {signal.SIGINT: 130, signal.SIGTERM: 143}[how]
    assert said.splitlines() == [AT_ONCE if metric == "clings" else ENDED]
    assert not left_of(program)
    assert ww_here("db", "check").returncode == 0
    shown = ww_here("show", "net", "--json")
    assert json.loads(shown.stdout)["run"]["state"] in {"interrupted", "running"}, shown.stderr


@contextlib.contextmanager
def ended(program):
    """End a program's group with the block, so that a test that fails leaves nothing to the next."""
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(program.pid, signal.SIGKILL)
        program.communicate()


def left_of(program):
    """Tell whether a process of the program's group is still there when it has had a while to go."""
    try:
        for _ in range(100):
            os.killpg(program.pid, 0)
            time.sleep(0.02)
    except ProcessLookupError:
        return False
    return True


ROOT = Path(__file__).parents[2]
ENTRY, FUNCTION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]["ww"].split(":")
START = {
    "ww": ["-c", f"import sys; from {ENTRY} import {FUNCTION}; sys.exit({FUNCTION}())"],
    "python -m ww_core": ["-m", "ww_core"],
}


INTERRUPTING = """
import os, signal
exec("os.kill(os.getpid(), signal.SIGINT)")
import typer.no
"""


@pytest.mark.parametrize("start", START)
def test_an_interruption_while_the_program_is_loaded_is_told_in_one_line(start, tmp_path):
    (tmp_path / "typer.py").write_text(INTERRUPTING)
    path = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, *START[start], "--version"],
        env=os.environ | {"PYTHONPATH": path},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        restore_signals=True,
    )
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr == "interrupted: nothing was begun\n"


def test_ctrl_c_is_waited_for_before_anything_is_loaded():
    code = "import sys; before = set(sys.modules); import ww_core.__main__; print(*sorted({*sys.modules} - before))"
    done = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    loaded = {module for module in done.stdout.split() if module.partition(".")[0] != "importlib"}
    assert loaded <= {"__future__", "_imp", "warnings", "ww_core", "ww_core.__main__"}, done.stdout
