"""An observer: writes a line of JSON for each layer, so that another program can follow a long run.

It is silent unless the environment variable WW_EXAMPLE_LOG names a file.
"""

import json
import os
from pathlib import Path

import ww_core as ww


class LayerLog(ww.RunObserver):
    def on_start(self, start):
        write({"event": "start", "model": start.model, "version": start.version, "layers": start.layers})

    def on_layer(self, layer):
        matrices = [
            {"extractor": own.extractor, "index": own.index, "metrics": values(own.metrics)} for own in layer.matrices
        ]
        line = {"event": "layer", "name": layer.name, "failed": layer.failed}
        write({**line, "metrics": values(layer.metrics), "matrices": matrices})

    def on_end(self, report):
        write({"event": "end", "model": report.model, "version": report.version, "failures": len(report.failures)})


def values(outcomes):
    """Return numbers and texts by label; what has no value is left out."""
    return {label: outcome.value for label, outcome in outcomes.items() if outcome.is_ok}


def write(line):
    if name := os.environ.get("WW_EXAMPLE_LOG"):
        with Path(name).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


@ww.hookimpl
def ww_register_observers():
    return [LayerLog()]
