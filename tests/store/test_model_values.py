"""What columns come to over many models, against the reports, the views and a brute-force oracle, on both databases."""

import math
import statistics
from fnmatch import fnmatchcase

import numpy as np
import pytest
from sqlalchemy import event, text

import ww_core as ww
from ww_core.domain.expressions.arithmetic import Summary, parse_comparison
from ww_core.domain.model_values import ModelChoice, RowChoice
from ww_core.domain.outcome import Outcome, State
from ww_core.store import engine
from ww_core.store.store import open_store

AGGREGATES = ("mean", "median", "min", "max")
ALPHA, RANK = Summary("alpha"), Summary("stable_rank")


def network(seed, *, wide=60, kernel=(1, 3), layers=("conv", "head", "small")):
    """A convolution of several slices, a dense layer, and one that is small."""
    drawn = np.random.default_rng(seed)
    shapes = {"conv": (wide, 52, *kernel), "head": (wide, 56), "small": (20, 12), "extra": (70, 51)}
    return {f"{name}.weight": drawn.standard_t(3, shapes[name]).astype(np.float32) for name in layers}


def plugin(*metrics):
    class Plugin:
        @ww.hookimpl
        def ww_register_metrics(self):
            return list(metrics)

    return Plugin()


def fill(store):
    """Models of two profiles; the last one has more layers than the others."""
    for seed, name in enumerate(("deep", "flat", "tall")):
        layers = ("conv", "head", "small", "extra")[: 4 if name == "tall" else 3]
        for profile in ("default", "trends-2020"):
            ww.analyze(network(seed, layers=layers), store=store, name=name, version="1", profile=profile)
    store.add_to_series("shapes", ["deep", "tall"])


@pytest.fixture
def store(make_copy):
    with open_store(make_copy(fill)) as store:
        yield store


def computed(store, *summaries, profile="default", models=None, rows=None, **more):
    with store.reading() as reader:
        return reader.computed_values(summaries, profile, models or ModelChoice(), rows or RowChoice(), **more)


def reported(store, *summaries, table, models=None, rows=None):
    with store.reading() as reader:
        return reader.reported_values(summaries, table, models or ModelChoice(), rows or RowChoice())


def asked(store, query, **parameters):
    with store._reading() as connection:
        return connection.execute(text(query), parameters).all()


# --- computed here ----------------------------------------------------------------------------------------------------


def test_they_are_the_summaries_of_the_reports_and_of_the_view(store):
    names = [Summary(column, own) for column in ("alpha", "stable_rank", "weight_mean") for own in AGGREGATES]
    for profile in ("default", "trends-2020"):
        known = {column.name for column in store.report("deep", profile).columns}
        summaries = [own for own in names if own.column in known]
        found = computed(store, *summaries, profile=profile)
        assert [row.name for row in found.rows] == ["deep@1", "flat@1", "tall@1"]
        assert [row.series for row in found.rows] == [("shapes",), (), ("shapes",)]
        for own in summaries:
            standing = found.standings[own]
            for at, row in enumerate(found.rows):
                report = store.report(row.model, profile)
                aggregate = report.summary[own.column]
                assert standing.values[at] == getattr(aggregate, own.aggregate)
                assert (standing.present[at], standing.missing[at]) == (aggregate.count, aggregate.missing)
                assert (row.digest, standing.reasons[at]) == (report.digest, "")
            view = asked(
                store,
                "SELECT model, value FROM v_summaries WHERE profile = :p AND column_name = :c AND aggregate = :a",
                p=profile,
                c=own.column,
                a=own.aggregate,
            )
            assert dict(map(tuple, view)) == dict(zip([row.model for row in found.rows], standing.values, strict=True))


def test_a_column_says_what_it_is(store):
    told = computed(store, ALPHA).standings[ALPHA].column
    (column,) = [own for own in store.report("deep", "default").columns if own.name == "alpha"]
    assert (told.name, told.metric, told.metric_version) == ("alpha", column.metric, column.version)
    assert (told.better, told.unit) == (column.better, column.unit)
    assert "depth" in told.caveat


