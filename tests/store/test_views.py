"""The views that people ask: one value at each place, the words of the reports, on both databases."""

import math
import re

import pytest
from sqlalchemy import text

import ww_core as ww
from ww_core.store import tables
from ww_core.store.store import open_store

COLUMNS = {
    "v_metrics": "model, version, step, position, created_at, digest, profile, scope, layer, extractor, matrix_index, "
    "column_name, value, text, state, better, unit",
    "v_values": "model, version, step, position, scope, layer, extractor, extractor_version, extractor_parameters, "
    "matrix_index, column_name, metric, metric_version, parameters, needs, identity, subject, value, text, state, "
    "reason, better, unit",
    "v_models": "model, version, step, position, place, is_newest, created_at, digest, provisional, parameters, "
    "format, source, series",
    "v_summaries": "model, version, step, position, profile, column_name, aggregate, value, present, missing, "
    "partial, better, unit",
    "v_scores": "model, version, layer, digest, name, dataset, value, low, high, unit, better, source",
    "v_series": "series, model, version, is_reported",
    "v_reported": "source, provider, table_row, model, version, layer, column_name, metric, metric_version, "
    "parameters, value, text, state, reason, better, unit",
}
PIVOT = """
    SELECT layer,
        sum(CASE WHEN version = 'a' THEN value END) AS a, count(CASE WHEN version = 'a' THEN 1 END) AS of_a,
        sum(CASE WHEN version = 'b' THEN value END) AS b, count(CASE WHEN version = 'b' THEN 1 END) AS of_b
    FROM v_metrics
    WHERE model = 'net' AND profile = 'default' AND column_name = 'alpha'
    GROUP BY layer
"""
METRICS = ("alpha", "warning", "with_bias", "unfit", "lost", "weight_mean", "log_prod_spectral_norm")


@ww.metric(version="1")
def with_bias(singular_values, bias):
    """A value of a matrix that needs more of the layer than its weight."""
    return singular_values[0] + bias[0]


@ww.metric(version="1")
def unfit(singular_values):
    """Never to be trusted."""
    raise ww.Refused("not today")


@ww.metric(version="1")
def lost(singular_values):
    """Never to be had."""
    raise ZeroDivisionError


class Plugin:
    """Metrics of every kind, and two profiles: one matrix a layer, and several."""

    @ww.hookimpl
    def ww_register_metrics(self):
        return [with_bias, unfit, lost]

    @ww.hookimpl
    def ww_register_profiles(self):
        return [
            ww.Profile(name="all-kinds", description="One matrix.", metrics=METRICS),
            ww.Profile(name="many", description="Several.", convolution_extractor="slice", metrics=METRICS),
        ]


def asked(location, query, **parameters):
    with open_store(location, mode="read") as store, store._reading() as connection:
        return [tuple(row) for row in connection.execute(text(query), parameters)]


@pytest.fixture
def experiments(store_url, weights):
    """Two versions that share layers, each analysed as its profile says, then in every other way into the same store.

    Returns the reports of the first analyses by version.
    """
    shared, own = weights["first.weight"][:12, :9], weights["conv.weight"]
    versions = {name: {"first.weight": shared, "conv.weight": own**power} for name, power in {"a": 1, "b": 3}.items()}
    with open_store(store_url) as store:
        reports = {name: ww.analyze(own, store=store, name="net", version=name) for name, own in versions.items()}
        for name, own in versions.items():
            here = {"store": store, "name": "net", "version": name}
            ww.analyze(own, **here, parameters={"power_law.ks": "two-sided"})
            ww.analyze(own, **here, extractors=["slice", "fft[n=4]"], metrics=["alpha"])
            ww.analyze(own, **here, profile="weightwatcher")
            ww.analyze(own, **here, layers=["conv"], metrics=["alpha", "D"])
        ww.analyze(versions["a"], store=store, name="other", version="a")
    return reports


