"""Write docs/reference/cli.md from the text that ``ww ... --help`` prints, 100 columns wide and without colours.

``python docs/make_cli_reference.py`` writes the page; ``--check`` only says whether it is stale (exit code 1).
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

PAGE = Path(__file__).resolve().parent / "reference" / "cli.md"
HEAD = """# The command line

Written by `make docs` from the program's own help: change the help text, not this page.
"""
ENVIRONMENT = {"COLUMNS": "100", "LINES": "40", "TERM": "dumb", "NO_COLOR": "1", "LC_ALL": "C.UTF-8", "PYTHONUTF8": "1"}


def help_of(command: tuple[str, ...]) -> str:
    """What ``ww COMMAND --help`` prints."""
    program = Path(sys.executable).with_name("ww")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("WW_", "FORCE_COLOR"))}
    done = subprocess.run(
        [program, *command, "--help"],
        env=environment | ENVIRONMENT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
    )
    return "\n".join(line.rstrip() for line in done.stdout.strip("\n").splitlines())


def commands_in(text: str) -> list[str]:
    """The names under ``Commands:`` in a help text, as far as the next blank line."""
    _, _, listed = text.partition("\nCommands:\n")
    return re.findall(r"^  (\S+)", listed.partition("\n\n")[0], flags=re.MULTILINE)


def sections() -> list[tuple[tuple[str, ...], str]]:
    """Every command with its help, each group before its commands, in the order of the help itself."""

    def below(command: tuple[str, ...]) -> list[tuple[tuple[str, ...], str]]:
        text = help_of(command)
        with ThreadPoolExecutor(4) as pool:
            found = pool.map(below, [(*command, name) for name in commands_in(text)])
            return [(command, text), *[section for sections in found for section in sections]]

    return below(())


def page() -> str:
    """The whole page."""
    parts = [HEAD]
    for command, text in sections():
        depth = "#" * min(2 + max(len(command) - 1, 0), 4)
        parts.append(f"{depth} {' '.join(['ww', *command])}\n\n```text\n{text}\n```\n")
    return "\n".join(parts)


def main() -> None:
    """Write or check the page."""
    text = page()
    if "--check" in sys.argv[1:]:
        stale = not PAGE.is_file() or PAGE.read_text(encoding="utf-8") != text
        sys.exit(f"{PAGE.name} is stale: run `make docs`" if stale else 0)
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
