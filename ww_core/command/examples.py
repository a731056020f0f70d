"""Public: the examples that end a command's help, declared beside its function."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

F = TypeVar("F", bound="Callable[..., Any]")

ATTRIBUTE = "ww_examples"


def examples(*lines: str) -> Callable[[F], F]:
    """Declare one to three commands that the help of this command ends with, each as a person types it."""

    def declare(function: F) -> F:
        setattr(function, ATTRIBUTE, lines)
        return function

    return declare


def add_examples(command: Any) -> None:
    """Let the help of a command, and of those below it, end with the examples of its function."""
    lines = getattr(command.callback, ATTRIBUTE, ())
    if lines:
        command.epilog = "\n".join(["\b", "Examples:", *(f"  {line}" for line in lines)])  # \b: do not wrap
    for below in getattr(command, "commands", {}).values():
        add_examples(below)