def oracle(store, profile, column, rows, aggregate, model):
    """Sum up the values of the profile's own view of a model, row by row."""
    wanted = [column, *([rows.leave_out] if rows.leave_out else [])]
    table = store.values(wanted, [model], profile=profile)
    primary = {row.extractor for row in store.report(model, profile).layers if row.is_primary}
    sides = {(row.name, row.index): row.M for row in store.report(model, profile).layers if row.is_primary}
    by_layer, missing = {}, 0
    for at, layer in enumerate(table.places["layer"]):
        index = table.places["matrix_index"][at]
        if table.places["extractor"][at] not in primary:
            continue
        if rows.layers and not any(fnmatchcase(layer, glob) for glob in rows.layers):
            continue
        if any(fnmatchcase(layer, glob) for glob in rows.without):
            continue
        if sides[layer, index] < rows.min_m or (rows.leave_out and table.numbers[rows.leave_out][at] == 1):
            continue
        value = table.numbers[column][at]
        if math.isnan(value):
            missing += 1
        else:
            by_layer.setdefault(layer, []).append(value)
    if rows.over == "layers":
        numbers = [statistics.fmean(own) for own in by_layer.values()]
    else:
        numbers = [value for own in by_layer.values() for value in own]
    summed = {"mean": statistics.fmean, "median": statistics.median, "min": min, "max": max}[aggregate]
    return (summed(numbers) if numbers else math.nan), len(numbers), missing


CHOICES = [
    RowChoice(over="layers"),
    RowChoice(layers=("conv",)),
    RowChoice(layers=("c*", "h??d")),
    RowChoice(without=("head",)),
    RowChoice(without=("h*",), over="layers"),
    RowChoice(min_m=13),
    RowChoice(min_m=54),
    RowChoice(min_m=1000),
    RowChoice(leave_out="short_tail"),
    RowChoice(layers=("conv", "head"), leave_out="short_tail", min_m=20, over="layers"),
]


@pytest.mark.parametrize("profile", ["default", "trends-2020"])
def test_every_choice_of_rows_is_what_an_oracle_says(store, profile):
    known = {column.name for column in store.report("deep", profile).columns}
    for rows in CHOICES:
        if rows.leave_out and rows.leave_out not in known:
            continue
        for aggregate in AGGREGATES:
            own = Summary("alpha", aggregate)
            standing = computed(store, own, profile=profile, rows=rows).standings[own]
            for at, model in enumerate(("deep", "flat", "tall")):
                value, present, missing = oracle(store, profile, "alpha", rows, aggregate, model)
                np.testing.assert_allclose(standing.values[at], value, rtol=1e-14)
                assert (standing.present[at], standing.missing[at]) == (present, missing), (rows, model)
                assert bool(standing.reasons[at]) == math.isnan(value)


def test_the_slices_of_a_layer_are_one_layer(store):
    values = {over: computed(store, RANK, profile="trends-2020", rows=RowChoice(over=over)) for over in ("layers",)}
    each = store.values("stable_rank", ["deep"], profile="trends-2020")
    counts = [int((each.places["layer"] == layer).sum()) for layer in ("conv", "head")]
    assert counts == [3, 1]
    assert values["layers"].standings[RANK].present[0] == len(set(each.places["layer"]))


def test_whole_layers_are_chosen_by_name_but_have_no_side(store):
    mean = Summary("weight_mean")
    found = computed(store, mean, rows=RowChoice(layers=("conv", "head"))).standings[mean]
    each = store.values("weight_mean", ["deep"], scope="layer")
    chosen = [
        value
        for layer, value in zip(each.places["layer"], each.numbers["weight_mean"], strict=True)
        if layer != "small"
    ]
    assert found.values[0] == pytest.approx(statistics.fmean(chosen))
    for rows, sentence in ((RowChoice(min_m=5), "M is the smaller"), (RowChoice(leave_out="short_tail"), "of scope")):
        with pytest.raises(ww.UsageError, match=sentence):
            computed(store, mean, rows=rows)


