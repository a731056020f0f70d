"""An observer: writes a line for each run into a log, so that a team sees who computed what, and for how long.

It is silent unless the environment variable OBJECT_NAME_LOG names a file.
"""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import ww_core as ww

if TYPE_CHECKING:
    from ww_core import AnalysisReport

LOG = "OBJECT_NAME_LOG"
"""Environment variable: the file."""


class ObjectName(ww.RunObserver):
    """Keeps nothing between calls: one observer serves all runs of a process."""

    def on_end(self, report: AnalysisReport) -> None:
        """Write the line, as JSON."""
        if not (name := os.environ.get(LOG)):
            return
        line = {
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "model": report.model,
            "version": report.version,
            "spectra": report.run.computed,
            "failures": len(report.failures),
            "seconds": report.run.seconds,
        }
        with Path(name).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


@ww.hookimpl
def ww_register_observers() -> list[ww.RunObserver]:
    """The observers of this plugin."""
    return [ObjectName()]
