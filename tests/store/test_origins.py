"""Who made which value, and taking back what a plugin made, on both databases."""

from __future__ import annotations

import numpy as np
import pytest

import ww_core as ww
from ww_core.errors import NotStoredError
from ww_core.plugins.discovery import load_plugins
from ww_core.store.store import open_store


class Plugin:
    """Registers what it is given."""

    def __init__(self, *metrics):
        self.metrics = metrics

    @ww.hookimpl
    def ww_register_metrics(self):
        return list(self.metrics)


@ww.metric(version="1")
def largest(singular_values):
    """Of a plugin that turns out to be wrong."""
    return float(singular_values[0])


@ww.quantity(version="1")
def doubled(largest):
    """Not stored."""
    return 2 * largest


@ww.metric(version="1")
def quadrupled(doubled):
    """Of another plugin, through a quantity that is not stored."""
    return 2 * doubled


@ww.metric(version="1", scope="model")
def total(quadrupled):
    """Of whole models."""
    return float(np.sum(quadrupled))


@ww.metric(version="1")
def bystander(singular_values):
    """Has nothing to do with it."""
    return float(singular_values[-1])


class wrong(Plugin):  # noqa: N801 - its name is that of the plugin
    pass


class other(Plugin):  # noqa: N801
    pass


OWN = ["largest", "quadrupled", "total", "bystander"]


def registry_of(version="1.0"):
    registry = load_plugins(objects=[wrong(largest), other(doubled, quadrupled, total, bystander)])
    for info in registry.plugins:
        if info.name == "wrong":
            info.distribution, info.version = "wrong-metrics", version
    return registry


def analyze(weights, store, version="1.0", **options):
    return ww.analyze(weights, store=store, name="net", metrics=OWN, registry=registry_of(version), **options)


@pytest.fixture
def store_path(tmp_path):
    return tmp_path / "s.sqlite"


@pytest.fixture
def store(store_url, weights):
    analyze(weights, store_url)
    with open_store(store_url) as store:
        yield store


def values(report):
    return {label: [row.metrics[label].value for row in report.layers] for label in report.labels("matrix")} | {
        label: [outcome.value] for label, outcome in report.model_metrics.items()
    }


def test_every_value_says_who_made_it(store):
    found = store.origins("net")
    assert list(dict.fromkeys(own.column for own in found)) == [*OWN, "(spectrum)"]
    by_column = {own.column: own for own in found}
    assert {own.values for own in found if own.column in OWN[:2]} == {3}
    own = by_column["largest"].origin
    assert (own.run, own.program, own.maker) == (1, f"ww {ww.__version__}", ("wrong", "wrong-metrics", "1.0"))
    assert {maker.plugin for maker in own.through} == {"ww.extractors", "ww.loaders"}
    assert "blas" in own.blas or "mkl" in own.blas
    through = {maker.plugin for maker in by_column["quadrupled"].origin.through}
    assert "wrong" in through
    assert "wrong" not in {maker.plugin for maker in by_column["bystander"].origin.through}
    assert {own.origin.maker.plugin for own in found if own.column == "(spectrum)"} == {"ww.extractors"}


def test_a_later_run_makes_only_what_is_missing(store, weights):
    ww.analyze(weights, store=store, name="net", metrics=["largest", "stable_rank"], registry=registry_of("2.0"))
    runs = {own.column: own.origin.run for own in store.origins("net", run=2) if own.column != "(spectrum)"}
    assert runs == {"largest": 1, "stable_rank": 2}
    versions = {own.origin.maker.version for own in store.origins("net", run=2) if own.column == "largest"}
    assert versions == {"1.0"}


@pytest.mark.parametrize("named", [("wrong", ""), ("wrong-metrics", "1.0")])
def test_what_a_plugin_made_is_taken_back_with_what_follows_from_it(store, weights, named):
    before = values(store.report("net"))
    removed = store.distrust(*named)
    assert (removed.values, removed.spectra, removed.files) == (3 + 3 + 1, 0, 0)
    after = store.report("net")
    assert values(after)["bystander"] == before["bystander"]
    for label in ("largest", "quadrupled"):
        assert {row.metrics[label].state for row in after.layers} == {ww.State.FAILED}
    assert after.summary["largest"].count == 0
    assert store.verify().faults == {}
    again = analyze(weights, store, "1.1")
    assert (again.run.computed, again.failures, values(again)) == (0, (), before)
    assert {own.origin.maker.version for own in store.origins("net") if own.column == "largest"} == {"1.1"}
    with pytest.raises(NotStoredError, match=r"nothing in this store came of wrong-metrics==3"):
        store.distrust("wrong-metrics", "3")