def test_wrong_choices_of_rows_are_one_sentence(store):
    for summary, rows, words in (
        (ALPHA, RowChoice(layers=("cnov",)), "unknown layer 'cnov': did you mean conv"),
        (ALPHA, RowChoice(without=("embed*",)), "unknown layer 'embed"),
        (ALPHA, RowChoice(leave_out="short"), "unknown bool column 'short': did you mean short_tail"),
        (Summary("log_prod_spectral_norm"), RowChoice(layers=("conv",)), "describes whole models"),
        (Summary("alhpa"), RowChoice(), "did you mean alpha"),
        (Summary("warning"), RowChoice(), "holds texts"),
    ):
        with pytest.raises(ww.UsageError, match=words) as caught:
            computed(store, summary, rows=rows)
        assert "\n" not in str(caught.value)


def test_models_are_chosen_by_globs_and_series(store):
    for models, kept in (
        (ModelChoice(models=("t*", "deep")), ["deep", "tall"]),
        (ModelChoice(without=("*l*",)), ["deep"]),
        (ModelChoice(series=("shapes",)), ["deep", "tall"]),
        (ModelChoice(series=("shapes",), without=("deep",)), ["tall"]),
    ):
        assert [row.model for row in computed(store, ALPHA, models=models).rows] == kept
    for models, error, words in (
        (ModelChoice(models=("dep",)), ww.UnknownNameError, "did you mean deep"),
        (ModelChoice(without=("x*",)), ww.UnknownNameError, "unknown model 'x"),
        (ModelChoice(series=("shape",)), ww.UnknownNameError, "unknown series 'shape': did you mean shapes"),
        (ModelChoice(models=("flat",), series=("shapes",)), ww.NotStoredError, "no stored model is left"),
    ):
        with pytest.raises(error, match=words):
            computed(store, ALPHA, models=models)


def test_the_newest_version_is_the_one_of_the_highest_step(store_url):
    with open_store(store_url) as store:
        for step, seed in ((300, 1), (100, 2), (200, 3)):
            ww.analyze(network(seed), store=store, name="net", version=f"step-{step}")
            store.set_step(f"net@step-{step}", step)
        assert [row.version for row in computed(store, ALPHA).rows] == ["step-300"]
        every = computed(store, ALPHA, every_version=True)
        assert [row.version for row in every.rows] == ["step-100", "step-200", "step-300"]
        ww.analyze(network(4), store=store, name="net", version="final")  # one without a step: by recording, then
        assert [row.version for row in computed(store, ALPHA).rows] == ["final"]


def test_models_of_equal_content_stand_side_by_side(store_url):
    with open_store(store_url) as store:
        for name in ("one", "two"):
            ww.analyze(network(1), store=store, name=name)
        for rows in (RowChoice(), RowChoice(layers=("conv",))):
            found = computed(store, ALPHA, rows=rows)
            assert [row.model for row in found.rows] == ["one", "two"]
            assert found.rows[0].digest == found.rows[1].digest
            assert found.standings[ALPHA].values[0] == found.standings[ALPHA].values[1]


