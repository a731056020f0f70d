"""The views that people and other programs may rely on: names, columns, and what to ask them.

Migrations define the views, and ``docs/reference/store.md`` says what each column means. Tests compare all three.
"""

from __future__ import annotations

from typing import NamedTuple


class View(NamedTuple):
    """A view.

    Attributes:
        name: Its name.
        row: What it has a row for.
        question: What to ask it.
        columns: Names of its columns, in order.
    """

    name: str
    row: str
    question: str
    columns: tuple[str, ...]


VIEWS = (
    View(
        "v_metrics",
        row="version, place and column of an analysis in force",
        question="most questions: it has what `ww show` shows, for every version",
        columns=(
            "model", "version", "step", "position", "created_at", "digest", "profile", "scope", "layer", "extractor",
            "matrix_index", "column_name", "value", "text", "state", "better", "unit",
        ),
    ),
    View(
        "v_values",
        row="version and value that is stored of its content, experiments too",
        question="how variants of a column differ",
        columns=(
            "model", "version", "step", "position", "scope", "layer", "extractor", "extractor_version",
            "extractor_parameters", "matrix_index", "column_name", "metric", "metric_version", "parameters", "needs",
            "identity", "subject", "value", "text", "state", "reason", "better", "unit",
        ),
    ),
    View(
        "v_models",
        row="version of a model",
        question="what there is, and in which order",
        columns=(
            "model", "version", "step", "position", "place", "is_newest", "created_at", "digest", "provisional",
            "parameters", "format", "source", "series",
        ),
    ),
    View(
        "v_summaries",
        row="version, column and aggregate of an analysis in force",
        question="which version of which model is best",
        columns=(
            "model", "version", "step", "position", "profile", "column_name", "aggregate", "value", "present",
            "missing", "partial", "better", "unit",
        ),
    ),
    View(
        "v_scores",
        row="score that somebody reports",
        question="what the numbers are compared with",
        columns=(
            "model", "version", "layer", "digest", "name", "dataset", "value", "low", "high", "unit", "better",
            "source",
        ),
    ),
    View(
        "v_series",
        row="member of a series",
        question="which models are one family",
        columns=("series", "model", "version", "is_reported"),
    ),
    View(
        "v_reported",
        row="value in a table of others",
        question="what others report about models and layers",
        columns=(
            "source", "provider", "table_row", "model", "version", "layer", "column_name", "metric", "metric_version",
            "parameters", "value", "text", "state", "reason", "better", "unit",
        ),
    ),
)  # fmt: skip
