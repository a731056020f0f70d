"""What is computed once, and what makes it new."""

import numpy as np
import pytest
from safetensors.numpy import save_file

import ww_core as ww
from ww_core.domain.request import Request
from ww_core.plugins.discovery import load_plugins
from ww_core.plugins.selection import select
from ww_core.use_cases.diff import diff


def plugin(*metrics, profiles=()):
    class Plugin:
        @ww.hookimpl
        def ww_register_metrics(self):
            return list(metrics)

        @ww.hookimpl
        def ww_register_profiles(self):
            return list(profiles)

    return Plugin()


def chain(upstream_version="1", upstream_default=1.0):
    """Three metrics in a row and one beside them, as a plugin of one name."""

    @ww.metric(version=upstream_version)
    def base(singular_values, *, factor: float = upstream_default) -> float:
        """A multiple of the spectral norm."""
        return float(singular_values[0]) * factor

    @ww.metric(version="1")
    def middle(base):
        """Base and one."""
        return base + 1

    @ww.metric(version="1")
    def top(middle):
        """Middle and one."""
        return middle + 1

    @ww.metric(version="1")
    def beside(singular_values):
        """Smallest singular value seen."""
        return singular_values[-1]

    return plugin(base, middle, top, beside)


def identities(the_plugin, **request):
    registry = load_plugins(objects=[the_plugin])
    return {q.rpartition(":")[2]: node.identity for q, node in select(registry, Request(**request)).nodes.items()}


def changed(before, after):
    return {name for name in before if before[name] != after[name]}


def test_a_new_version_makes_all_that_depends_on_it_new_and_nothing_else():
    assert changed(identities(chain()), identities(chain(upstream_version="2"))) == {"base", "middle", "top"}


def test_a_parameter_makes_all_that_depends_on_it_new_and_nothing_else():
    named = identities(chain(), parameters=(("base.factor", "2.5"),))
    assert changed(identities(chain()), named) == {"base", "middle", "top"}


def test_naming_a_default_changes_nothing():
    assert not changed(identities(chain()), identities(chain(), parameters=(("base.factor", 1.0),)))


def test_the_seed_is_part_of_what_is_random_only():
    @ww.metric(version="1")
    def draw(rng):
        """A random number."""
        return rng.random()

    @ww.metric(version="1")
    def random_top(randomized_eigenvalues):
        """Largest eigenvalue after a permutation."""
        return randomized_eigenvalues[0]

    the_plugin = plugin(draw, random_top)
    assert changed(identities(the_plugin), identities(the_plugin, seed=1)) == {"draw", "random_top"}


def test_numerics_version_makes_everything_new(monkeypatch):
    before = identities(chain())
    for module in ("ww_core.plugins.resolver", "ww_core.domain.identity"):
        monkeypatch.setattr(f"{module}.NUMERICS_VERSION", "next")
    after = identities(chain())
    assert changed(before, after) == {name for name in before if name not in {"layers"}}


def test_the_same_file_again_computes_nothing(model_file, tmp_path):
    store = tmp_path / "s.sqlite"
    first = ww.analyze(model_file, store=store)
    second = ww.analyze(model_file, store=store)
    assert (first.run.computed, first.run.reused) == (3, 0)
    assert (second.run.computed, second.run.reused) == (0, 3)
    assert (second.model, second.version) == (first.model, first.version) == ("net", "1")
    assert second.layers == first.layers
    assert second.run.id != first.run.id


def test_a_new_version_computes_only_what_changed(weights, tmp_path):
    store = tmp_path / "s.sqlite"
    ww.analyze(weights, store=store, name="net")
    weights["second.weight"] = weights["second.weight"] + np.float32(0.5)
    report = ww.analyze(weights, store=store, name="net")
    assert report.version == "2"
    assert (report.run.computed, report.run.reused) == (1, 2)


def test_one_tensor_under_two_names_is_computed_once(weights, tmp_path):
    weights["copy.weight"] = weights["first.weight"].copy()
    report = ww.analyze(weights, store=tmp_path / "s.sqlite")
    assert (report.run.computed, report.run.reused) == (3, 1)
    rows = {row.name: row for row in report.layers}
    assert rows["copy"].metrics == rows["first"].metrics
    # Their layers differ: one has a bias.
    layers = {row.name: row for row in report.layer_metrics}
    assert layers["first"].metrics["bias_mean"].is_ok
    assert not layers["copy"].metrics["bias_mean"].is_ok


