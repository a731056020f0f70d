"""Identities are of permanent keys: what is renamed, moved, extended or clashes finds every stored value."""

from dataclasses import dataclass

import numpy as np
import pytest

import ww_core as ww
from ww_core.domain.request import Request
from ww_core.plugins.discovery import load_plugins
from ww_core.plugins.selection import select


def plugin(name, metrics=(), profiles=(), extractors=()):
    hooks = {"ww_register_metrics": metrics, "ww_register_profiles": profiles, "ww_register_extractors": extractors}

    def hook(key, objects):
        def hooked(self):
            return list(objects)

        hooked.__name__ = key
        return ww.hookimpl(hooked)

    return type(name, (), {key: hook(key, objects) for key, objects in hooks.items()})()


CALLS = []


def counting(name="measure", key=""):
    """A metric that counts its calls, under a name."""

    def measure(singular_values, rng):
        """The largest singular value and a random number."""
        CALLS.append(name)
        return float(singular_values[0]) + rng.random()

    measure.__name__ = name
    return ww.metric(version="1", key=key)(measure)


@pytest.fixture
def store(weights, tmp_path):
    CALLS.clear()
    ww.analyze(weights, store=tmp_path / "s.sqlite", name="net", plugins=[plugin("Old", [counting()])])
    assert len(CALLS) == 3
    CALLS.clear()
    return tmp_path / "s.sqlite"


def values(report, label):
    return [row.metrics[label].number for row in report.layers]


@pytest.mark.parametrize(
    ("home", "name"), [("Old", "better"), ("New", "measure"), ("New", "better")], ids=["renamed", "moved", "both"]
)
def test_a_metric_that_is_renamed_or_moved_finds_its_values(store, weights, home, name):
    before = ww.analyze(weights, store=store, name="net", plugins=[plugin("Old", [counting()])])
    late = plugin(home, [counting(name, key="Old:measure")])
    after = ww.analyze(weights, store=store, name="net", plugins=[late])
    assert CALLS == []
    assert values(after, name) == values(before, "measure")
    variants = [{c.variant for c in report.columns if c.metric == "Old:measure"} for report in (before, after)]
    assert variants[0] == variants[1] != set()
    assert ww.backfill(store, plugins=[late]).values == 0


def test_random_numbers_belong_to_the_key(weights):
    first = ww.analyze(weights, plugins=[plugin("Old", [counting()])], metrics=["measure"])
    second = ww.analyze(weights, plugins=[plugin("New", [counting("better", key="Old:measure")])], metrics=["better"])
    third = ww.analyze(weights, plugins=[plugin("New", [counting("better")])], metrics=["better"])
    assert values(first, "measure") == values(second, "better") != values(third, "better")


def test_a_request_by_the_old_name_is_repeated_by_the_new_one(store, weights):
    ww.analyze(weights, store=store, name="net", metrics=["measure"], plugins=[plugin("Old", [counting()])])
    CALLS.clear()

    @ww.metric(version="1")
    def above(better):
        """Of the renamed one."""
        return better + 1

    late = plugin("New", [counting("better", key="Old:measure"), above])
    report = ww.backfill(store, plugins=[late])
    assert report.not_repeatable == ()
    assert (report.values, CALLS) == (3, [])


def test_two_claims_of_one_key_are_reported_and_the_first_stays(weights):
    plugins = [plugin("Old", [counting()]), plugin("New", [counting("better", key="Old:measure")])]
    registry = load_plugins(objects=plugins)
    (problem,) = [problem for info, problem in registry.problems() if info.name == "New"]
    assert "its key 'Old:measure'" in problem.message
    assert "Old:measure has" in problem.message
    with pytest.raises(ww.UsageError, match="unknown metric 'better'"):
        ww.analyze(weights, plugins=plugins, metrics=["better"])


@pytest.mark.parametrize("key", ["measure", ":x", "x:", "a\nb:c", 7])
def test_a_key_is_a_qualified_name(key):
    with pytest.raises(TypeError, match="is not of the form plugin:name"):
        ww.metric(version="1", key=key)(lambda singular_values: 0.0)


# --- columns ----------------------------------------------------------------------------------------------------------


def spread(*names, keys=None, version="1", types=None):
    """A metric of several columns, as a plugin of one name."""
    fields = {}
    for name in names:
        fields[name] = ww.column(better="lower", key=(keys or {}).get(name, ""))
    annotations = {name: (types or {}).get(name, float) for name in names}
    result = dataclass(frozen=True)(type("Spread", (), {"__annotations__": annotations, **fields}))

    def measure(singular_values):
        """Several numbers."""
        CALLS.append(names)
        return result(**{name: annotations[name](index + 1.5) for index, name in enumerate(names)})

    measure.__annotations__ = {"return": result}
    measure.__name__ = "spread"
    return plugin("Wide", [ww.metric(version=version)(measure)])


