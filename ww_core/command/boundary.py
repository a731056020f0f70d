"""The error boundary around a program: errors become one sentence and an exit code."""

from __future__ import annotations

import io
import os
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from ww_core.command.messages import give_up, say_more, unheard, warn, warn_lines
from ww_core.command.output import OutputClosed, explained
from ww_core.domain.address import has_password, has_scheme, is_of_a_server
from ww_core.errors import OutputError, SourceError, UsageError, WWError
from ww_core.plugins.isolation import DEBUG_VARIABLE
from ww_core.plugins.verbosity import verbosity_kept

if TYPE_CHECKING:
    import typer

INTERRUPTED = 130
TERMINATED = 143

_OF_PYDANTIC = "Value error, "
"""What stands before typer's own sentence on a value."""


def run_app(app: typer.Typer, arguments: Sequence[str] | None = None, *, name: str = "ww") -> int:
    """Run a Typer app inside the error boundary, as ww runs a command, and return its exit code.

    Args:
        app: The app.
        arguments: Its arguments; None for those of the process.
        name: What the usage line calls it.
    """
    import typer

    def run() -> int:
        _refuse_misplaced_addresses(sys.argv[1:] if arguments is None else arguments)
        try:
            code = app(arguments, standalone_mode=False, prog_name=name)
        except typer.Abort as error:
            raise KeyboardInterrupt(*error.args) from None  # with what a command says of its interruption
        except typer.TyperException as error:
            show: Callable[[], None] | None = getattr(error, "show", None)
            if show is None:
                raise
            from ww_core.loading.names import shown_address  # what most runs have no need of

            if error.message.startswith(_OF_PYDANTIC):  # a choice, of which typer's sentence stands behind it
                error.message = error.message.removeprefix(_OF_PYDANTIC).removesuffix(".")
            for argument in sys.argv[1:] if arguments is None else arguments:
                if has_scheme(argument):  # as the address of a store that lacks its --store
                    error.message = error.message.replace(argument, shown_address(argument))
            with unheard():
                show()  # wrong usage: typer has the sentence, the usage line and the code
            return int(getattr(error, "exit_code", UsageError.exit_code))
        if code == INTERRUPTED:
            raise KeyboardInterrupt
        return code if isinstance(code, int) else 0

    begin = time.perf_counter()
    with verbosity_kept():
        code = run_guarded(run)
        say_more(f"{name}: exit code {code} after {time.perf_counter() - begin:.2f} s")
    return code


def _refuse_misplaced_addresses(arguments: Sequence[str]) -> None:
    """Refuse an address that may hold a password where no message expects one, and would repeat it.

    Raises:
        UsageError: One of a database stands elsewhere than after ``--store``, or one with a password after an option.
    """
    for before, argument in zip(["", *arguments], arguments, strict=False):
        option, _, inner = argument.partition("=") if argument.startswith("--") else (before, "", argument)
        is_value = option.startswith("-") and option != "--"
        parts = [inner, *inner.replace("=", ",").split(",")]  # of a list, or of KEY=VALUE
        if option != "--store" and any(is_of_a_server(own) or (is_value and has_password(own)) for own in parts):
            place = f"after {option}" if is_value else "among the arguments"
            raise UsageError(
                f"an address stands {place}, where none is expected: that of the store belongs after --store "
                "(a file of such a name is ./NAME)"
            )


def run_guarded(main: Callable[[], int | None]) -> int:
    """Run a program's main function inside the error boundary, and return its exit code.

    Errors of ww's tree become one sentence on stderr and their exit code; an unknown error keeps its traceback. Where
    ``WW_DEBUG`` is set, errors of ww's tree keep theirs too, unless they tell of a plugin, whose traceback was shown.
    """
    sys.stdout = sys.stdout or _nowhere()
    sys.stderr = sys.stderr or _nowhere()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        code = main() or 0
        with explained():
            sys.stdout.flush()
    except WWError as error:
        if isinstance(error, OutputError):
            give_up(sys.stdout)
        if os.environ.get(DEBUG_VARIABLE) and not error.blames_plugin:
            warn_lines("".join(traceback.format_exception(error)))
            return error.exit_code
        warn(f"error: {error}")
        for note in getattr(error, "__notes__", ()):
            warn_lines(note)
        return error.exit_code
    except KeyboardInterrupt as error:
        warn(f"interrupted: {str(error) or 'the store is intact, and the same command continues from there'}")
        return INTERRUPTED
    except OutputClosed:
        give_up(sys.stdout)
        return 0
    except SystemExit:
        raise
    except BaseException as error:  # noqa: BLE001 - a fault of ours, shown whole; Python's own code would mean a broken rule
        if isinstance(error, FileNotFoundError) and not _stands_somewhere():
            warn("error: the current folder no longer exists: change to another one")
            return SourceError.exit_code
        warn_lines(traceback.format_exc())
        return WWError.exit_code
    return code


def _stands_somewhere() -> bool:
    try:
        Path.cwd()
    except FileNotFoundError:
        return False
    return True


def _nowhere() -> TextIO:
    """What stands for a stream that was closed by whoever started the program; open as long as it runs."""
    return Path(os.devnull).open("w", encoding="utf-8")