def test_a_second_profile_does_not_reuse_what_differs(weights, tmp_path):
    store = tmp_path / "s.sqlite"
    other = ww.Profile(
        name="two-sided",
        description="The standard Kolmogorov-Smirnov distance.",
        metrics=("alpha", "D", "alpha_weighted", "stable_rank"),
        parameters={"power_law.ks": "two-sided"},
    )
    calls = []

    @ww.metric(version="1")
    def counted(singular_values):
        """Counts its calls."""
        calls.append(1)
        return 0.0

    # On most small matrices both distances agree; on this one they do not.
    weights["first.weight"] = np.random.Generator(np.random.Philox(7)).standard_normal((40, 30)).astype(np.float32)
    the_plugin = plugin(counted, profiles=[other])
    default = ww.analyze(weights, store=store, plugins=[the_plugin])
    assert len(calls) == 3
    second = ww.analyze(weights, store=store, plugins=[the_plugin], profile="two-sided")
    fresh = ww.analyze(weights, plugins=[the_plugin], profile="two-sided")
    assert len(calls) == 3
    assert [row.metrics for row in second.layers] == [row.metrics for row in fresh.layers]
    assert [row.metrics["D"] for row in second.layers] != [row.metrics["D"] for row in default.layers]
    assert second.layers[0].metrics["stable_rank"] == default.layers[0].metrics["stable_rank"]
    assert second.run.computed == 0  # the spectra are the same, and stored


def test_an_override_is_shown_in_the_name(weights):
    report = ww.analyze(weights, parameters={"power_law.ks": "two-sided"}, metrics=["alpha", "alpha_weighted"])
    assert list(report.layers[0].metrics) == ["alpha[ks=two-sided]", "alpha_weighted[power_law.ks=two-sided]"]


def test_a_stored_spectrum_is_as_read_only_as_a_fresh_one(weights, tmp_path):
    @ww.metric(version="1")
    def meddling(singular_values):
        """Changes what it is given."""
        singular_values /= singular_values[0]
        return singular_values.sum()

    @ww.metric(version="1")
    def nuclear(singular_values):
        """Sum of the singular values."""
        return singular_values.sum()

    store = tmp_path / "s.sqlite"
    ww.analyze(weights, store=store)
    for _ in range(2):
        report = ww.analyze(weights, store=store, plugins=[plugin(meddling, nuclear)])
        row = report.layers[0].metrics
        assert str(row["meddling"].state) == "failed"
        assert row["nuclear"].number > row["spectral_norm"].number


def test_a_metric_that_came_later_needs_no_weights(model_file, tmp_path):
    store = tmp_path / "s.sqlite"
    ww.analyze(model_file, store=store)

    @ww.metric(version="1")
    def late(alpha, singular_values):
        """Uses a stored value and a stored spectrum."""
        return alpha * singular_values[0]

    report = ww.analyze(model_file, store=store, plugins=[plugin(late)])
    assert (report.run.computed, report.run.reused) == (0, 3)
    metrics = report.layers[0].metrics
    assert metrics["late"].number == pytest.approx(metrics["alpha"].number * metrics["spectral_norm"].number)


def test_a_narrow_run_hides_nothing_of_a_wide_one(weights, tmp_path):
    store = tmp_path / "s.sqlite"
    wide = ww.analyze(weights, store=store, name="net")
    ww.analyze(weights | {"second.weight": weights["second.weight"] * 2}, store=store, name="net")
    narrow = ww.analyze(weights, store=store, name="net", version="1", metrics=["log_norm"])
    assert (narrow.run.computed, narrow.run.reused) == (0, 3)
    ww.analyze(weights, store=store, name="net", version="1", extractors=["slice"])
    difference = diff("net@1", "net@2", store=store)
    assert all(own.difference.first and own.difference.second for own in difference.layers if own.extractor)
    with ww.open_store(store, mode="read") as opened:
        assert opened.report("net@1").layers == wide.layers
        assert {row.extractor for row in opened.report("net@1", variant="slice").layers} == {"matrix", "slice"}


def test_without_stored_spectra_values_are_the_same(model_file, tmp_path):
    with_them = ww.analyze(model_file, store=tmp_path / "a.sqlite")
    without = ww.analyze(model_file, store=tmp_path / "b.sqlite", keep_spectra=False)
    assert without.layers == with_them.layers
    again = ww.analyze(model_file, store=tmp_path / "b.sqlite", keep_spectra=False)
    assert (again.run.computed, again.run.reused) == (0, 3)


def test_changed_code_under_the_same_version_is_a_warning(weights, tmp_path):
    store = tmp_path / "s.sqlite"

    def version_of(body):
        scope = {"ww": ww}
        exec(f'@ww.metric(version="1")\ndef shifty(singular_values):\n    "A number."\n    return {body}\n', scope)
        return plugin(scope["shifty"])

    first = ww.analyze(weights, store=store, plugins=[version_of("1.0")])
    assert not first.warnings
    second = ww.analyze(weights, store=store, plugins=[version_of("2.0 * singular_values[0]")])
    assert any("shifty: its code changed, but not its version" in warning for warning in second.warnings)
    assert second.layers[0].metrics["shifty"].number == 1.0