def test_what_may_not_be_compared_has_a_reason_and_no_value(store_url):
    @ww.metric(version="1", better="lower")
    def bar(singular_values):
        """The first one."""
        return float(singular_values[0])

    @ww.metric(version="1")
    def lost(singular_values, n_rows):
        """Of one layer there is none."""
        if n_rows == 20:
            raise ZeroDivisionError
        return 1.0

    newer = ww.metric(version="2", better="lower", name="bar")(lambda singular_values: float(singular_values[1]))
    old, new = plugin(bar, lost), plugin(newer, lost)
    with open_store(store_url) as store:
        for seed, name in enumerate(("a", "b")):
            ww.analyze(network(seed), store=store, name=name, plugins=[old])
        ww.analyze(network(2), store=store, name="c", plugins=[new])
        ww.analyze(network(3), store=store, name="d", metrics=["alpha"])  # narrowed: never in force
        ww.analyze(network(4), store=store, name="e", plugins=[plugin(lost)])
        ww.analyze(network(5), store=store, name="f", profile="weightwatcher")
        found = computed(store, Summary("bar"), Summary("lost"))
        reasons = {
            column: dict(zip("abcdef", found.standings[Summary(column)].reasons, strict=True))
            for column in ("bar", "lost")
        }
        values = dict(zip("abcdef", found.standings[Summary("bar")].values, strict=True))
        for rows in (RowChoice(), RowChoice(layers=("head",))):
            again = computed(store, Summary("lost"), rows=rows).standings[Summary("lost")]
            assert np.isnan(again.values).all()
            assert again.reasons[0].startswith("partial")
    assert [name for name, reason in reasons["bar"].items() if not reason] == ["a", "b"]
    assert reasons["bar"]["c"].startswith("version 2 of the metric, most have 1")
    assert reasons["bar"]["d"] == reasons["bar"]["f"] == "no complete analysis under this profile"
    assert reasons["bar"]["e"].startswith("its analysis lacks this column")
    assert reasons["lost"]["a"].startswith("partial")
    assert [name for name, value in values.items() if math.isfinite(value)] == ["a", "b"]


def test_another_variant_of_a_column_has_no_value(store_url):
    with open_store(store_url) as store:
        for name in ("a", "b"):
            ww.analyze(network(1), store=store, name=name)
        (default, other) = (own for own in ("default", "weightwatcher"))
        ww.analyze(network(2), store=store, name="c", profile=other)
        found = computed(store, ALPHA, profile=default).standings[ALPHA]
        assert found.reasons == ("", "", "no complete analysis under this profile")
        assert computed(store, ALPHA, profile=other).standings[ALPHA].reasons[2] == ""


def test_weights_that_could_not_be_read_are_not_ranked(store_url):
    with open_store(store_url) as store:
        ww.analyze(network(1), store=store, name="a")
        with store._writing() as connection:
            connection.execute(text("UPDATE checkpoint SET provisional = :yes"), {"yes": True})
        found = computed(store, ALPHA).standings[ALPHA]
    assert np.isnan(found.values[0])
    assert found.reasons == ("some of its weights could not be read",)


def test_what_counts_nowhere_has_no_value(store):
    found = computed(store, ALPHA, rows=RowChoice(layers=("extra",))).standings[ALPHA]
    assert [bool(reason) for reason in found.reasons] == [True, True, False]
    assert found.reasons[0] == "no value: nothing counts"


def test_a_store_without_models_says_so(store_url):
    with open_store(store_url) as store:
        with pytest.raises(ww.NotStoredError, match="no model is stored here"):
            computed(store, ALPHA)
        ww.analyze(network(1), store=store, name="net")
        with pytest.raises(ww.NotStoredError, match="no complete analysis under profile 'weightwatcher'"):
            computed(store, ALPHA, profile="weightwatcher")


def statements_of(store, ask):
    """The statements that a question sends to the database."""
    sent = []
    with store.reading() as reader:
        connection = reader._connection
        if connection.dialect.name == "sqlite":
            driver = engine.driver_of(connection)
            driver.set_trace_callback(sent.append)
            ask(reader)
            driver.set_trace_callback(None)
        else:
            event.listen(connection, "before_cursor_execute", lambda *told: sent.append(told[2]))
            ask(reader)
    return [" ".join(own.split()) for own in sent]


