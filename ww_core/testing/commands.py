"""The contract of commands."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

from ww_core.command import run_app
from ww_core.errors import UsageError
from ww_core.plugins.entry_points import ONLY_VARIABLE
from ww_core.testing.plugins import PluginContract

if TYPE_CHECKING:
    import pytest


_LISTED_OPTION = re.compile(r"\W*(?:-\w\W+)?(--(?:plugin|strict-plugins))\b")
"""A line of a help text, with or without a frame, that lists an option of ww's."""


class CommandContract(PluginContract):
    """Tests that every command of a plugin must pass. Set ``plugin``."""

    def test_its_help_says_what_it_does(self, capsys: pytest.CaptureFixture[str]) -> None:
        """``ww NAME --help`` ends well, and has a sentence between the usage and the options."""
        for owned in self.own(self.registry().commands):
            code = run_app(owned.object.app, ["--help"], name=f"ww {owned.name}")
            text = capsys.readouterr().out
            assert code == 0, text
            sentence = re.split(r"\bUsage:[^\n]*", text)[-1].partition("Options")[0]
            assert re.search(r"\w", sentence), f"command {owned.name} has no help: give its function a docstring"

    def test_an_unknown_option_is_wrong_usage(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Wrong usage ends with code 2 and a sentence, not with a traceback."""
        for owned in self.own(self.registry().commands):
            code = run_app(owned.object.app, ["--no-such-option"], name=f"ww {owned.name}")
            told = capsys.readouterr().err
            assert code == UsageError.exit_code, told
            assert "Traceback" not in told

    def test_its_options_are_its_own(self, capsys: pytest.CaptureFixture[str]) -> None:
        """No option is called as one that ww takes after every command."""
        for owned in self.own(self.registry().commands):
            run_app(owned.object.app, ["--help"], name=f"ww {owned.name}")
            lines = capsys.readouterr().out.splitlines()
            taken = [found[1] for line in lines if (found := _LISTED_OPTION.match(line))]
            assert not taken, f"command {owned.name} has option {taken[0]}, which is ww's own"

    def test_ww_has_no_command_of_its_name(self) -> None:
        """A name of ww's own commands stays ww's: the plugin's command would not run by its short name."""
        program = [sys.executable, "-m", "ww_core", "--help"]
        environ = os.environ | {ONLY_VARIABLE: ""}
        text = subprocess.run(program, env=environ, capture_output=True, text=True, check=True).stdout  # noqa: S603
        names = set(re.findall(r"^  ([\w-]+) ", text.partition("Commands:\n")[2], flags=re.MULTILINE))
        for owned in self.own(self.registry().commands):
            assert owned.name not in names, f"ww has a command {owned.name} itself: choose another name"
