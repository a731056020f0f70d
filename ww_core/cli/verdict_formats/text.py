"""A verdict as a table for people, with what breaks the rules below it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ww_core.command import arrow

if TYPE_CHECKING:
    from ww_core.command import Output
    from ww_core.domain.rules.verdict import CheckReport

SHOWN = 20
"""Breaks of a rule that are listed; beyond that they are counted."""


def print_text(report: CheckReport, output: Output) -> None:
    """Print a verdict as a table."""
    output.line(report.title)
    output.line()
    output.table(
        [
            {"rule": str(own.rule), "verdict": own.word, "measured": own.measured.replace("->", arrow())}
            for own in report.verdicts
        ],
        optional=("measured",),
    )
    for verdict in report.verdicts:
        if verdict.broken:
            output.line()
            output.line(f"{verdict.rule} is broken:")
        for own in verdict.broken[:SHOWN]:
            output.line(f"  {own}")
        if len(verdict.broken) > SHOWN:
            output.line(f"  and {len(verdict.broken) - SHOWN} more: --json lists them all")
    output.line()
    output.line(report.outcome)