def test_no_row_of_a_layer_is_read_unless_a_filter_asks_for_it(store):
    def tables(rows):
        sent = statements_of(store, lambda reader: reader.computed_values([ALPHA, RANK], "default", rows=rows))
        assert sent
        return {name for name in ("value", "matrix_subject", "layer", "coverage") for own in sent if reads(own, name)}

    def reads(statement, name):
        return f"FROM {name} " in f"{statement} " or f"JOIN {name} " in statement

    assert tables(RowChoice()) == set()
    assert tables(RowChoice(min_m=3)) >= {"value", "matrix_subject", "layer", "coverage"}


def test_questions_take_as_many_statements_for_many_models_as_for_few(store_url):
    def count(store):
        return len(statements_of(store, lambda reader: reader.computed_values([ALPHA], "default")))

    with open_store(store_url) as store:
        ww.analyze(network(0, layers=("head",)), store=store, name="net-0")
        one = count(store)
        for seed in range(1, 12):
            ww.analyze(network(seed, layers=("head",)), store=store, name=f"net-{seed}")
        assert count(store) == one


def test_conditions_keep_models_whose_values_hold(store):
    found = computed(store, ALPHA, Summary("stable_rank", "max"))
    largest = found.standings[Summary("stable_rank", "max")].values
    limit = float(np.median(largest))
    kept = found.where(parse_comparison(f"max(stable_rank) < {limit!r}"))
    assert [row.model for row in kept.rows] == [
        row.model for row, own in zip(found.rows, largest, strict=True) if own < limit
    ]
    assert len(kept.standings[ALPHA].values) == len(kept) == len(kept.standings[ALPHA].reasons) == 1


# --- reported by others -----------------------------------------------------------------------------------------------


def column(name, **more):
    told = {"metric": f"paper:{name}", "version": "1", "definition": f"What the paper calls {name}."}
    return ww.ReportedColumn(name, **(told | more))


COLUMNS = (
    column("alpha", better="lower", caveat="It does not order networks that differ in depth."),
    column("log_norm"),
    column("short", type="bool"),
    column("M", type="int"),
    column("kind", type="text"),
)


def entry(model, layer="", version="", **values):
    outcomes = {
        name: Outcome(State.REFUSED, reason="no") if value is None else Outcome.of(value)
        for name, value in values.items()
    }
    return ww.ReportedEntry(model, outcomes, version, layer)


def table(source, rows, columns=COLUMNS, provider="paper 1", series=None):
    named = {name for row in rows for name in row.values}
    return ww.ReportedTable(
        source, provider, tuple(own for own in columns if own.name in named), tuple(rows), series or {}
    )


def record(store, *tables):
    with store.writing() as writer:
        for own in tables:
            writer.record_reported_table(own)


AVERAGES = table(
    "averages",
    [entry("b", alpha=3.0, log_norm=2.0), entry("a", alpha=2.0, log_norm=None), entry("c", version="2", log_norm=1.0)],
    series={"b": ("nets",)},
)
LAYERS = table(
    "layers",
    [
        entry("x", "conv", alpha=2.0, M=64, short=False, kind="conv"),
        entry("x", "conv", alpha=4.0, M=64, short=False, kind="conv"),
        entry("x", "head", alpha=6.0, M=10, short=True, kind="dense"),
        entry("x", "embed", alpha=None, M=64, short=False, kind="embedding"),
        entry("y", "head", alpha=5.0, M=99, short=False, kind="dense"),
    ],
)


@pytest.fixture
def tables(store_url):
    with open_store(store_url) as store:
        record(store, AVERAGES, LAYERS)
        yield store


