"""``ww completion``: what a shell must know to complete commands, options and names."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from ww_core.command import Output
from ww_core.command.examples import examples

VARIABLE = "_WW_COMPLETE"
"""Environment variable by which a shell asks what may stand where its user pressed the tab key."""


class Shell(StrEnum):
    """A shell that completes."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


@examples("ww completion bash", "ww completion zsh")
def completion(shell: Annotated[Shell, typer.Argument(metavar="SHELL", help="bash, zsh or fish.")]) -> None:
    """Print a script that lets a shell complete ww.

    Write it to the folder of the shell's scripts: bash to ~/.local/share/bash-completion/completions/ww, zsh to a file
    _ww in a folder of its fpath, fish to ~/.config/fish/completions/ww.fish. A new shell completes commands, options,
    and names of models, versions, layers, metrics, profiles, extractors and loaders.
    """
    from typer.completion import get_completion_script  # type: ignore[attr-defined]

    Output().text(get_completion_script(prog_name="ww", complete_var=VARIABLE, shell=shell.value) + "\n")
