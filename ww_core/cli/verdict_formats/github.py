"""A verdict for GitHub Actions: an annotation for each broken rule, and a summary of the job."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from ww_core.cli.verdict_formats.markdown import markdown_text
from ww_core.command import printable, warn

if TYPE_CHECKING:
    from ww_core.command import Output
    from ww_core.domain.rules.verdict import CheckReport, Verdict

SUMMARY_FILE = "GITHUB_STEP_SUMMARY"
"""Variable that names the file of the job's summary."""

SHOWN = 20
"""Breaks of a rule that an annotation lists; beyond that they are counted."""

IN_MESSAGES = {"%": "%25", "\r": "%0D", "\n": "%0A"}
IN_PROPERTIES = IN_MESSAGES | {":": "%3A", ",": "%2C"}


def print_github(report: CheckReport, output: Output) -> None:
    """Print an annotation for each broken rule, and append the summary of the job if GitHub asks for one.

    A summary that cannot be written is a warning: the verdict stays what it is.
    """
    for verdict in report.verdicts:
        if verdict.broken:
            output.text(_annotation(verdict) + "\n")
    output.line(f"ww check {report.title}: {report.outcome}")
    if path := os.environ.get(SUMMARY_FILE):
        try:
            with Path(path).open("a", encoding="utf-8", errors="backslashreplace") as file:
                file.write(markdown_text(report) + "\n")
        except OSError as error:
            warn(f"warning: the summary of the job cannot be written to {path}: {error.strerror or error}")


def _annotation(verdict: Verdict) -> str:
    lines = [printable(str(own)) for own in verdict.broken[:SHOWN]]
    more = len(verdict.broken) - SHOWN
    lines += [f"and {more} more"] if more > 0 else []
    title = _escaped(printable(f"broken: {verdict.rule}"), IN_PROPERTIES)
    return f"::error title={title}::{_escaped(chr(10).join(lines), IN_MESSAGES)}"


def _escaped(text: str, letters: dict[str, str]) -> str:
    return text.translate({ord(letter): escape for letter, escape in letters.items()})
