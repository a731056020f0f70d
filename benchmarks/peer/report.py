"""Tables for people: on a terminal, and as Markdown to be pasted into a page."""

from __future__ import annotations

import datetime as dt
import importlib.metadata
import math
import os
import platform
import re
import textwrap
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.peer.timing import Samples

PACKAGES = ("ww-core", "weightwatcher", "powerlaw", "numpy", "scipy", "torch")
WIDTH = 120


@dataclass
class Table:
    """Rows under columns, with what is to be said before and after."""

    title: str
    explanation: str
    columns: Sequence[str]
    rows: list[list[str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    load: float = field(default_factory=lambda: os.getloadavg()[0])

    def text(self) -> str:
        """Return it for a terminal."""
        lines = [list(self.columns), *self.rows]
        widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
        shown = ["  ".join(map(_justified, line, widths, self._right())).rstrip() for line in lines if self.rows]
        notes = [textwrap.fill(note, WIDTH, subsequent_indent="  ") for note in self.notes]
        return _blocks([f"\n== {self.title}"], [textwrap.fill(self._said_before(), WIDTH)], shown, notes)

    def markdown(self) -> str:
        """Return it as Markdown."""
        lines = [self.columns, ["--:" if right else ":--" for right in self._right()], *self.rows]
        shown = ["| " + " | ".join(line) + " |" for line in lines if self.rows]
        return _blocks([f"## {self.title}"], [self._said_before()], shown, [f"- {note}" for note in self.notes])

    def _said_before(self) -> str:
        return f"{self.explanation} Load average at the start: {self.load:.1f}."

    def _right(self) -> list[bool]:
        by_column = [[row[index] for row in self.rows] for index in range(len(self.columns))]
        return [all(re.fullmatch(r"(?:[<>]= )?\d\S*(?: \w+)?|", cell) for cell in cells) for cells in by_column]


def _blocks(*blocks: Sequence[str]) -> str:
    return "\n\n".join("\n".join(lines) for lines in blocks if lines)


def _justified(cell: str, width: int, right: bool) -> str:
    return cell.rjust(width) if right else cell.ljust(width)


class Report:
    """All tables, and on what they were measured."""

    def __init__(self) -> None:
        self.tables: list[Table] = []
        versions = ", ".join(f"{package} {_version(package)}" for package in PACKAGES)
        self._facts = [
            f"{dt.datetime.now(dt.UTC):%Y-%m-%d %H:%M} UTC",
            f"{_processor()}, {_cores()} cores",
            f"Python {platform.python_version()}, {versions}",
            f"threads of BLAS and torch: {os.environ['OMP_NUM_THREADS']}",
            "goals are for ratios of median wall times; unsure: that of CPU times, without neighbours, says otherwise",
        ]

    def head(self) -> str:
        """Return what stands above all tables, for a terminal."""
        return "\n".join(["ww beside WeightWatcher", *self._facts])

    def markdown(self) -> str:
        """Return everything as Markdown."""
        facts = [f"- {fact}" for fact in self._facts]
        return _blocks(["# ww beside WeightWatcher"], facts, *([table.markdown()] for table in self.tables)) + "\n"


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "absent"


def _processor() -> str:
    description = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*: (.*)", description.read_text()) if description.exists() else None
    return found[1] if found else platform.processor() or platform.machine()


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True, slots=True)
class Goal:
    """A ratio to reach, or not to exceed; infinite or 0 where there is none."""

    at_least: float = 0.0
    at_most: float = math.inf

    def cells(self, *ratios: float) -> list[str]:
        """Return the goal, and whether it holds for all, for none, or nobody knows."""
        if self == NO_GOAL:
            return ["", ""]
        held = {self.at_least <= ratio <= self.at_most for ratio in ratios}
        said = f">= {self.at_least:g}x" if self.at_least else f"<= {self.at_most:g}x"
        return [said, "unsure" if len(held) > 1 else "yes" if held == {True} else "NO"]


NO_GOAL = Goal()


def duration(seconds: float) -> str:
    """Seconds to three digits, in the unit that suits."""
    for factor, unit in ((1.0, "s"), (1e3, "ms"), (1e6, "us")):
        if seconds * factor >= 1 or unit == "us":
            return f"{seconds * factor:#.3g}".rstrip(".") + f" {unit}"
    raise AssertionError("the last unit takes all")


def times(samples: Samples) -> list[str]:
    """Median and minimum, as cells."""
    return [duration(samples.median), duration(samples.best)]


RATIOS = ("ratio", "of minima", "of CPU", "rounds", "goal", "holds")
"""Columns of ``ratios``."""


def ratios(slower: Samples, faster: Samples, goal: Goal = NO_GOAL, *, one_thread: bool = True) -> list[str]:
    """Return the cells of ``RATIOS``.

    Args:
        slower: Above the line.
        faster: Below it.
        goal: For the ratio of medians.
        one_thread: Whether CPU times of both sides are wall times on a quiet machine, so that they must hold too.
    """
    wall, cpu = slower.median / faster.median, slower.cpu / faster.cpu
    return [
        _times(wall),
        _times(slower.best / faster.best),
        _times(cpu),
        str(len(slower)),
        *goal.cells(wall, *([cpu] if one_thread else [])),
    ]


def _times(ratio: float) -> str:
    return f"{ratio:.2f}x"