def test_a_metric_of_a_matrix_that_looks_at_its_layer_belongs_to_the_layer(weights, tmp_path):
    @ww.metric(version="1")
    def with_bias(singular_values, layer):
        """One more where there is a bias."""
        return singular_values[0] + (1 if layer.has_bias else 0)

    weights["copy.weight"] = weights["first.weight"].copy()
    report = ww.analyze(weights, store=tmp_path / "s.sqlite", plugins=[plugin(with_bias)])
    rows = {row.name: row.metrics for row in report.layers}
    assert rows["first"]["with_bias"].number == rows["copy"]["with_bias"].number + 1
    assert rows["first"]["alpha"] == rows["copy"]["alpha"]
    again = ww.analyze(weights, store=tmp_path / "s.sqlite", plugins=[plugin(with_bias)])
    assert again.run.computed == 0
    assert again.layers == report.layers


def test_a_model_metric_sees_columns_in_order_with_a_mask(weights):
    seen = {}

    @ww.metric(version="1", scope="model")
    def look(alpha, weight_mean, layers, matrices):
        """How many matrices have an alpha."""
        seen.update(alpha=alpha, mean=weight_mean, layers=layers, matrices=matrices)
        return float(alpha.count())

    weights["identity.weight"] = np.eye(9, dtype=np.float32)
    report = ww.analyze(weights, plugins=[plugin(look)])
    assert [place.layer for place in seen["matrices"]] == [row.name for row in report.layers]
    assert list(seen["alpha"].mask) == [not row.metrics["alpha"].is_ok for row in report.layers]
    assert [layer.name for layer in seen["layers"]] == [row.name for row in report.layer_metrics]
    assert len(seen["mean"]) == len(seen["layers"])
    assert report.model_metrics["look"].number == len(report.layers) - 1


def test_extractors_side_by_side(weights, tmp_path):
    store = tmp_path / "s.sqlite"
    both = ww.analyze(weights, store=store, extractors=["slice", "pool"])
    rows = [(row.extractor, row.index) for row in both.layers if row.name == "conv"]
    assert rows == [("slice", index) for index in range(9)] + [("pool", 0)]
    assert [row.extractor for row in both.layers if row.name == "first"] == ["matrix"]
    # The summary speaks of the first: nine slices and the two dense layers.
    assert both.summary["alpha"].count == 11
    pool = ww.analyze(weights, store=store)
    assert pool.run.computed == 0


def test_a_label_that_stands_on_other_weights_is_refused_unless_moved(weights, tmp_path):
    store = tmp_path / "s.sqlite"
    ww.analyze(weights, store=store, name="net", version="v1")
    other = weights | {"first.weight": weights["first.weight"] * np.float32(2)}
    with pytest.raises(ww.UsageError, match="net@v1 stands on other weights"):
        ww.analyze(other, store=store, name="net", version="v1")
    moved = ww.analyze(other, store=store, name="net", version="v1", move_label=True)
    assert moved.version == "v1"


def test_the_digest_is_of_content_alone(weights, model_file, tmp_path):
    renamed = tmp_path / "renamed.safetensors"
    save_file(weights, renamed, metadata={"note": "other header"})
    digests = {ww.analyze(source).digest for source in (weights, model_file, renamed)}
    assert len(digests) == 1


def test_a_file_rewritten_in_place_is_read_again(weights, model_file, tmp_path):
    store = tmp_path / "s.sqlite"
    first = ww.analyze(model_file, store=store)
    save_file(weights | {"first.weight": weights["first.weight"] * np.float32(3)}, model_file)
    second = ww.analyze(model_file, store=store)
    assert second.digest != first.digest
    assert second.run.computed == 1


def test_randomness_comes_from_content(weights):
    @ww.metric(version="1")
    def draw(rng):
        """A random number."""
        return rng.random()

    @ww.metric(version="1")
    def shuffled(randomized_eigenvalues):
        """Largest eigenvalue after a permutation."""
        return randomized_eigenvalues[0]

    the_plugin = plugin(draw, shuffled)
    one = ww.analyze(weights, plugins=[the_plugin], metrics=["draw", "shuffled"], jobs=1)
    two = ww.analyze(weights, plugins=[the_plugin], metrics=["draw", "shuffled"], jobs=2, layers=["second"])
    other = ww.analyze(weights, plugins=[the_plugin], metrics=["draw", "shuffled"], seed=1)
    by_name = {row.name: row.metrics for row in one.layers}
    assert two.layers[0].metrics == by_name["second"]
    assert other.layers[0].metrics["draw"] != one.layers[0].metrics["draw"]
    assert by_name["first"]["draw"] != by_name["second"]["draw"]
