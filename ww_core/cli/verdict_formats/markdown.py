"""A verdict as Markdown: a table for the comment of a merge request, or for the summary of a job."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ww_core.command import printable

if TYPE_CHECKING:
    from ww_core.command import Output
    from ww_core.domain.rules.verdict import CheckReport

SHOWN = 10
"""Breaks of a rule that are listed; beyond that they are counted."""


def print_markdown(report: CheckReport, output: Output) -> None:
    """Print a verdict as Markdown."""
    output.text(markdown_text(report))


def markdown_text(report: CheckReport) -> str:
    """Return a verdict as Markdown. What comes from files stands in code, so that it is no Markdown."""
    against = f" against {code(report.baseline.name)}" if report.baseline else ""
    lines = [f"### ww check: {'passed' if report.passed else 'failed'}", ""]
    lines += [f"{code(report.candidate.name)}{against}", "", "| rule | verdict | measured |", "|---|---|---|"]
    for verdict in report.verdicts:
        word = f"**{verdict.word}**" if verdict.broken else verdict.word
        measured = code(verdict.measured) if verdict.measured else ""
        lines.append(f"| {cell(str(verdict.rule))} | {word} | {measured} |")
    for verdict in report.verdicts:
        if verdict.broken:
            lines += ["", f"{code(str(verdict.rule))} is broken:", ""]
            lines += [f"- {code(str(own))}" for own in verdict.broken[:SHOWN]]
            more = len(verdict.broken) - SHOWN
            lines += [f"- and {more} more"] if more > 0 else []
    return "\n".join([*lines, "", f"{report.outcome}.", ""])


def code(text: str) -> str:
    """Return a text as code, with a fence that is longer than any in it."""
    shown = printable(text)
    fence = "`" * (max(map(len, re.findall("`+", shown)), default=0) + 1)
    pad = " " if shown.startswith("`") or shown.endswith("`") or not shown.strip() else ""
    return f"{fence}{pad}{shown}{pad}{fence}"


def cell(text: str) -> str:
    """Return a text as code in a table, where a bar would end the cell."""
    return code(text).replace("|", "\\|")
