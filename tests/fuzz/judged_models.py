"""A program that judges sources as they are named to it, a line each: what ww says of them, and what it must never do.

It answers each line with one of JSON: a signature of what was said, and what is wrong, which should be nothing. It runs
in a process of its own, because what is looked for is what takes all memory, hangs, or runs what a file contains.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import importlib.metadata
import io
import json
import os
import re
import sys
import warnings
from pathlib import Path
from unittest.mock import patch

import typer.main

import ww_core as ww
from ww_core.cli.main import main
from ww_core.plugins import discovery

MOST_MEMORY = 300 * 2**20
"""Bytes that may be taken beyond what the process had before."""

EXIT_CODES = {0, 3, 4}  # done, refused, done in part
ALARMING = {"os.system", "os.exec", "os.posix_spawn", "os.fork", "subprocess.Popen", "socket.connect"}


# To find and load plugins, and to make the commands of functions, anew for each question takes nine tenths of the time.
importlib.metadata.entry_points = functools.cache(importlib.metadata.entry_points)
discovery.load_plugins = functools.cache(discovery.load_plugins)
typer.main.get_command = functools.cache(typer.main.get_command)


class Watch:
    """What was done that no file may cause; `subprocess` may run what reads quantized tensors."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.is_on = False

    def begin(self) -> None:
        """Watch from now on, if that has not begun."""
        if not self.is_on:
            self.is_on = True
            sys.addaudithook(self)

    def __call__(self, event: str, arguments: tuple[object, ...]) -> None:
        if event in ALARMING and "ww_plugins.loaders.pytorch.weights_only" not in str(arguments):
            self.seen.append(f"{event}{arguments!r:.200}")


def judge(main_file: Path, store: Path, name: str) -> dict[str, str]:
    """Ask the API and the command line about one source."""
    told, wrong = [], []
    for ask in (ww.describe, ww.analyze):
        try:
            answer = ask(main_file, **({"jobs": 1} if ask is ww.analyze else {}))
            told.append(type(answer).__name__)
        except ww.WWError as error:
            told.append(skeleton(str(error)))
            wrong += [] if str(error).isprintable() else [f"{ask.__name__}: unprintable message"]
        except Exception as error:
            wrong.append(f"{ask.__name__}: {type(error).__name__}: {error}"[:300])
    stored = ["--store", str(store), "--jobs", "1", "--name", name]
    for command in (["describe"], ["describe", "--json"], ["analyze", *stored]):
        code, output, errors = run([command[0], str(main_file), *command[1:]])
        told.append(f"{code} {skeleton(errors)}")
        wrong += [f"{command[0]}: exit {code}: {errors[-300:]}"] if code not in EXIT_CODES else []
        wrong += [f"{command[0]}: traceback: {errors[-300:]}"] if "Traceback (most recent" in output + errors else []
        wrong += [f"{command[0]}: unprintable output"] if not is_printable(output + errors) else []
        if "--json" in command and code == 0 and not is_json(output):
            wrong.append("describe: no JSON")
    return {"told": " | ".join(told), "wrong": "; ".join(wrong)}


def run(arguments: list[str]) -> tuple[int, str, str]:
    """Run a command in this process."""
    output, errors = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
    with (
        patch.object(sys, "argv", ["ww", *arguments]),
        contextlib.redirect_stdout(output),
        contextlib.redirect_stderr(errors),
    ):
        try:
            code = main()
        except BaseException as error:
            return -1, "", f"{type(error).__name__}: {error}"
    gc.unfreeze()
    return code, output.buffer.getvalue().decode(), errors.buffer.getvalue().decode()


def skeleton(message: str) -> str:
    """Return a message without what is of one file: numbers, and what stands in quotes."""
    return re.sub(r"\d+", "0", re.sub(r"'[^']*'|`[^`]*`|\"[^\"]*\"", "'", message))[:300]


def is_printable(text: str) -> bool:
    """Whether a terminal shows it as it is."""
    return all(character.isprintable() or character == "\n" for character in text)


def is_json(text: str) -> bool:
    """Whether it is strict JSON."""
    try:
        json.loads(text, parse_constant=_no_constant)
    except ValueError:
        return False
    return True


def _no_constant(name: str) -> None:
    raise ValueError(name)


def memory() -> tuple[int, int]:
    """Return the bytes that this process has, and the most that it had."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmRSS"].split()[0]) * 1024, int(status["VmHWM"].split()[0]) * 1024


def answer_all() -> None:
    """Judge what comes, until nothing comes any more. The first sources are sound: all is imported with them."""
    watch, store = Watch(), Path("store.sqlite")
    warnings.simplefilter("ignore")
    answers = os.fdopen(os.dup(1), "w")
    for count, line in enumerate(sys.stdin):
        source, is_sound = json.loads(line)
        if count % 100 == 0:
            store.unlink(missing_ok=True)
            gc.collect()  # which the program leaves to its end
        if not is_sound:
            watch.begin()
        Path("/proc/self/clear_refs").write_text("5")  # the most that it had begins anew
        before, _ = memory()
        judged = judge(Path(source), store, f"model-{count}")
        taken = memory()[1] - before
        if taken > MOST_MEMORY and not is_sound:
            judged["wrong"] += f"; {taken >> 20} MiB of memory"
        if watch.seen:
            judged["wrong"] += "; " + "; ".join(watch.seen)
            watch.seen.clear()
        print(json.dumps(judged), file=answers, flush=True)


if __name__ == "__main__":
    answer_all()
