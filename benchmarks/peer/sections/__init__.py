"""What is measured, a table each."""

from __future__ import annotations

from benchmarks.peer.sections import (
    columns,
    fft,
    fit,
    floor,
    full,
    models,
    neighbour,
    planted,
    process,
    truncated,
    workers,
)
from benchmarks.peer.sections.section import Section

SECTIONS = [
    Section("models", "Whole models, one thread", models.EXPLANATION, models.COLUMNS, models.cases),
    Section("workers", "Whole models, two workers", workers.EXPLANATION, workers.COLUMNS, workers.cases),
    Section("full", "Whole models, with all random-matrix columns", full.EXPLANATION, full.COLUMNS, full.cases),
    Section("columns", "What the columns say", columns.EXPLANATION, columns.COLUMNS, columns.cases, of_models=False),
    Section("planted", "Planted spikes", planted.EXPLANATION, planted.COLUMNS, planted.cases, of_models=False),
    Section("floor", "Distance to the bare decomposition", floor.EXPLANATION, floor.COLUMNS, floor.cases),
    Section("fit", "The power-law fit", fit.EXPLANATION, fit.COLUMNS, fit.cases, of_models=False),
    Section(
        "truncated",
        "The truncated power law",
        truncated.EXPLANATION,
        truncated.COLUMNS,
        truncated.cases,
        of_models=False,
    ),
    Section("fft", "Convolutions as operators", fft.EXPLANATION, fft.COLUMNS, fft.cases, of_models=False),
    Section("process", "Cold processes", process.EXPLANATION, process.COLUMNS, process.cases),
    Section("neighbour", "Beside a busy core", neighbour.EXPLANATION, neighbour.COLUMNS, neighbour.cases),
]
"""In the order in which they are run."""
