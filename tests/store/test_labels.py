"""A label stands on a digest and a structure, and every reader answers from the label's own runs, on both databases."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import save_file
from sqlalchemy import insert, select, text

import ww_core as ww
from ww_core.store import tables
from ww_core.store.store import open_store
from ww_core.use_cases.diff import diff
from ww_plugins.commands.compare_svd import compare_svd


@pytest.fixture
def grouped_file(tmp_path):
    """A grouped convolution, in a format that does not tell its groups."""
    drawn = np.random.Generator(np.random.Philox(5))
    path = tmp_path / "grouped.safetensors"
    save_file({"0.weight": drawn.standard_normal((32, 8, 3, 3)).astype(np.float32)}, path)
    return path


def largest(weight, groups):
    """The largest singular value of all slices of all groups, by NumPy alone."""
    parts = np.split(np.asarray(weight, dtype=np.float64), groups)
    return max(np.linalg.svd(p.transpose(2, 3, 0, 1), compute_uv=False).max() for p in parts)


def norm_of(report):
    return report.layers[0].metrics["spectral_norm"].number


@pytest.fixture
def two_labels(store_url, grouped_file):
    """One content under two names, with two groups and with one, the latter last."""
    ww.analyze(grouped_file, store=store_url, name="grouped", groups={"0": 2})
    ww.analyze(grouped_file, store=store_url, name="plain")
    return store_url


def right(grouped_file):
    from safetensors.numpy import load_file

    weight = load_file(grouped_file)["0.weight"]
    assert largest(weight, 2) < 0.99 * largest(weight, 1)  # else this would show nothing
    return {"grouped": largest(weight, 2), "plain": largest(weight, 1)}


def test_each_name_keeps_its_own_answer(two_labels, grouped_file):
    for name, expected in right(grouped_file).items():
        with open_store(two_labels, mode="read") as store:
            assert norm_of(store.report(name)) == pytest.approx(expected, rel=1e-12)
            assert {layer.groups for layer in store.layers(name)} == {2 if name == "grouped" else 1}
    with open_store(two_labels) as store:
        store.forget("plain")
        store.collect_garbage()
        assert norm_of(store.report("grouped")) == pytest.approx(right(grouped_file)["grouped"], rel=1e-12)


def test_a_view_shows_each_name_its_own(two_labels, grouped_file):
    query = text("SELECT model, value FROM v_metrics WHERE column_name = 'spectral_norm' ORDER BY model")
    with open_store(two_labels, mode="read") as store, store._reading() as connection:
        found = [(row.model, row.value) for row in connection.execute(query)]
    assert found == [(name, pytest.approx(value, rel=1e-12)) for name, value in sorted(right(grouped_file).items())]
    query = text("SELECT model FROM v_values WHERE column_name = 'log_prod_spectral_norm' ORDER BY model")
    with open_store(two_labels, mode="read") as store, store._reading() as connection:
        assert list(connection.execute(query).scalars()) == ["grouped", "plain"]


def test_a_difference_of_groups_is_said_and_not_subtracted(two_labels):
    difference = diff("grouped", "plain", store=two_labels)
    (row,) = difference.layers
    assert row.status == "same"
    assert set(row.difference.not_comparable.values()) == {"2 groups in grouped@1, 1 in plain@1"}
    assert not row.difference.change
    assert row.difference.first["spectral_norm"] != row.difference.second["spectral_norm"]
    assert difference.summary["spectral_norm"].change is None


def test_a_stored_comparison_is_the_names_own(store_url, grouped_file):
    compare_svd(grouped_file, store=store_url, n=4, name="grouped", groups={"0": 2})
    compare_svd(grouped_file, store=store_url, n=4, name="plain")
    for name, expected in right(grouped_file).items():
        (layer,) = compare_svd(name, store=store_url, n=4).layers
        assert layer.results[0].spectral_norm == pytest.approx(expected, rel=1e-12)


def test_summaries_and_backfill_are_the_names_own(two_labels, grouped_file):
    @ww.metric(version="1")
    def late(singular_values):
        """The largest singular value, by another name."""
        return singular_values[0]

    class Plugin:
        @ww.hookimpl
        def ww_register_metrics(self):
            return [late]

    filled = ww.backfill(two_labels, plugins=[Plugin()])
    assert {(refill.model, refill.version) for refill in filled.filled} == {("grouped", "1"), ("plain", "1")}
    for name, expected in right(grouped_file).items():
        with open_store(two_labels, mode="read") as store:
            report = store.report(name)
            assert report.layers[0].metrics["late"].number == pytest.approx(expected, rel=1e-12)
            assert report.summary["late"].mean == pytest.approx(expected, rel=1e-12)
            assert store.verify().faults == {}


def test_the_same_version_on_another_structure_is_refused_unless_moved(store_url, grouped_file):
    ww.analyze(grouped_file, store=store_url, name="net", version="1", groups={"0": 2})
    with pytest.raises(ww.UsageError, match="same weights with other kinds, groups or layers"):
        ww.analyze(grouped_file, store=store_url, name="net", version="1")
    assert ww.analyze(grouped_file, store=store_url, name="net").version == "2"
    moved = ww.analyze(grouped_file, store=store_url, name="net", version="1", move_label=True)
    with open_store(store_url, mode="read") as store:
        assert norm_of(store.report("net@1")) == norm_of(moved)
        assert store.report("net@1").run.id == moved.run.id


def test_a_pair_that_has_a_label_keeps_it(store_url, grouped_file):
    first = ww.analyze(grouped_file, store=store_url, name="net", version="mine", groups={"0": 2})
    second = ww.analyze(grouped_file, store=store_url, name="net")
    again = ww.analyze(grouped_file, store=store_url, name="net", groups={"0": 2})
    assert (first.version, second.version, again.version) == ("mine", "1", "mine")


# --- a loader that learns ---------------------------------------------------------------------------------------------


def loader_plugin(groups, kind="conv2d", bias=True, rounding=ww.Rounding()):  # noqa: B008 - it is frozen
    """A loader of ``.toy`` files that knows this much of them."""
    weight = np.random.Generator(np.random.Philox(7)).standard_normal((32, 8, 3, 3)).astype(np.float32)
    specs = {"c.weight": weight, "c.bias": np.ones(32, np.float32)}

    class Toy(ww.Checkpoint):
        format = "toy"

        def __init__(self):
            tensors = {name: ww.TensorSpec(name, "float32", array.shape) for name, array in specs.items()}
            tensors["c.weight"] = replace(tensors["c.weight"], rounding=rounding)
            layer = ww.Layer("c", ww.LayerKind(kind), tensors["c.weight"], tensors["c.bias"] if bias else None, groups)
            self.layers = (layer,)
            self.buffers = () if bias else (tensors["c.bias"],)

        def read(self, tensor):
            import contextlib

            array = specs[tensor.name].view()
            array.flags.writeable = False
            return contextlib.nullcontext(array)

    class ToyLoader(ww.Loader):
        name = "toy"
        description = "toy files"

        def probe(self, source):
            return 1.0 if source.name.endswith(".toy") else 0.0

        def open(self, source):
            return Toy()

    class Plugin:
        @ww.hookimpl
        def ww_register_loaders(self):
            return [ToyLoader()]

    return Plugin()


@pytest.fixture
def toy_file(tmp_path):
    path = tmp_path / "net.toy"
    path.write_bytes(b"toy")
    return path


INT8 = ww.Rounding.of_steps(0.01)


def test_a_loader_that_knows_how_numbers_were_rounded_knows_more(store_url, toy_file):
    ww.analyze(toy_file, store=store_url, plugins=[loader_plugin(4)])
    after = ww.analyze(toy_file, store=store_url, plugins=[loader_plugin(4, rounding=INT8)])
    assert after.version == "1"
    assert any("more is known now" in warning and "net@1" in warning for warning in after.warnings)


@pytest.mark.parametrize("version", [None, "1"])
def test_a_loader_that_knows_more_replaces_the_structure_and_says_so(store_url, toy_file, version):
    before = ww.analyze(toy_file, store=store_url, plugins=[loader_plugin(1)])
    after = ww.analyze(toy_file, store=store_url, version=version, plugins=[loader_plugin(4)])
    assert (before.digest, before.version) == (after.digest, after.version)
    assert any("more is known now" in warning and "net@1" in warning for warning in after.warnings)
    with open_store(store_url, mode="read") as store:
        assert norm_of(store.report("net")) == norm_of(after) != norm_of(before)
        assert [layer.groups for layer in store.layers("net@1")] == [4]
        assert len(store.versions()) == 1


@pytest.mark.parametrize(
    "less",
    [
        loader_plugin(1, rounding=INT8),
        loader_plugin(4, kind="other", rounding=INT8),
        loader_plugin(4, bias=False, rounding=INT8),
        loader_plugin(4),
    ],
    ids=["groups", "kind", "bias", "rounding"],
)
def test_a_loader_that_knows_less_replaces_nothing(store_url, toy_file, less):
    before = ww.analyze(toy_file, store=store_url, plugins=[loader_plugin(4, rounding=INT8)])
    with pytest.raises(ww.UsageError, match="net@1 stands on"):
        ww.analyze(toy_file, store=store_url, version="1", metrics=["weight_std"], plugins=[less])
    other = ww.analyze(toy_file, store=store_url, metrics=["weight_std"], plugins=[less])
    assert other.version == "2"
    with open_store(store_url, mode="read") as store:
        assert norm_of(store.report("net@1")) == norm_of(before)


def test_another_option_or_another_place_replaces_nothing(store_url, toy_file, tmp_path):
    ww.analyze(toy_file, store=store_url, plugins=[loader_plugin(1)])
    assert ww.analyze(toy_file, store=store_url, groups={"c": 4}, plugins=[loader_plugin(1)]).version == "2"
    elsewhere = tmp_path / "other.toy"
    elsewhere.write_bytes(b"toy")
    assert ww.analyze(elsewhere, store=store_url, name="net", plugins=[loader_plugin(8)]).version == "3"


# --- runs and their labels --------------------------------------------------------------------------------------------


def test_naming_the_profiles_own_extractor_is_no_experiment(store_url, weights):
    ww.analyze(weights, store=store_url, name="net")
    named = ww.analyze(weights, store=store_url, name="net", extractors=["pool"])
    with open_store(store_url, mode="read") as store:
        assert store.report("net").run.id == named.run.id


def test_an_experiment_does_not_take_the_place_of_the_profile(store_url, weights):
    own = ww.analyze(weights, store=store_url, name="net")
    ww.analyze(weights, store=store_url, name="net", parameters={"power_law.ks": "two-sided"})
    sliced = ww.analyze(weights, store=store_url, name="net", extractors=["slice"])
    single = ww.analyze(weights, store=store_url, name="net", precision="float32")
    with open_store(store_url, mode="read") as store:
        assert store.report("net").run.id == own.run.id
        assert "alpha" in store.report("net").rows()[0]
        chosen = store.report("net", variant="alpha[ks=two-sided]")
        assert "alpha[ks=two-sided]" in chosen.rows()[0]
        assert store.report("net", variant="slice").run.id == sliced.run.id
        assert store.report("net", run=single.run.id).run.id == single.run.id
        with pytest.raises(ww.StoreError, match=r"did you mean .*alpha\[ks=two-sided\]"):
            store.report("net", variant="alpha[ks=three-sided]")
        with pytest.raises(ww.StoreError, match="run 99 is none of net@1"):
            store.report("net", run=99)


def test_runs_under_another_name_change_nothing(store_url, weights):
    own = ww.analyze(weights, store=store_url, name="first")
    ww.analyze(weights, store=store_url, name="second", metrics=["log_norm"])
    newest = ww.analyze(weights, store=store_url, name="third")
    with open_store(store_url, mode="read") as store:
        assert store.report("first").run.id == own.run.id
        assert store.report("third").run.id == newest.run.id
        assert list(store.report("second").layers[0].metrics) == ["log_norm"]
        with pytest.raises(ww.StoreError, match="none of first@1"):
            store.report("first", run=newest.run.id)


ACTIONS = ("rename version", "rename model", "move", "move back")


@pytest.mark.parametrize("every", [2, pytest.param(1, marks=pytest.mark.stress)])
def test_rename_carries_the_link_and_moving_cuts_it_in_every_order(tmp_path, weights, subtests, every):
    orders = itertools.islice(itertools.permutations(ACTIONS, 3), 0, None, every)
    in_orders(tmp_path / "store.sqlite", weights, subtests, orders)


@pytest.mark.postgres
@pytest.mark.parametrize("every", [5, pytest.param(1, marks=pytest.mark.stress)])
def test_rename_carries_the_link_and_moving_cuts_it_on_a_server(make_database, weights, subtests, every):
    orders = itertools.islice(itertools.permutations(ACTIONS, 3), 0, None, every)
    in_orders(make_database(), weights, subtests, orders)


def in_orders(location, weights, subtests, orders):
    weights = {name: weights[name] for name in ("first.weight", "second.weight")}
    other = weights | {"first.weight": weights["first.weight"] * np.float32(2)}
    with open_store(location) as store:
        for number, order in enumerate(orders):
            with subtests.test(", ".join(order)):
                rename_and_move(store, f"net-{number}-", order, {"weights": weights, "other": other})


def rename_and_move(store, model, order, contents):
    def analyze(content, name, version, **options):
        return ww.analyze(contents[content], store=store, name=name, version=version, **options).run.id

    version, stands_on = "a", "weights"
    first = analyze("weights", model, version)
    analyze("other", f"{model}other", "x")
    own_runs = [first]
    for action in order:
        if action == "rename version":
            store.rename(f"{model}@{version}", f"{model}@{version}b")
            version += "b"
        elif action == "rename model":
            store.rename(model, f"{model}s")
            model += "s"
        else:
            target = "other" if action == "move" else "weights"
            run = analyze(target, model, version, move_label=True)
            own_runs = [run] if target != stands_on else [run, *own_runs]
            stands_on = target
        shown = store.report(f"{model}@{version}")
        assert shown.run.id == own_runs[0]
        assert (shown.model, shown.version) == (model, version)
        for number in own_runs:
            assert store.report(model, run=number).run.id == number
        if first not in own_runs:
            with pytest.raises(ww.StoreError, match="is none of"):
                store.report(model, run=first)
    assert store.verify().faults == {}


def test_after_moving_old_runs_are_found_by_the_digest(store_url, weights):
    old = ww.analyze(weights, store=store_url, name="net", version="1")
    other = weights | {"first.weight": weights["first.weight"] * np.float32(2)}
    ww.analyze(other, store=store_url, name="net", version="1", move_label=True)
    with open_store(store_url, mode="read") as store:
        assert store.report("net@1").digest != old.digest
        found = store.report(old.digest[:12])
        assert (found.run.id, found.model) == (old.run.id, "")


# --- order ------------------------------------------------------------------------------------------------------------


def versions_of(store_url, model="net"):
    with open_store(store_url, mode="read") as store:
        return [version.version for version in store.versions() if version.model == model]


def scaled(weights, factor):
    return weights | {"first.weight": weights["first.weight"] * np.float32(factor)}


def test_versions_are_in_the_order_of_their_steps_where_all_have_one(store_url, weights):
    for factor, version in enumerate(["checkpoint-1000", "checkpoint-500", "checkpoint-2000"], 1):
        ww.analyze(scaled(weights, factor), store=store_url, name="net", version=version)
    assert versions_of(store_url) == ["checkpoint-500", "checkpoint-1000", "checkpoint-2000"]
    with open_store(store_url) as store:
        assert store.report("net").version == "checkpoint-2000"
    ww.analyze(scaled(weights, 9), store=store_url, name="net", version="best")
    assert versions_of(store_url) == ["checkpoint-1000", "checkpoint-500", "checkpoint-2000", "best"]
    with open_store(store_url) as store:
        assert store.report("net").version == "best"
        store.set_step("net@best", 700)
        assert store.report("net").version == "checkpoint-2000"
    assert versions_of(store_url) == ["checkpoint-500", "best", "checkpoint-1000", "checkpoint-2000"]
    with open_store(store_url) as store:
        store.set_step("net@best", None)
        assert store.report("net").version == "best"


@pytest.mark.parametrize(
    ("name", "step", "sentence"),
    [
        ("net", 1, "names no version"),
        ("net@1", -1, "not a whole number"),
        ("net@1", 2**63, "not a whole number"),
        ("net@1", 1.5, "not a whole number"),
        ("net@1", True, "not a whole number"),
        ("net@7", 1, "has no version"),
        ("nix@1", 1, "no model"),
    ],
)
def test_a_step_that_cannot_be_is_refused(store_url, weights, name, step, sentence):
    ww.analyze(weights, store=store_url, name="net")
    with open_store(store_url) as store, pytest.raises(ww.WWError, match=sentence):
        store.set_step(name, step)


# --- what could not be read -------------------------------------------------------------------------------------------


def test_a_label_leaves_what_was_not_read_whole_only_for_all_of_it(store_url, weights, monkeypatch):
    from ww_core.sources import digests

    read = digests.read_tensor

    def broken(checkpoint, spec):
        if spec.name == "second.weight":
            raise OSError("gone")
        return read(checkpoint, spec)

    monkeypatch.setattr(digests, "read_tensor", broken)
    partial = ww.analyze(weights, store=store_url, name="net", version="1")
    assert partial.failures
    monkeypatch.undo()
    other = weights | {"first.weight": weights["first.weight"] * np.float32(2)}
    with pytest.raises(ww.UsageError, match="net@1 stands on other weights"):
        ww.analyze(other, store=store_url, name="net", version="1")
    whole = ww.analyze(weights, store=store_url, name="net", version="1")
    assert whole.digest != partial.digest
    with open_store(store_url, mode="read") as store:
        assert store.report("net@1").digest == whole.digest


def test_thousands_of_versions_are_listed_in_their_order(store_url, weights):
    ww.analyze(weights, store=store_url, name="net", version="0")
    with open_store(store_url) as store:
        with store._writing() as connection:
            label = dict(connection.execute(select(tables.label)).mappings().one())
            rows = [
                label | {"id": n + 1, "name": str(n), "position": n + 1, "step": 4_000 - n} for n in range(1, 4_000)
            ]
            connection.execute(insert(tables.label), rows)
        assert store.report("net@0").model == "net"
        versions = [version.version for version in store.versions()]
    assert versions == ["0", *(str(n) for n in range(3999, 0, -1))]


def test_versions_of_some_models_are_those_of_all_of_them(store_url, weights):
    for name, version in (("b", "1"), ("a", "1"), ("b", "2"), ("c", "1")):
        ww.analyze(weights, store=store_url, name=name, version=version)
    with open_store(store_url) as store:
        store.add_to_series("family", ["b"])
        every = store.versions()
        with store.reading() as reader:
            assert list(reader.counted_versions().items()) == [("a", 1), ("b", 2), ("c", 1)]
            assert reader.versions(["c", "b", "nothere"]) == [own for own in every if own.model != "a"]
            assert reader.versions() == every
    assert [(own.model, own.version, own.series) for own in every] == [
        ("a", "1", ()),
        ("b", "1", ("family",)),
        ("b", "2", ("family",)),
        ("c", "1", ()),
    ]


def test_choosing_layers_makes_no_other_structure(store_url, weights):
    options = {"groups": {"conv": 2}}
    ww.analyze(weights, store=store_url, name="net", **options)
    for layers in (["first"], ["conv"]):
        assert ww.analyze(weights, store=store_url, name="net", version="1", layers=layers, **options).version == "1"
        assert ww.analyze(weights, store=store_url, name="net", layers=layers, **options).version == "1"
    assert versions_of(store_url) == ["1"]


def test_loaders_that_disagree_do_not_take_a_label_from_each_other(store_url, toy_file):
    class Renamed:
        """The same format by a loader of another name."""

        def __init__(self, plugin):
            self._plugin = plugin

        @ww.hookimpl
        def ww_register_loaders(self):
            (loader,) = self._plugin.ww_register_loaders()
            type(loader).name = "toy-two"
            return [loader]

    first = ww.analyze(toy_file, store=store_url, version="7", plugins=[loader_plugin(1)])
    with pytest.raises(ww.UsageError, match="net@7 stands on the same weights"):
        ww.analyze(toy_file, store=store_url, version="7", plugins=[Renamed(loader_plugin(4))])
    with open_store(store_url, mode="read") as store:
        assert store.report("net@7").run.id == first.run.id


def test_numbers_that_were_only_counted_are_no_steps(store_url, weights):
    ww.analyze(scaled(weights, 3), store=store_url, name="net")
    for step in (500, 1000):
        ww.analyze(scaled(weights, step), store=store_url, name="net", version=f"checkpoint-{step}")
    assert versions_of(store_url) == ["1", "checkpoint-500", "checkpoint-1000"]
    with open_store(store_url, mode="read") as store:
        assert [version.step for version in store.versions()] == [None, 500, 1000]


def test_a_digest_names_every_run_of_its_weights(store_url, weights):
    old = ww.analyze(weights, store=store_url, name="net", version="1")
    ww.analyze(scaled(weights, 2), store=store_url, name="net", version="1", move_label=True)
    ww.analyze(weights, store=store_url, name="other")
    with open_store(store_url, mode="read") as store:
        assert store.report(old.digest[:12]).model == "other"
        found = store.report(old.digest[:12], run=old.run.id)
        assert (found.run.id, found.model) == (old.run.id, "")
