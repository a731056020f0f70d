"""A report that was written is read again; anything else is one sentence that names the field."""

import copy
import json
import math
from dataclasses import fields, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ww_core.domain.outcome import Outcome, State
from ww_core.domain.report import (
    Aggregate,
    AnalysisReport,
    Coverage,
    Failure,
    LayerRow,
    MatrixRow,
    ReportColumn,
    RunInfo,
    Skip,
)
from ww_core.errors import CorruptFileError

texts = st.text(max_size=8)
counts = st.integers(0, 2**63 - 1)
numbers = st.floats(allow_nan=False, allow_infinity=False)
no_values = st.builds(
    lambda state, reason: Outcome(state, reason=reason), st.sampled_from([s for s in State if s is not State.OK]), texts
)
outcomes = {
    "float": st.one_of(no_values, numbers.map(lambda own: Outcome(State.OK, number=own))),
    "int": st.one_of(no_values, st.integers(-(2**53), 2**53).map(lambda own: Outcome(State.OK, number=own))),
    "bool": st.one_of(no_values, st.booleans().map(lambda own: Outcome(State.OK, number=own))),
    "text": st.one_of(no_values, texts.map(lambda own: Outcome(State.OK, text=own))),
}
columns = st.builds(
    ReportColumn,
    **{own.name: texts for own in fields(ReportColumn)}
    | {
        "scope": st.sampled_from(["matrix", "layer", "model"]),
        "type": st.sampled_from(["float", "int", "bool", "text"]),
        "better": st.sampled_from(["lower", "higher", "none"]),
    },
)


@st.composite
def reports(draw):
    own = draw(st.lists(columns, max_size=4, unique_by=lambda column: column.name))

    def metrics(scope):
        return st.fixed_dictionaries({}, optional={c.name: outcomes[c.type] for c in own if c.scope == scope})

    place = {
        "name": texts,
        "kind": texts,
        "shape": st.lists(counts, max_size=3).map(tuple),
        "groups": st.integers(1, 9),
    }
    sides = {"N": st.integers(1, 2**40), "M": st.integers(1, 2**40), "index": counts, "is_primary": st.booleans()}
    matrix = st.builds(
        MatrixRow,
        **place | sides | {"split": texts, "extractor": texts, "extractor_identity": texts},
        metrics=metrics("matrix"),
    )
    aggregate = st.builds(Aggregate, *[st.none() | numbers] * 4, counts, counts)
    averaged = [column.name for column in own if column.type in {"float", "int"}]
    return AnalysisReport(
        source=draw(texts),
        model=draw(texts),
        version=draw(texts),
        digest=draw(texts),
        run=draw(st.builds(RunInfo, counts, texts, texts, counts, counts, numbers)),
        coverage=draw(
            st.builds(Coverage, *[counts] * 8, st.lists(st.builds(Skip, texts, texts), max_size=2).map(tuple))
        ),
        columns=tuple(own),
        layers=tuple(
            draw(st.lists(matrix, max_size=3, unique_by=lambda row: (row.name, row.extractor_identity, row.index)))
        ),
        layer_metrics=tuple(
            draw(
                st.lists(
                    st.builds(LayerRow, **place, metrics=metrics("layer")), max_size=2, unique_by=lambda row: row.name
                )
            )
        ),
        model_metrics=draw(metrics("model")),
        summary=draw(st.fixed_dictionaries({}, optional=dict.fromkeys(averaged, aggregate))),
        headline=tuple(draw(st.lists(st.sampled_from(own), max_size=2))[0:1] and [own[0].name]) if own else (),
        failures=tuple(draw(st.lists(st.builds(Failure, texts, texts, texts, texts), max_size=2))),
        warnings=tuple(draw(st.lists(texts, max_size=2))),
        chosen_layers=tuple(draw(st.lists(texts, max_size=2))),
        provisional=draw(st.booleans()),
        store=draw(texts),
    )


@settings(deadline=None)
@given(reports())
def test_what_was_written_is_read_again(report):
    content = report.to_dict()
    assert AnalysisReport.from_dict(content) == report
    through_json = json.loads(json.dumps(content, allow_nan=False))
    again = AnalysisReport.from_dict(through_json)
    assert again == report
    assert again.to_dict() == content


def test_states_come_back_with_their_reasons(made_report):
    values = {"nan": math.nan, "inf": math.inf, "minus": -math.inf, "no": None, "seven": 7}
    report = made_report({"a": {"alpha": 1.5} | values})
    found = AnalysisReport.from_dict(json.loads(json.dumps(report.to_dict()))).layers[0].metrics
    assert found == report.layers[0].metrics
    assert found["no"] == Outcome(State.REFUSED, reason="1 of 2 weights is NaN")
    assert found["minus"].state is State.NEGATIVE_INF


@pytest.fixture
def content(made_report):
    layers = {"a": {"alpha": 1.5, "warning": "bad", "short": True}, "b": {"alpha": None, "warning": "", "short": False}}
    report = made_report(layers, wholes={"a": {"std": 1.0}}, model={"total": 2.0})
    report = replace(report, failures=(Failure("metric", "p", "a", "m"),), warnings=("w",))
    return json.loads(json.dumps(report.to_dict()))