def test_a_new_column_leaves_the_old_ones_and_backfill_fills_it(weights, tmp_path):
    CALLS.clear()
    store = tmp_path / "s.sqlite"
    before = ww.analyze(weights, store=store, name="net", plugins=[spread("low", "high")])
    assert len(CALLS) == 3
    with ww.open_store(store, mode="read") as opened:
        known = {column.name: column.variant for column in opened.report("net").columns}
    report = ww.backfill(store, plugins=[spread("low", "high", "middle")])
    assert (report.values, report.needs_weights) == (3, ())  # the new column, of three matrices
    with ww.open_store(store, mode="read") as opened:
        after = opened.report("net")
    assert values(after, "low") == values(before, "low")
    assert values(after, "middle") == [3.5] * 3
    assert {column.name: column.variant for column in after.columns if column.name != "middle"} == known
    assert not ww.backfill(store, plugins=[spread("low", "high", "middle")]).filled
    # One who goes back finds all that was there, and computes nothing.
    CALLS.clear()
    again = ww.analyze(weights, store=store, name="net", plugins=[spread("low", "high")])
    assert (values(again, "low"), CALLS) == (values(before, "low"), [])


def test_what_needs_an_old_column_is_not_new(weights):
    @ww.metric(version="1")
    def above(low):
        """Of one column."""
        return low + 1

    def identity(*names):
        registry = load_plugins(objects=[spread(*names), plugin("Above", [above])])
        return select(registry, Request()).nodes["Above:above"].identity

    assert identity("low", "high") == identity("low", "high", "middle") == identity("low")


def test_a_stored_column_stands_where_the_new_one_makes_the_metric_run_again(weights, tmp_path):
    store = tmp_path / "s.sqlite"
    ww.analyze(weights, store=store, name="net", plugins=[spread("low")])
    seen = []

    @ww.metric(version="1")
    def watch(low):
        """Sees what others store."""
        seen.append(low)
        return low

    # In another order the code would give another number: what is stored is what counts.
    report = ww.analyze(weights, store=store, name="net", plugins=[spread("high", "low"), plugin("Watch", [watch])])
    assert values(report, "low") == [1.5] * 3
    assert seen == [1.5] * 3


def test_a_column_has_a_key_of_its_own(weights, tmp_path):
    store = tmp_path / "s.sqlite"
    before = ww.analyze(weights, store=store, name="net", plugins=[spread("low", "high")])
    CALLS.clear()
    after = ww.analyze(weights, store=store, name="net", plugins=[spread("least", "high", keys={"least": "low"})])
    assert (values(after, "least"), CALLS) == (values(before, "low"), [])


def test_a_metric_of_one_column_may_become_one_of_several(weights, tmp_path):
    store = tmp_path / "s.sqlite"

    @ww.metric(version="1")
    def spread_alone(singular_values):
        """One number."""
        return singular_values[0]

    single = ww.metric(version="1", name="spread")(spread_alone.function)
    before = ww.analyze(weights, store=store, name="net", plugins=[plugin("Wide", [single])])
    after = ww.analyze(weights, store=store, name="net", plugins=[spread("spread", "more")])
    assert values(after, "spread") == values(before, "spread")
    assert values(after, "more") == [2.5] * 3


def test_a_column_of_another_type_is_another_column(weights, tmp_path):
    store = tmp_path / "s.sqlite"
    ww.analyze(weights, store=store, name="net", plugins=[spread("low")])
    report = ww.analyze(weights, store=store, name="net", plugins=[spread("low", types={"low": str})])
    assert {row.metrics["low"].text for row in report.layers} == {"1.5"}
    again = ww.analyze(weights, store=store, name="net", plugins=[spread("low")])
    assert values(again, "low") == [1.5] * 3
    with ww.open_store(store) as opened:
        assert opened.verify().faults == {}


def test_two_columns_of_one_key_are_refused():
    with pytest.raises(TypeError, match="two columns have the key 'low'"):
        spread("low", "high", keys={"high": "low"})


# --- names that clash -------------------------------------------------------------------------------------------------