def test_a_pivot_has_one_value_at_each_place_whatever_else_was_analysed(store_url, experiments):
    rows = {layer: cells for layer, *cells in asked(store_url, PIVOT)}
    alpha = {name: {row.name: row.metrics["alpha"].number for row in own.layers} for name, own in experiments.items()}
    assert set(alpha["a"]) == {"first", "conv"}
    assert alpha["a"]["conv"] != alpha["b"]["conv"]
    assert rows == {layer: [alpha["a"][layer], 1, alpha["b"][layer], 1] for layer in alpha["a"]}
    pandas = pytest.importorskip("pandas")
    query = "SELECT * FROM v_metrics WHERE model = 'net' AND profile = 'default' AND column_name = 'alpha'"
    with open_store(store_url, mode="read") as store, store._reading() as connection:
        frame = pandas.read_sql(text(query), connection)
    table = frame.pivot(index="layer", columns="version", values="value")  # it refuses two values at one place
    assert {name: dict(table[name]) for name in table} == alpha


def rows_of(report, profile):
    """What v_metrics is to show of a report: every value that is not missing, at its place."""
    places = [
        *(("matrix", row.name, row.extractor, row.index, row.metrics) for row in report.layers),
        *(("layer", row.name, None, None, row.metrics) for row in report.layer_metrics),
        ("model", None, None, None, report.model_metrics),
    ]
    return {
        (profile, *place, label, str(outcome.state)): outcome.number if outcome.text is None else outcome.text
        for *place, metrics in places
        for label, outcome in metrics.items()
        if str(outcome.state) != "failed"
    }


def test_every_value_of_a_report_is_a_row(store_url, weights):
    tied = weights | {"tied.weight": weights["first.weight"], "tied.bias": weights["first.bias"] + 1}
    with open_store(store_url) as store:
        reports = {
            name: ww.analyze(tied, store=store, name="net", version="a", profile=name, plugins=[Plugin()])
            for name in ("default", "many", "all-kinds")
        }
        ww.analyze(weights, store=store, name="net", version="b", profile="many", plugins=[Plugin()])
    expected = {}
    for name, report in reports.items():
        expected |= rows_of(report, name)
    found = asked(
        store_url,
        "SELECT profile, scope, layer, extractor, matrix_index, column_name, state, coalesce(value, 0), text"
        " FROM v_metrics WHERE model = 'net' AND version = 'a'",
    )
    assert len(found) == len(expected)
    shown = {tuple(row): number if words is None else words for *row, number, words in found}
    assert shown == {key: 0 if value is None else value for key, value in expected.items()}
    states = {(row[5], row[6]) for row in found}
    assert ("unfit", "refused") in states
    assert "lost" not in {column for column, _ in states}
    assert {row[3:5] for row in found if row[2] == "conv"} == {
        ("pool", 0),
        (None, None),
        *(("slice", i) for i in range(9)),
    }
    with_bias = {row[2]: row[7] for row in found if row[5] == "with_bias" and row[0] == "all-kinds"}
    assert with_bias["first"] != with_bias["tied"]


def test_a_profile_is_called_as_in_the_newest_run(store_url, weights):
    class Renamed:
        def __init__(self, name):
            self.name = name

        @ww.hookimpl
        def ww_register_profiles(self):
            return [ww.Profile(name=self.name, description="Its own.", metrics=("alpha",), key="own:profile")]

    for name in ("before", "after"):
        ww.analyze(weights, store=store_url, name="net", profile=name, plugins=[Renamed(name)])
    assert asked(store_url, "SELECT DISTINCT profile FROM v_metrics") == [("after",)]


def test_values_show_every_variant_and_what_it_is(store_url, experiments):
    found = asked(
        store_url,
        "SELECT extractor, extractor_parameters, parameters, value FROM v_values"
        " WHERE model = 'net' AND version = 'a' AND layer = 'conv' AND column_name = 'alpha' AND matrix_index = 0",
    )
    assert len({row[:3] for row in found}) == len(found)
    ways = {(extractor, '"ks":"two-sided"' in ks, '"ties":"exact"' in ks) for extractor, _, ks, _ in found}
    pool, cut, grid = "ww.extractors:pool", "ww.extractors:slice", "ww.extractors:fft"
    assert ways >= {(pool, False, False), (pool, True, False), (pool, False, True), (cut, False, False)}
    assert (grid, '{"n":4}') in {row[:2] for row in found}
    own = next(row.metrics["alpha"].number for row in experiments["a"].layers if row.name == "conv")
    assert own in [row[3] for row in found]