def test_what_is_told_of_a_model_counts_as_it_is(tables):
    found = reported(tables, ALPHA, Summary("log_norm"), table="averages")
    assert [(row.name, row.series, row.digest) for row in found.rows] == [
        ("a", (), ""),
        ("b", ("nets",), ""),
        ("c@2", (), ""),
    ]
    alpha, log_norm = (found.standings[own] for own in (ALPHA, Summary("log_norm")))
    np.testing.assert_array_equal(alpha.values, [2.0, 3.0, np.nan])
    np.testing.assert_array_equal(log_norm.values, [np.nan, 2.0, 1.0])
    assert alpha.reasons == ("", "", "averages has no value of it")
    assert (log_norm.present.tolist(), log_norm.missing.tolist()) == ([0, 1, 1], [1, 0, 0])
    assert (alpha.column.better, alpha.column.metric) == ("lower", "paper:alpha")
    assert "differ in depth" in alpha.column.caveat
    view = asked(tables, "SELECT model, value FROM v_reported WHERE source = 'averages' AND column_name = 'alpha'")
    assert dict(map(tuple, view)) == {"a": 2.0, "b": 3.0}
    for rows, summary, words in (
        (RowChoice(layers=("x",)), ALPHA, "unknown layer"),
        (RowChoice(over="layers"), ALPHA, "averages tells alpha of whole models: no layers can be chosen"),
        (RowChoice(), Summary("alpha", "max"), "averages tells alpha of whole models: there is no max"),
    ):
        with pytest.raises(ww.UsageError, match=words):
            reported(tables, summary, table="averages", rows=rows)


def test_rows_of_layers_are_summed_up(tables):
    for rows, x, y in (
        (RowChoice(), 4.0, 5.0),
        (RowChoice(over="layers"), 4.5, 5.0),
        (RowChoice(layers=("c*",)), 3.0, math.nan),
        (RowChoice(without=("head",)), 3.0, math.nan),
        (RowChoice(leave_out="short"), 3.0, 5.0),
        (RowChoice(min_m=65), math.nan, 5.0),
        (RowChoice(min_m=11), 3.0, 5.0),
    ):
        found = reported(tables, ALPHA, table="layers", rows=rows).standings[ALPHA]
        np.testing.assert_array_equal(found.values, [x, y], err_msg=str(rows))
    found = reported(tables, *(Summary("alpha", own) for own in AGGREGATES), table="layers")
    assert [found.standings[Summary("alpha", own)].values[0] for own in AGGREGATES] == [4.0, 4.0, 2.0, 6.0]
    assert found.standings[ALPHA].missing.tolist() == [1, 0]


def test_a_column_of_another_table_is_named_with_it(tables):
    record(tables, table("more", [entry("a", alpha=20.0), entry("b", alpha=30.0)], provider="another: paper"))
    qualified = Summary("more:alpha")
    found = reported(tables, ALPHA, qualified, table="averages")
    np.testing.assert_array_equal(found.standings[qualified].values, [20.0, 30.0, np.nan])
    assert found.standings[qualified].reasons[2] == "more has no value of it"
    np.testing.assert_array_equal(
        reported(tables, Summary("another: paper:alpha"), table="averages")
        .standings[Summary("another: paper:alpha")]
        .values,
        [20.0, 30.0, np.nan],
    )
    with pytest.raises(ww.UnknownNameError, match="unknown column of averages 'nix:alpha'"):
        reported(tables, Summary("nix:alpha"), table="averages")


def test_definitions_that_differ_are_never_one_column(store_url):
    other = (column("alpha", definition="Another one.", version="2"),)
    with open_store(store_url) as store:
        record(
            store,
            table("one", [entry(own, alpha=number) for number, own in enumerate("abc")]),
            table("two", [entry("d", alpha=1.0)], other),
        )
        found = reported(store, ALPHA, table="paper 1")
    assert [row.model for row in found.rows] == ["a", "b", "c", "d"]
    np.testing.assert_array_equal(found.standings[ALPHA].values, [0.0, 1.0, 2.0, np.nan])
    assert found.standings[ALPHA].reasons[3].startswith("another definition of this column than most rows")
    assert found.standings[ALPHA].column.metric_version == "1"


