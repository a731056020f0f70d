"""Public: what a command needs, ww's own and those of command plugins.

A command plugin is a ``typer.Typer`` that hook ``ww_register_commands`` returns or an entry point in group
``ww.commands`` names. Its functions parse, make one call and render through an ``Output``; errors of ww's tree become
one sentence and the right exit code by themselves, because the program's error boundary lies around every command.

``ww_core.command.options`` has the options that several commands share, ``ww_core.command.progress`` the observers that
show how far a run is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ww_core.command.boundary import INTERRUPTED as INTERRUPTED
from ww_core.command.boundary import TERMINATED as TERMINATED
from ww_core.command.boundary import run_app as run_app
from ww_core.command.boundary import run_guarded as run_guarded
from ww_core.command.messages import say as say
from ww_core.command.messages import say_more as say_more
from ww_core.command.messages import warn as warn
from ww_core.command.messages import warn_lines as warn_lines
from ww_core.command.output import Output as Output
from ww_core.command.output import OutputClosed as OutputClosed
from ww_core.command.output import arrow as arrow
from ww_core.command.output import json_text as json_text
from ww_core.command.output import shows as shows
from ww_core.command.output import terminal_width as terminal_width
from ww_core.command.session import Session as Session
from ww_core.command.table import Marked as Marked  # public here: cells of tables
from ww_core.command.table import cell as cell
from ww_core.domain.text import printable as printable  # public here: commands print names of strangers too
from ww_core.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path


def store_location(option: str | None) -> str | Path:
    """Return where the store is: the option, else ``WW_STORE``, else one file in the user's data directory.

    Raises:
        UsageError: The option is empty.
    """
    if option == "":
        raise UsageError("--store is empty: name a file or a URL, or leave it out")
    if option is not None:
        return option
    from ww_core.store.default_location import default_location

    return default_location()