def test_no_two_values_are_told_apart_by_nothing(store_url, experiments):
    for view, value in {"v_metrics": "value, text", "v_values": "value, text, reason", "v_summaries": "value"}.items():
        told = [name for name in COLUMNS[view].split(", ") if name not in value.split(", ")]
        places = asked(store_url, f"SELECT {', '.join(told)} FROM {view}")
        assert len(places) == len(set(places)) > 0


def test_models_are_in_their_order(store_url, weights):
    with open_store(store_url) as store:
        for version in ("checkpoint-500", "checkpoint-1000", "checkpoint-20"):
            ww.analyze(weights, store=store, name="net", version=version, metrics=["alpha"], series="nets, small")
        for version, series in {"step-5": "loose ones", "z": "all", "step-1": "all"}.items():  # not all have a step
            ww.analyze(weights, store=store, name="loose", version=version, metrics=["alpha"], series=series)
    found = asked(store_url, "SELECT model, version, place, is_newest, series FROM v_models ORDER BY model, place")
    assert [(model, version, place) for model, version, place, _, _ in found] == [
        ("loose", "step-5", 1),
        ("loose", "z", 2),
        ("loose", "step-1", 3),
        ("net", "checkpoint-20", 1),
        ("net", "checkpoint-500", 2),
        ("net", "checkpoint-1000", 3),
    ]
    assert [version for _, version, _, is_newest, _ in found if is_newest] == ["step-1", "checkpoint-1000"]
    assert {(model, series) for model, *_, series in found} == {("net", "nets, small"), ("loose", "all, loose ones")}
    newest = asked(store_url, "SELECT version FROM v_models WHERE model = 'net' AND is_newest")
    assert newest == [("checkpoint-1000",)]
    with open_store(store_url, mode="read") as store:
        assert [(own.model, own.version) for own in store.versions()] == [row[:2] for row in found]


def test_summaries_are_those_of_the_profile(store_url, experiments):
    found = asked(
        store_url,
        "SELECT version, aggregate, value, present, missing, partial FROM v_summaries"
        " WHERE model = 'net' AND profile = 'default' AND column_name = 'alpha'",
    )
    assert len(found) == 8
    for name, report in experiments.items():
        own = report.summary["alpha"]
        shown = {aggregate: value for version, aggregate, value, *_ in found if version == name}
        assert shown == pytest.approx(own.numbers())
    assert {tuple(row[3:]) for row in found} == {(own.count, own.missing, False)}


def test_scores_stand_beside_the_labels_of_their_checkpoint(store_url, weights):
    report = ww.analyze(weights, store=store_url, name="net", metrics=["alpha"])
    ww.analyze(weights, store=store_url, name="same", metrics=["alpha"])
    forgotten = ww.analyze({"w.weight": weights["first.weight"]}, store=store_url, name="gone", metrics=["alpha"])
    said = {"name": "top-1 error", "dataset": "digits", "source": "a table", "better": "lower", "unit": "%"}
    with open_store(store_url) as store:
        store.add_scores([ww.Score("net", value=5.0, low=4.5, high=5.5, **said), ww.Score("gone", value=7.0, **said)])
        store.add_scores([ww.Score("VGG11", value=9.0, **said)], without_weights=True)
        store.forget("gone")
    found = asked(store_url, "SELECT model, version, digest, value, low, unit FROM v_scores ORDER BY value, model")
    assert found == [
        ("net", "1", report.digest, 5.0, 4.5, "%"),
        ("same", "1", report.digest, 5.0, 4.5, "%"),
        (None, None, forgotten.digest, 7.0, None, "%"),
        ("VGG11", None, None, 9.0, None, "%"),
    ]


@pytest.mark.parametrize("view", COLUMNS)
def test_columns_need_no_quotes(store_url, view):
    with open_store(store_url) as store, store._reading() as connection:
        names = ", ".join(connection.execute(text(f"SELECT * FROM {view}")).keys())
        assert names == COLUMNS[view]
        for name in names.split(", "):
            connection.execute(text(f"SELECT {name} FROM {view} WHERE {name} IS NULL ORDER BY {name}"))


