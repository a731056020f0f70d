"""A live progress bar on stderr, where stderr is a terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ww_core.command import say_more
from ww_core.contracts.observer import LayerDone, RunObserver, RunStart
from ww_core.plugins.verbosity import is_quiet, is_verbose

if TYPE_CHECKING:
    from rich.progress import Progress

    from ww_core.domain.report import AnalysisReport


class ProgressBar(RunObserver):
    """Shows layers done, the share of the cost, and the time left."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def on_start(self, start: RunStart) -> None:
        """Show the bar, unless there is nothing to do."""
        if start.layers:
            self._progress.start()
            self._task = self._progress.add_task("", total=start.cost, layers=0, of=start.layers)
            self._done = 0

    def on_layer(self, layer: LayerDone) -> None:
        """Advance by the layer's share."""
        self._done += 1
        self._progress.update(self._task, advance=layer.cost, layers=self._done)

    def on_end(self, report: AnalysisReport) -> None:  # noqa: ARG002 - the report is printed elsewhere
        """Take the bar away."""
        self._progress.stop()


class LayerLines(RunObserver):
    """Says what is read, and each layer when its results are in."""

    def on_start(self, start: RunStart) -> None:
        """Say what is read, and how much there is to do."""
        self._begin = time.perf_counter()
        say_more(f"{start.source}: profile {start.profile}, {start.layers} layers with something to compute")

    def on_layer(self, layer: LayerDone) -> None:
        """Say how long after the start the layer was done."""
        lost = ", of which something failed" if layer.failed else ""
        say_more(f"{time.perf_counter() - self._begin:.2f} s: {layer.name}{lost}")


@contextmanager
def progress_observers() -> Iterator[list[RunObserver]]:
    """Give the observers that show a run's progress: none where stderr is no terminal, or after ``--quiet``.

    After ``--verbose`` there are lines in place of a bar, wherever stderr leads.
    """
    if is_verbose():
        yield [LayerLines()]
        return
    if not _is_shown():
        yield []
        return
    progress = _progress("{task.fields[layers]} of {task.fields[of]} layers")
    try:
        yield [ProgressBar(progress)]
    finally:
        progress.stop()


@contextmanager
def version_counter() -> Iterator[Callable[[int, int], None] | None]:
    """Give what shows how many versions are done, of how many, as ``counter`` does."""
    with counter("versions") as show:
        yield show


@contextmanager
def counter(of: str) -> Iterator[Callable[[int, int], None] | None]:
    """Give what shows how many things are done, of how many.

    It is nothing where stderr is no terminal, or after ``--quiet``.

    Args:
        of: What they are, in the plural.
    """
    if not _is_shown():
        yield None
        return
    progress = _progress(f"{{task.completed}} of {{task.total}} {of}")
    task = progress.add_task("", total=None)

    def show(done: int, total: int) -> None:
        progress.update(task, completed=done, total=total)
        progress.start()

    try:
        yield show
    finally:
        progress.stop()


def _is_shown() -> bool:
    return sys.stderr.isatty() and not is_quiet()


def _progress(count: str) -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    return Progress(
        BarColumn(),
        TaskProgressColumn(),
        TextColumn(count),
        TimeRemainingColumn(),
        TextColumn("left"),
        console=Console(stderr=True),
        transient=True,
    )