def test_what_a_later_run_made_of_it_goes_too(store_path, weights):
    with open_store(store_path) as store:
        ww.analyze(weights, store=store, name="net", metrics=["largest"], registry=registry_of("1.0"))
        analyze(weights, store, "2.0")  # of the stored values of 1.0
        removed = store.distrust("wrong-metrics", "1.0")
        assert removed.values == 3 + 3 + 1
        assert {own.column for own in store.origins("net", variant="bystander")} == {"bystander", "(spectrum)"}


def test_an_extractor_takes_its_spectra_and_all_that_was_computed_of_them(store, weights):
    late = ww.backfill(store, metrics=["stable_rank"], registry=registry_of())
    assert late.values > 0
    assert store.distrust("ww.extractors").spectra == 3
    report = store.report("net")
    assert {outcome.state for row in report.layers for outcome in row.metrics.values()} == {ww.State.FAILED}
    assert store.origins("net") == []
    assert store.verify().faults == {}
    assert analyze(weights, store).run.computed == 3


def test_a_loader_is_asked_to_read_again(store_path, model_file):
    with open_store(store_path) as store:
        ww.analyze(model_file, store=store, metrics=["stable_rank", "weight_moments"])
        removed = store.distrust("ww-core", ww.__version__)
        assert removed.files == 6
        assert store.info().counts["value"] == store.info().counts["spectrum"] == 0
        again = ww.analyze(model_file, store=store, metrics=["stable_rank", "weight_moments"])
        assert (again.version, again.failures) == ("1", ())
        assert store.verify().faults == {}


def test_wrong_names_change_nothing(store):
    before = store.info()
    with pytest.raises(NotStoredError, match=r"came of nix: what is there came of .*wrong \(wrong-metrics==1.0\)"):
        store.distrust("nix")
    with pytest.raises(ww.UsageError, match="is empty"):
        store.distrust("")
    with pytest.raises(NotStoredError):
        store.distrust("' OR 1=1 --")
    assert store.info().counts == before.counts


def test_a_store_without_any_result_says_so(store_path):
    with open_store(store_path) as store, pytest.raises(NotStoredError, match="no plugin that is recorded"):
        store.distrust("wrong")


def test_a_spectrum_that_is_filled_in_is_whole_and_says_who_made_it(store_path, weights):
    with open_store(store_path) as store:
        ww.analyze(weights, store=store, name="net", metrics=["spectral_norm"], keep_spectra=False)
        ww.analyze(weights, store=store, name="net", metrics=["entropy"])
        runs = {own.origin.run for own in store.origins("net", variant="entropy") if own.column == "(spectrum)"}
    assert runs == {2}


def test_models_without_the_weights_keep_their_values(store, weights):
    unrelated = {"fc.weight": weights["second.weight"] + 1}
    ww.analyze(unrelated, store=store, name="far", metrics=OWN, registry=registry_of("2.0"))
    store.distrust("wrong-metrics", "1.0")
    assert store.report("far").model_metrics["total"].is_ok
    assert store.report("net").model_metrics["total"].state is ww.State.FAILED


def test_what_was_taken_back_is_not_taken_back_twice(store):
    store.distrust("Wrong_Metrics")  # as installers compare names
    with pytest.raises(NotStoredError, match="all that came of wrong-metrics was taken back before"):
        store.distrust("wrong-metrics")


def test_a_loader_that_found_everything_stored_is_forgotten_too(store_path, model_file):
    with open_store(store_path) as store:
        ww.analyze(model_file, store=store, metrics=["stable_rank"])
        ww.analyze(model_file, store=store, metrics=["stable_rank"])
        store.distrust("ww.extractors")
        assert store.distrust("ww.loaders").files == 6
