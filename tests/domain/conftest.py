"""Reports made of a few numbers."""

import pytest

from ww_core.domain.comparability import Side
from ww_core.domain.outcome import Outcome, State
from ww_core.domain.report import (
    Aggregate,
    AnalysisReport,
    Coverage,
    LayerRow,
    MatrixRow,
    ReportColumn,
    RunInfo,
)

BETTER = {"alpha": "lower", "quality": "higher", "count": "none", "warning": "none", "short": "none", "total": "lower"}
TYPES = {"warning": "text", "short": "bool"}
SCOPES = {"std": "layer", "total": "model"}


def outcome_of(value):
    """A value as it is; an outcome too; None for what could not be computed."""
    if isinstance(value, Outcome):
        return value
    if isinstance(value, bool):
        return Outcome(State.OK, number=value)
    return Outcome(State.REFUSED, reason="1 of 2 weights is NaN") if value is None else Outcome.of(value)


def column_of(name, version="1", extractors="pool"):
    scope = SCOPES.get(name, "matrix")
    return ReportColumn(
        name=name,
        scope=scope,
        metric=f"test:{name}",
        version=version,
        variant=f"{name} {version} {extractors}",
        type=TYPES.get(name, "float"),
        better=BETTER.get(name, "none"),
        unit="",
        identity=f"{name} {version}",
        column=name,
    )


def report_of(layers, *, wholes=(), model=(), versions=(), state="done", unread=0, provisional=False, secondary=()):
    """A report of ``{layer: {column: value}}``; ``versions`` says which columns are of another version."""
    versions = dict(versions)
    rows = {name: {label: outcome_of(value) for label, value in own.items()} for name, own in layers.items()}
    wholes = {name: {label: outcome_of(value) for label, value in own.items()} for name, own in dict(wholes).items()}
    model = {label: outcome_of(value) for label, value in dict(model).items()}
    labels = dict.fromkeys(
        label for own in (*rows.values(), *dict(secondary).values(), *wholes.values(), model) for label in own
    )
    columns = tuple(column_of(label, versions.get(label, "1")) for label in labels)

    def row(name, metrics, extractor, *, is_primary):
        return MatrixRow(name, "dense", (4, 3), 1, "", extractor, extractor, 0, 4, 3, metrics, is_primary=is_primary)

    numbers = {
        column.name: Aggregate.of([own[column.name] for own in found if column.name in own])
        for column in columns
        if column.type in {"float", "int"}
        for found in [{"matrix": rows.values(), "layer": wholes.values(), "model": [model]}[column.scope]]
    }
    return AnalysisReport(
        source="net.safetensors",
        model="net",
        version="1",
        digest="ab" * 32,
        run=RunInfo(1, "default", state, 1, 0, 0.5),
        coverage=Coverage(24, 24, len(rows), 0, 0, 0, 0, unread, ()),
        columns=columns,
        layers=(
            *(row(name, metrics, "pool", is_primary=True) for name, metrics in rows.items()),
            *(
                row(name, {label: outcome_of(value) for label, value in own.items()}, "slice", is_primary=False)
                for name, own in dict(secondary).items()
            ),
        ),
        layer_metrics=tuple(LayerRow(name, "dense", (4, 3), 1, metrics) for name, metrics in wholes.items()),
        model_metrics=model,
        summary=numbers,
        headline=(),
        provisional=provisional,
    )


@pytest.fixture(scope="session")
def made_report():
    """Makes a report of ``{layer: {column: value}}``."""
    return report_of


@pytest.fixture(scope="session")
def judged():
    """Judges one rule, of a candidate and perhaps a baseline, which are reports or what they are made of."""
    from ww_core.domain.rules.judge import judge
    from ww_core.domain.rules.reading import parse_rule

    def verdict_on(rule, candidate, baseline=None):
        sides = [
            own if own is None else Side(name, own if isinstance(own, AnalysisReport) else report_of(own))
            for name, own in (("new", candidate), ("old", baseline))
        ]
        (verdict,) = judge([parse_rule(rule)], *sides)
        return verdict

    return verdict_on
