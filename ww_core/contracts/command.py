"""Commands: what a plugin adds to the command line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import typer


@dataclass(frozen=True, eq=False)
class Command:
    """A command, which runs as ``ww NAME``.

    Its functions parse the arguments, make one call and print through ``ww_core.command.Output``. An error of ww's tree
    becomes one sentence and its exit code by itself. ``--plugin``, ``--strict-plugins``, ``--verbose`` (``-v``) and
    ``--quiet`` (``-q``) are ww's options after every command: an app has none of these names.

    Attributes:
        name: What is typed after ``ww``. A name of ww's own commands stays ww's.
        app: The ``typer.Typer`` that runs.
    """

    name: str
    app: typer.Typer