def test_a_model_in_several_tables_of_a_provider_is_told_by_table(tables):
    record(tables, table("again", [entry("a", alpha=2.5), entry("z", alpha=1.0)]))
    with pytest.raises(
        ww.UsageError, match="a is in several tables of paper 1: name one by --reported: again, averages"
    ):
        reported(tables, ALPHA, table="paper 1")
    chosen = reported(tables, ALPHA, table="paper 1", models=ModelChoice(without=("a",)))
    assert [row.model for row in chosen.rows] == ["b", "c", "x", "y", "z"]
    # Only tables count that have the column.
    assert [row.model for row in reported(tables, Summary("M"), table="paper 1").rows] == ["x", "y"]


def test_wrong_questions_to_tables_are_one_sentence(tables):
    for summary, more, error, words in (
        (
            ALPHA,
            {"table": "averags"},
            ww.UnknownNameError,
            "unknown table or provider 'averags': did you mean averages",
        ),
        (
            Summary("alhpa"),
            {"table": "averages"},
            ww.UnknownNameError,
            "column of averages 'alhpa': did you mean alpha",
        ),
        (Summary("kind"), {"table": "layers"}, ww.UsageError, "holds texts"),
        (ALPHA, {"table": "layers", "rows": RowChoice(leave_out="nix")}, ww.UnknownNameError, "column of layers 'nix'"),
        (ALPHA, {"table": "layers", "rows": RowChoice(layers=("nix",))}, ww.UnknownNameError, "unknown layer 'nix'"),
        (Summary("log_norm"), {"table": "averages", "rows": RowChoice(min_m=3)}, ww.UnknownNameError, "'M'"),
        (ALPHA, {"table": "averages", "models": ModelChoice(models=("q",))}, ww.UnknownNameError, "unknown model 'q'"),
        (ALPHA, {"table": "averages", "models": ModelChoice(series=("q",))}, ww.UnknownNameError, "series 'q'"),
        (ALPHA, {"table": "layers", "models": ModelChoice(series=("nets",))}, ww.NotStoredError, "is left by these"),
    ):
        with pytest.raises(error, match=words) as caught:
            reported(tables, summary, **more)
        assert "\n" not in str(caught.value)


def test_tables_are_found_by_their_columns(tables):
    with tables.reading() as reader:
        assert reader.reported_origins(["alpha"]) == [("averages", "paper 1"), ("layers", "paper 1")]
        assert reader.reported_origins(["alpha", "log_norm"]) == [("averages", "paper 1")]
        assert reader.reported_origins(["layers:alpha", "log_norm"]) == [("averages", "paper 1")]
        assert reader.reported_origins(["nix"]) == []
        assert reader.directed_columns(table="averages") == ["alpha"]


def test_columns_with_a_direction_are_those_of_the_profile(store):
    with store.reading() as reader:
        default, other = reader.directed_columns("default"), reader.directed_columns("trends-2020")
        assert reader.directed_columns("nix") == []
    known = {own.name for own in store.report("deep", "default").columns if own.better != "none" and own.type != "text"}
    assert set(default) == known
    assert set(other) < {own.name for own in store.report("deep", "trends-2020").columns}


def test_scores_are_those_of_the_view(store):
    store.add_scores([ww.Score("deep", "top1_error", "cifar", 7.5, "paper", better="lower", unit="%")])
    store.add_scores([ww.Score("paper-net", "top1_error", "cifar", 5.0, "paper")], without_weights=True)
    models = computed(store, ALPHA).rows
    with store.reading() as reader:
        (found,) = reader.scores_of(models)
        assert reader.scores_of(models, "top1_error", "cifar", "paper") == [found]
        for other in (("top5_error", "", ""), ("", "imagenet", ""), ("", "", "nobody")):
            assert reader.scores_of(models, *other) == []
    view = asked(store, "SELECT digest, name, dataset, value, better, unit, source FROM v_scores WHERE model = 'deep'")
    assert [tuple(own) for own in view] == [
        (found.digest, found.name, found.dataset, found.value, found.better, found.unit, found.source)
    ]