WRONG = [
    (["source"], 3, "source: a text is expected, not this number"),
    (["provisional"], 1, "provisional: true or false is expected"),
    (["run"], [], "run: an object is expected, not a list"),
    (["run", "id"], -1, "run.id: a whole number from 0 on is expected"),
    (["run", "id"], True, "run.id: a whole number from 0 on is expected, not true"),
    (["run", "id"], 10**40, "run.id: a whole number from 0 on is expected"),
    (["run", "seconds"], "fast", "run.seconds: a number is expected, not a text"),
    (["run", "seconds"], math.inf, "run.seconds: the number is not finite"),
    (["run", "seconds"], math.nan, "run.seconds: the number is not finite"),
    (["run", "seconds"], 10**400, "run.seconds: the number is too large"),
    (["coverage", "layers", "unread"], None, "coverage.layers.unread: a whole number from 0 on is expected, not null"),
    (["coverage", "skipped"], {}, "coverage.skipped: a list is expected, not an object"),
    (["columns", 0, "better"], "up", "columns[0].better: 'up' is none of lower, higher, none"),
    (["columns", 0, "type"], "complex", "columns[0].type: 'complex' is none of float, int, bool, text"),
    (["columns", 0, "scope"], "net", "columns[0].scope: 'net' is none of matrix, layer, model"),
    (["columns", 1, "name"], "alpha", "columns: the column 'alpha' is there 2 times"),
    (["headline"], ["nothing"], "headline[0]: 'nothing' is none of alpha"),
    (["layers", 0, "N"], 0, "layers[0].N: a whole number from 1 on is expected"),
    (["layers", 0, "shape"], ["4"], "layers[0].shape[0]: a whole number"),
    (["layers", 0, "metrics", "alpha"], [1.5], "layers[0].metrics.alpha: a number is expected, not a list"),
    (["layers", 0, "metrics", "alpha"], True, "layers[0].metrics.alpha: a number is expected, not true"),
    (["layers", 0, "metrics", "alpha"], None, "layers[0].metrics.alpha: it is null, and no state says why"),
    (["layers", 0, "metrics", "other"], 1.0, "layers[0].metrics.other: `columns` has no column of this scope"),
    (["layers", 0, "metrics", "total"], 1.0, "layers[0].metrics.total: `columns` has no column of this scope"),
    (["layers", 0, "metrics", "warning"], 1.0, "layers[0].metrics.warning: a text is expected"),
    (["layers", 0, "metrics", "short"], 1, "layers[0].metrics.short: true or false is expected"),
    (["layers", 0, "states", "alpha"], "nan", "layers[0].states.alpha: a state is told of what has a value"),
    (["layers", 1, "states", "alpha"], "lost: why", "layers[1].states.alpha: 'lost' is no state of a value"),
    (["layers", 1, "states", "alpha"], "ok", "layers[1].states.alpha: 'ok' is no state of a value"),
    (["layers", 0, "a\nb"], 1, None),
    (["layers", 0, "metrics", "a\nb"], 1, "layers[0].metrics.a\\x0ab: "),
    (["summary", "warning"], {}, "summary.warning: `columns` has no column of numbers of this name"),
    (["summary", "alpha", "mean"], "1.5", "summary.alpha.mean: a number is expected"),
    (["summary", "alpha", "count"], 1.5, "summary.alpha.count: a whole number"),
    (["failures", 0], "lost", "failures[0]: an object is expected, not a text"),
    (["warnings", 0], None, "warnings[0]: a text is expected, not null"),
    (["model_metrics"], None, "model_metrics: an object is expected, not null"),
]


@pytest.mark.parametrize(("path", "value", "sentence"), WRONG)
def test_what_is_wrong_is_named_by_its_field(content, path, value, sentence):
    place = content
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    if sentence is None:  # a field of a later version of ww
        AnalysisReport.from_dict(content)
        return
    with pytest.raises(CorruptFileError) as caught:
        AnalysisReport.from_dict(content)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("rows", ["layers", "layer_metrics"])
def test_two_rows_of_one_place_are_refused(content, rows):
    content[rows].append(copy.deepcopy(content[rows][0]))
    name = content[rows][0]["name"]
    with pytest.raises(CorruptFileError, match=rf"{rows}: .*{name}.* is there 2 times$"):
        AnalysisReport.from_dict(content)


def paths(value, path=()):
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, own in items:
        yield from paths(own, (*path, key))


def test_every_field_that_is_missing_or_odd_is_one_error_or_none(content):
    """Nothing but an error of ours comes out, whatever is taken away or put in its place."""
    for path in paths(content):
        for odd in (None, -1, "x", [], {}, [[]], {"a": 1}, 1e300, "remove"):
            changed = copy.deepcopy(content)
            if not path:
                changed = odd
            else:
                place = changed
                for step in path[:-1]:
                    place = place[step]
                if odd == "remove":
                    del place[path[-1]]
                else:
                    place[path[-1]] = odd
            try:
                AnalysisReport.from_dict(changed)
            except CorruptFileError:
                continue


def test_a_missing_field_says_what_to_do(content):
    del content["layers"][1]["extractor_identity"]
    with pytest.raises(
        CorruptFileError, match=r"layers\[1\]: the field 'extractor_identity' is missing: write it anew"
    ):
        AnalysisReport.from_dict(content)
