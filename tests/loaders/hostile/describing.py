"""A program that has ``ww describe`` read what is named to it, a line each, and watches what that does.

It answers each line, the path of a source and the folder that it may touch, with one of JSON: the exit code, what was
said, the seconds and the bytes that it took, and what was done that no file may cause. It runs in a process of its own,
because what is looked for is what takes all memory, hangs, or runs what a file holds.
"""

from __future__ import annotations

import codecs
import contextlib
import functools
import gc
import importlib
import importlib.metadata
import io
import json
import os
import pkgutil
import sys
import time
import unicodedata  # noqa: F401 - imported by Python's parser, where the header of an array is not ASCII
import warnings
from pathlib import Path
from typing import Any
from unittest.mock import patch

import typer.main

import ww_core as ww
from ww_core.cli.main import main
from ww_core.plugins import discovery
from ww_plugins import loaders

# To find and load plugins, and to make the commands of functions, anew for each question takes nine tenths of the time.
importlib.metadata.entry_points = functools.cache(importlib.metadata.entry_points)
discovery.load_plugins = functools.cache(discovery.load_plugins)
typer.main.get_command = functools.cache(typer.main.get_command)

# What reads a format is imported where the first file of it is met, which makes classes of dataclasses.
for module in pkgutil.walk_packages(loaders.__path__, f"{loaders.__name__}."):
    importlib.import_module(module.name)

# Python imports an encoding where the first text in it is read, as in pickles.
for encoding in ("raw_unicode_escape", "unicode_escape", "latin-1", "ascii"):
    codecs.lookup(encoding)

TELLING = (
    "import", "compile", "os.system", "os.exec", "os.spawn", "os.posix_spawn", "os.fork", "os.startfile", "os.remove",
    "os.rename", "os.chmod", "os.kill", "os.putenv", "subprocess.", "socket.", "pickle.", "marshal.", "ctypes.",
    "code.", "pty.", "shutil.", "urllib.", "webbrowser.", "signal.", "cpython.run", "builtins.input",
    "builtins.breakpoint", "glob.", "ftplib.", "http.",
)  # fmt: skip
OWN_FILES = tuple(
    os.path.realpath(place)
    for place in (sys.prefix, sys.base_prefix, Path(ww.__file__).parents[1], "/proc/self", "/sys/fs/cgroup")
)
READS_APART = "ww_plugins.loaders.pytorch.weights_only"
"""What reads the tensors that only PyTorch can read, in a process of its own."""


class Watch:
    """What was done since the last question that no file may cause."""

    def __init__(self) -> None:
        self.happened: list[str] = []
        self._usual: set[str] = set()
        self._folder = ""

    def begin(self, folder: str) -> None:
        """Watch what is done besides reading a folder."""
        self.happened.clear()
        self._folder = os.path.realpath(folder)

    def take_for_usual(self) -> None:
        """Take what was done for what the program does with any file: typer, for one, compiles annotations."""
        self._usual.update(self.happened)

    def untold(self) -> list[str]:
        """Return what was done that is not usual."""
        return [what for what in self.happened if what not in self._usual]

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            self._opened(*arguments)
        elif event == "exec":
            self.happened.append(f"exec {arguments[0].co_filename} {arguments[0].co_name}")
        elif event == "compile" and arguments[1] == "<unknown>":
            return  # the headers of NumPy's arrays are parsed as literals, and what is run is told by "exec"
        elif event.startswith(TELLING) and READS_APART not in str(arguments):
            self.happened.append(f"{event} {arguments!r:.200}")

    def _opened(self, path: object, mode: object, flags: int) -> None:
        if not isinstance(path, (str, bytes)):
            return
        place = os.path.realpath(os.fsdecode(path))
        writes = flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        allowed = (self._folder,) if writes else (self._folder, *OWN_FILES)
        if not place.startswith(allowed):
            self.happened.append(f"open {place} {mode!r} {flags}")


def run(path: str) -> tuple[int, str]:
    """Run ``ww describe`` in this process; return its exit code and what it said."""
    output, errors = (io.TextIOWrapper(io.BytesIO(), "utf-8", newline="", write_through=True) for _ in range(2))
    with (
        patch.object(sys, "argv", ["ww", "describe", path]),
        contextlib.redirect_stdout(output),
        contextlib.redirect_stderr(errors),
    ):
        try:
            code = main()
        except BaseException as error:
            return -1, f"{type(error).__name__}: {error}"
    gc.unfreeze()  # main, which a process runs once, freezes what it leaves: not the next file's memory
    said = [stream.buffer.getvalue().decode() for stream in (errors, output)]
    return code, said[0] + ("\nTraceback on stdout" if "Traceback (most recent" in said[1] else "")


def most_memory() -> int:
    """Return the most bytes that this process had."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) * 1024


def answer_all() -> None:
    """Answer until nothing comes any more."""
    watch = Watch()
    warnings.simplefilter("ignore")
    answers = os.fdopen(os.dup(1), "w")
    sys.addaudithook(watch)
    for count, line in enumerate(sys.stdin):
        path, folder, is_usual = json.loads(line)
        Path("/proc/self/clear_refs").write_text("5")  # the most that it had begins anew
        watch.begin(folder)
        began = time.process_time()
        code, said = run(path)
        told: dict[str, Any] = {"code": code, "said": said, "seconds": time.process_time() - began}
        told["happened"] = watch.untold()
        if is_usual:
            watch.take_for_usual()
        told["memory"] = most_memory()
        if count % 50 == 0:
            gc.collect()  # which the program leaves to its end
        print(json.dumps(told), file=answers, flush=True)


if __name__ == "__main__":
    answer_all()