def test_plugins_of_clashing_names_rename_no_history(weights, tmp_path):
    store = tmp_path / "s.sqlite"
    mine = ww.Profile(name="mine", description="Mine.", metrics=("alpha", "measure"))
    own = plugin("Mine", [counting()], [mine])
    CALLS.clear()
    before = [
        ww.analyze(weights, store=store, name=name, profile=profile, plugins=[own])
        for name, profile in (("a", "default"), ("b", "mine"))
    ]
    CALLS.clear()
    clashing = [
        ww.Profile(name="default", description="Another.", metrics=("log_norm",)),
        ww.Profile(name="mine", description="Another.", metrics=("log_norm",)),
    ]

    @ww.metric(version="9")
    def alpha(singular_values):
        """By a name that is taken."""
        return singular_values[0]

    intruder = plugin("Intruder", [alpha, counting()], clashing)
    after = [
        ww.analyze(weights, store=store, name=name, profile=profile, plugins=[own, intruder])
        for name, profile in (("a", "default"), ("b", "Mine:mine"))
    ]
    for old, new in zip(before, after, strict=True):
        assert new.run.computed == 0
        variants = {column.variant for column in new.columns}
        assert {column.variant for column in old.columns} <= variants
        assert values(new, "alpha") == values(old, "alpha")
    assert CALLS == ["measure"] * 3  # of the intruder alone
    report = ww.backfill(store, plugins=[own, intruder])
    assert (report.values, report.not_repeatable) == (0, ())
    with ww.open_store(store, mode="read") as opened:
        assert opened.report("b", "mine").run.profile in {"mine", "Mine:mine"}
        assert opened.report("a", "default").run.profile == "default"


def test_a_profile_of_the_same_variants_shares_their_history(weights, tmp_path):
    store = tmp_path / "s.sqlite"
    first = ww.analyze(weights, store=store, name="net")
    short = ww.Profile(name="short", description="A few.", metrics=("alpha", "stable_rank"))
    second = ww.analyze(weights, store=store, name="net", profile="short", plugins=[plugin("Mine", profiles=[short])])
    variants = {column.name: column.variant for column in first.columns}
    assert {column.name: column.variant for column in second.columns} == {
        name: variants[name] for name in ("alpha", "stable_rank")
    }


def test_an_extractor_that_moved_makes_the_matrices_it_made(weights, tmp_path):
    def halves(key=""):
        @dataclass(frozen=True)
        class Halves(ww.Extractor):
            name = "halves"
            version = "1"

            def plan(self, layer):
                rows, cols = layer.shape[0], int(np.prod(layer.shape[1:]))
                return ww.MatrixPlan(matrices=1, entries=1, rows=rows, cols=cols)

            def matrices(self, weight, layer):
                yield ww.Matrix(0, weight.reshape(1, weight.shape[0], -1))

        Halves.key = key
        return Halves

    store = tmp_path / "s.sqlite"
    old = ww.analyze(weights, store=store, extractors=["halves"], plugins=[plugin("Old", extractors=[halves()])])
    new = ww.analyze(
        weights, store=store, extractors=["halves"], plugins=[plugin("New", extractors=[halves("Old:halves")])]
    )
    assert (old.run.computed, new.run.computed) == (3, 0)
    assert new.layers == old.layers


def test_a_request_for_a_column_is_repeated_wherever_the_metric_lives(weights, tmp_path):
    store = tmp_path / "s.sqlite"
    ww.analyze(weights, store=store, name="net", metrics=["low"], plugins=[spread("low", "high")])
    renamed = spread("least", "high", keys={"least": "low"})

    @ww.metric(version="1")
    def unrelated(singular_values):
        """Another one."""
        return singular_values[0]

    CALLS.clear()
    report = ww.backfill(store, plugins=[renamed, plugin("Another", [unrelated])])
    assert report.not_repeatable == ()
    assert CALLS == []
    again = ww.analyze(weights, store=store, name="net", metrics=["Wide:low"], plugins=[renamed])
    assert (list(again.layers[0].metrics), CALLS) == (["least"], [])


def test_an_attribute_of_a_loader_that_is_called_key_is_its_own_affair():
    def loader(name, key):
        class Own(ww.Loader):
            description = "For tests."

            def probe(self, source):
                return 0.0

            def open(self, source):
                raise AssertionError("it recognises nothing")

        Own.name, Own.key = name, key
        return Own()

    class Plugin:
        @ww.hookimpl
        def ww_register_loaders(self):
            return [loader("one", "same"), loader("two", "same"), loader("three", 7)]

    registry = load_plugins(objects=[Plugin()])
    assert [owned.name for owned in registry.loaders if owned.plugin == "Plugin"] == ["one", "two", "three"]
    assert registry.problems() == []
