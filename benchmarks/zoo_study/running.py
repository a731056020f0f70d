"""Run the steps of a study, each once: what was answered is kept, and not asked again."""

from __future__ import annotations

import json
import os
import resource
import shlex
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from benchmarks.zoo_study.steps import Step


ROOT = Path(__file__).resolve().parents[2]


class StepError(Exception):
    """A step failed."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a step answered.

    Attributes:
        step: Its name.
        command: As one types it.
        seconds: Of CPU time.
        said: Its standard output: what ``--json`` printed, or text.
    """

    step: str
    command: str
    seconds: float
    said: Any


def answers_of(steps: Iterable[Step], folder: Path) -> dict[str, Answer]:
    """Run the steps whose answers are not there yet, in a folder, and return the answers of all by their names.

    Raises:
        StepError: A step failed.
    """
    kept = folder / "answers"
    kept.mkdir(parents=True, exist_ok=True)
    told: dict[str, Answer] = {}
    for step in steps:
        file = kept / f"{step.name}.json"
        command = shlex.join(step.argv)
        known = _kept(file)
        if known.get("command") != command:
            known = _ran(step, command, folder)
            part = file.with_suffix(".part")
            part.write_text(json.dumps(known, indent=1))
            part.replace(file)
        told[step.name] = Answer(step.name, command, known["seconds"], known["said"])
    return told


def _kept(file: Path) -> dict[str, Any]:
    """Return what was answered before; nothing where that is not there, or cut short."""
    try:
        known: dict[str, Any] = json.loads(file.read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return known if isinstance(known, dict) and known.keys() >= {"command", "seconds", "said"} else {}


def _ran(step: Step, command: str, folder: Path) -> dict[str, Any]:
    print(f"{time.strftime('%H:%M:%S')}  {command}", flush=True)
    before = _cpu_seconds()
    place = {"WW_STORE": str((folder / "study.sqlite").resolve()), "OMP_NUM_THREADS": "1"}
    program = ["-m", "ww_core"] if step.argv[0] == "ww" else [str(ROOT / step.argv[0])]
    ended = subprocess.run(
        [sys.executable, *program, *step.argv[1:]],
        cwd=folder,
        env=os.environ | place,
        capture_output=True,
        text=True,
        check=False,
    )
    lines = ended.stderr.strip().splitlines() or [""]
    if ended.returncode:
        raise StepError(f"{command}\nended with {ended.returncode}: {lines[-1]}")
    return {
        "command": command,
        "seconds": round(_cpu_seconds() - before, 2),
        "said": json.loads(ended.stdout) if "--json" in step.argv else ended.stdout,
    }


def _cpu_seconds() -> float:
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime
