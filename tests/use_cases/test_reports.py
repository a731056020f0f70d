"""What the store answers is what the analysis said, whatever came before or after."""

from contextlib import contextmanager

import numpy as np
import pytest
from sqlalchemy import select

import ww_core as ww
from ww_core.store import tables
from ww_core.use_cases.run import Run


class Foo:
    def __init__(self, name, value):
        self.__name__ = name
        self._value = value

    @ww.hookimpl
    def ww_register_metrics(self):
        value = self._value

        @ww.metric(version="1")
        def foo(singular_values):
            """A number."""
            return float(value)

        return [foo]


def test_a_clash_that_comes_later_changes_a_label_and_no_value(weights, tmp_path):
    path = tmp_path / "s.sqlite"
    one = Foo("one", 1)
    before = ww.analyze(weights, store=path, name="net", plugins=[one])
    after = ww.analyze(weights, store=path, name="net", plugins=[one, Foo("two", 2)])
    assert before.layers[0].metrics["foo"].number == after.layers[0].metrics["one:foo"].number == 1
    assert after.layers[0].metrics["two:foo"].number == 2
    with ww.open_store(path, mode="read") as store:
        assert store.report("net") == after


def test_an_override_that_becomes_the_profiles_own_changes_a_label_and_no_value(weights, tmp_path):
    class Plugin:
        @ww.hookimpl
        def ww_register_profiles(self):
            name, parameters = "p", {"power_law.ks": "two-sided"}
            return [ww.Profile(name=name, description="Two-sided.", metrics=("alpha",), parameters=parameters)]

    path = tmp_path / "s.sqlite"
    named = ww.analyze(weights, store=path, metrics=["alpha"], parameters={"power_law.ks": "two-sided"})
    own = ww.analyze(weights, store=path, plugins=[Plugin()], profile="p")
    assert named.layers[0].metrics["alpha[ks=two-sided]"] == own.layers[0].metrics["alpha"]
    assert own.run.computed == 0


def test_sources_of_one_content_keep_their_own_coverage(weights, tmp_path):
    torch = pytest.importorskip("torch")
    path = tmp_path / "s.sqlite"
    plain = {name: torch.from_numpy(array) for name, array in weights.items() if name != "steps"}
    reports = {}
    for names in (("tied",), ("other", "more"), ()):  # further names of one tensor, which the digest does not cover
        source = plain | dict.fromkeys(names, plain["second.weight"])
        reports[names] = ww.analyze(source, store=path, name="net")
    assert len({report.digest for report in reports.values()}) == 1
    for names, report in reports.items():
        assert [skip.name for skip in report.coverage.reasons if skip.name != "norm"] == list(names)
    assert len({report.coverage.parameters for report in reports.values()}) == 1


def test_summaries_of_other_groups_do_not_take_the_place_of_the_plain_ones(weights, tmp_path):
    path = tmp_path / "s.sqlite"

    def plain_summaries():
        with ww.open_store(path, mode="read") as store, store._reading() as connection:
            query = (
                select(tables.summary)
                .join(tables.in_force, tables.in_force.c.analysis_id == tables.summary.c.analysis_id)
                .join(tables.label, tables.label.c.id == tables.in_force.c.label_id)
                .where(tables.label.c.name == "1", tables.summary.c.layers == "all")
            )
            return {(row.variant_id, row.aggregate): row.value for row in connection.execute(query)}

    ww.analyze(weights, store=path, name="net")
    before = plain_summaries()
    ww.analyze(weights, store=path, name="net", groups={"conv": 4})
    ww.analyze(weights, store=path, name="net", layers=["first"])
    assert plain_summaries() == before
    assert before


def test_only_what_lost_something_is_partial(weights, tmp_path):
    path = tmp_path / "s.sqlite"

    class Plugin:
        @ww.hookimpl
        def ww_register_metrics(self):
            @ww.metric(version="1")
            def sometimes(singular_values, n_rows):
                """Fails on convolutions."""
                if n_rows == 16:
                    raise ValueError("no")
                return 1.0

            return [sometimes]

        @ww.hookimpl
        def ww_register_observers(self):
            class Watcher(ww.RunObserver):
                def on_layer(self, layer):
                    raise ValueError("no")

            return [Watcher()]

    ww.analyze(weights, store=path, plugins=[Plugin()])
    with ww.open_store(path, mode="read") as store, store._reading() as connection:
        query = select(tables.selection_variant.c.label, tables.summary.c.partial).join(
            tables.summary, tables.summary.c.variant_id == tables.selection_variant.c.variant_id
        )
        partial = {row.label for row in connection.execute(query) if row.partial}
    assert partial == {"sometimes"}


def test_what_was_left_out_once_is_filled_in_when_it_is_made_again(weights, tmp_path):
    path = tmp_path / "s.sqlite"
    ww.analyze(weights, store=path, keep_spectra=False)
    ww.analyze(weights, store=path, plugins=[Foo("one", 1)])
    with ww.open_store(path, mode="read") as store, store._reading() as connection:
        blobs = connection.execute(select(tables.spectrum.c.singular_values)).scalars().all()
    assert len(blobs) == 3
    assert all(blobs)


def test_an_interrupted_run_says_so_and_hides_no_run_that_ended(weights, tmp_path, monkeypatch):
    path = tmp_path / "s.sqlite"
    flush = Run._flush

    def interrupted(self, pending):
        flush(self, pending)
        raise KeyboardInterrupt

    monkeypatch.setattr("ww_core.use_cases.run.FLUSH_SECONDS", 0)
    monkeypatch.setattr(Run, "_flush", interrupted)
    with pytest.raises(KeyboardInterrupt):
        ww.analyze(weights, store=path, name="net", jobs=1)
    monkeypatch.undo()
    with ww.open_store(path, mode="read") as store:
        report = store.report("net")
    assert report.run.state == "interrupted"
    missing = [row for row in report.layers if not row.metrics["alpha"].is_ok]
    assert missing
    assert all("the run did not end" in row.metrics["alpha"].reason for row in missing)
    resumed = ww.analyze(weights, store=path, name="net")
    assert resumed.run.state == "done"
    assert resumed.run.computed == len(missing)
    assert resumed.run.reused == 3 - len(missing)
    with ww.open_store(path, mode="read") as store:
        assert store.report("net") == resumed


def test_numbers_at_the_end_of_the_range_have_a_mean():
    random = np.random.default_rng(0)
    weights = {f"{i}.weight": random.standard_normal((8, 6)) * 1e153 for i in range(12)}
    report = ww.analyze(weights)
    summary = report.summary["xmax"]
    assert summary.mean == pytest.approx(summary.median, rel=10)
    assert np.isfinite([summary.mean, summary.median]).all()


def test_the_stem_of_a_file_is_made_fit_to_be_a_name(weights, tmp_path):
    from safetensors.numpy import save_file

    path = tmp_path / "a@b\x07.safetensors"
    save_file(weights, path)
    assert ww.analyze(path).model == "a-b-"


def test_scalars_of_numpy_are_parameters(weights):
    report = ww.analyze(
        weights,
        parameters={"warning.over_trained": np.float32(50), "short_tail.below": np.int64(3)},
        seed=np.int64(3),
        metrics=["warning", "short_tail"],
    )
    assert report.layers[0].metrics["warning[over_trained=50.0]"].text == "over-trained"


class Twins(ww.Checkpoint):
    """Two layers of one weight and two biases, attached as the source says."""

    format = "twins"

    def __init__(self, attached):
        weight = ww.TensorSpec("w", "float64", (12, 8))
        bias = {name: ww.TensorSpec(name, "float64", (12,)) for name in ("low", "high")}
        self.layers = tuple(ww.Layer(name, ww.LayerKind.DENSE, weight, bias[attached[name]]) for name in "ab")

    @contextmanager
    def read(self, tensor):
        random = np.random.default_rng(5)
        yield (
            random.standard_normal((12, 8))
            if tensor.name == "w"
            else np.full(12, {"low": -1.0, "high": 1.0}[tensor.name])
        )


class TwinsLoader(ww.Loader):
    name = "twins"
    description = "For tests."

    def probe(self, source):
        return 1.0 if isinstance(source.value, tuple) else 0.0

    def open(self, source):
        return Twins(dict(source.value))


def test_sources_of_one_content_keep_their_own_biases(tmp_path):
    class Plugin:
        @ww.hookimpl
        def ww_register_loaders(self):
            return [TwinsLoader()]

    path = tmp_path / "s.sqlite"
    seen = {}
    for attached in ((("a", "low"), ("b", "high")), (("a", "high"), ("b", "low"))):
        report = ww.analyze(attached, store=path, plugins=[Plugin()], name="net")
        means = {row.name: row.metrics["bias_mean"].number for row in report.layer_metrics}
        assert means == {name: {"low": -1.0, "high": 1.0}[bias] for name, bias in attached}
        seen[attached] = report.digest
        # One tensor under two names: counted and decomposed once.
        assert report.coverage.parameters_analyzed == 96
    assert len(set(seen.values())) == 1


def test_a_run_is_done_only_with_its_summaries(weights, tmp_path, monkeypatch):
    path = tmp_path / "s.sqlite"

    def crash(*arguments):
        raise RuntimeError("the power went")

    monkeypatch.setattr("ww_core.store.summaries.record_summaries", crash)
    with pytest.raises(RuntimeError, match="the power went"):
        ww.analyze(weights, store=path, name="net")
    monkeypatch.undo()
    with ww.open_store(path, mode="read") as store, store._reading() as connection:
        assert connection.execute(select(tables.run.c.state)).scalars().all() == ["interrupted"]
    assert ww.analyze(weights, store=path, name="net").run.computed == 0


def test_what_an_observer_loses_at_the_end_is_in_the_report_and_the_summaries_stand(weights, tmp_path):
    path = tmp_path / "s.sqlite"

    class Nervous(ww.RunObserver):
        def on_end(self, report):
            with ww.open_store(path, mode="read") as store, store._reading() as connection:
                seen.append(len(connection.execute(select(tables.summary)).all()))
            raise RuntimeError("at last")

    seen = []
    report = ww.analyze(weights, store=path, name="net", observers=[Nervous()])
    assert [failure.stage for failure in report.failures] == ["observer"]
    assert seen[0] > 0
    with ww.open_store(path, mode="read") as store:
        assert store.report("net") == report