QUERIES = {
    "a column of a model": "SELECT * FROM v_metrics WHERE model = 'net' AND column_name = 'alpha'",
    "a pivot": PIVOT,
    "a layer": "SELECT * FROM v_metrics WHERE model = 'net' AND version = 'a' AND layer = 'conv'",
    "the newest": "SELECT layer, value FROM v_metrics JOIN v_models USING (model, version)"
    " WHERE model = 'net' AND column_name = 'alpha' AND is_newest",
    "two versions": "SELECT * FROM v_metrics AS one JOIN v_metrics AS other USING (layer, profile, column_name)"
    " WHERE one.model = 'net' AND one.version = 'a' AND other.model = 'net' AND other.version = 'b'",
    "every variant": "SELECT * FROM v_values WHERE model = 'net' AND version = 'a' AND column_name = 'alpha'",
    "a summary": "SELECT * FROM v_summaries WHERE model = 'net' AND column_name = 'alpha' AND aggregate = 'mean'",
}


@pytest.mark.parametrize("statistics", [False, True], ids=["no statistics", "statistics"])
def test_sqlite_reads_values_by_their_keys(tmp_path, weights, statistics):
    with open_store(tmp_path / "x.sqlite") as store:
        for name in ("a", "b", "c"):
            ww.analyze(weights, store=store, name="net", version=name)
        with store._writing() as connection:
            if statistics:
                connection.execute(text("ANALYZE"))
        with store._reading() as connection:
            for name, query in QUERIES.items():
                steps = [row.detail for row in connection.execute(text(f"EXPLAIN QUERY PLAN {query}"))]
                values = [step for step in steps if re.match(r"(SCAN|SEARCH) value\b", step)]
                assert values or "v_summaries" in query, name
                assert {step.partition("=")[0] for step in values} <= {"SEARCH value USING PRIMARY KEY (subject_id"}, (
                    name
                )
                # With statistics, tables of a few rows are scanned.
                scanned = {step.split()[1] for step in steps if step.startswith("SCAN")}
                assert statistics or not scanned & set(tables.metadata.tables) - {"label"}, (name, steps)
                made_first = [step for step in steps if step.endswith("v_metrics")]  # a list of the whole answer
                assert name != "a column of a model" or made_first == []


def test_a_view_shows_what_the_report_shows_whatever_an_extractor_does(tmp_path, weights):
    class Fickle(ww.Extractor):
        """Makes three matrices of a convolution, then two, then none."""

        name = "fickle"
        version = "1"
        count = 3

        def plan(self, layer):
            if not self.count:
                raise RuntimeError("it fell over")
            return ww.MatrixPlan(matrices=self.count, entries=1, rows=layer.shape[0], cols=layer.shape[1])

        def matrices(self, weight, layer):
            for index in range(self.count):
                yield ww.Matrix(index, weight[None, :, :, 0, index])

    class Plugin:
        @ww.hookimpl
        def ww_register_extractors(self):
            return [Fickle]

        @ww.hookimpl
        def ww_register_profiles(self):
            chosen = ("alpha", "weight_mean")
            return [ww.Profile("fickle", "Of a test.", convolution_extractor="fickle", metrics=chosen)]

    store = tmp_path / "s.sqlite"
    for count, shown in ((3, 3), (2, 2), (0, 2)):  # what it made once stays when it fails
        Fickle.count = count
        report = ww.analyze(weights, store=store, name="net", version="1", profile="fickle", plugins=[Plugin()])
        assert sum(row.name == "conv" for row in report.layers) == shown
        for scope, label in (("matrix", "alpha"), ("layer", "weight_mean")):
            rows = [(row["layer"], row[label]) for row in report.rows(scope)]
            with open_store(store, mode="read") as opened:
                found = opened.values([label], scope=scope, profile="fickle")
            numbers = [None if math.isnan(number) else number for number in found.numbers[label]]
            assert rows == list(zip(found.places["layer"], numbers, strict=True))
            query = f"SELECT layer, value FROM v_metrics WHERE profile = 'fickle' AND column_name = '{label}'"
            assert sorted(asked(str(store), query), key=str) == sorted(rows, key=str)
