"""What all sections share: the options, both sides and the models, each made when it is first asked for."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from benchmarks.peer.models import MODELS, Model
from benchmarks.peer.timing import Samples, interleave

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from benchmarks.peer.ours import Ours
    from benchmarks.peer.theirs import Theirs
    from benchmarks.peer.timing import Sample


class Skipped(Exception):  # noqa: N818 - nothing went wrong
    """Something cannot be measured here; the message says why."""


class Bench:
    """The setting of one invocation.

    Args:
        options: Of the command line.
        folder: Where files may be left until the end.
    """

    def __init__(self, options: argparse.Namespace, folder: Path) -> None:
        self.options = options
        self.folder = folder
        self._models: dict[str, Model] = {}

    @cached_property
    def ours(self) -> Ours:
        """Our side."""
        from benchmarks.peer.ours import Ours

        return Ours(self.folder)

    @cached_property
    def theirs(self) -> Theirs:
        """The peer's side."""
        try:
            from benchmarks.peer.theirs import Theirs
        except ModuleNotFoundError as error:
            raise Skipped(f"{error.name} is not installed here: `make bench` runs where it is") from None
        return Theirs()

    def models(self, usual: Iterable[str]) -> list[str]:
        """Return the names of the models that are asked for, or of those that a section usually takes."""
        return [name for name in MODELS if name in self.options.names] or list(usual)

    def model(self, name: str) -> Model:
        """Return a model; its weights are made once."""
        if name not in self._models:
            self._models[name] = MODELS[name](self.options)
        return self._models[name]

    def interleave(self, sides: Mapping[str, Callable[[], Sample]]) -> dict[str, Samples]:
        """Run the sides in turn for as long as the command line says."""
        return interleave(sides, seconds=self.options.seconds, rounds=self.options.rounds)
