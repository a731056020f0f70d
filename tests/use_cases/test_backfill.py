"""What is filled in later is what an analysis with the weights would have said, and nothing reads a weight."""

import threading
from dataclasses import dataclass, replace

import numpy as np
import pytest
from safetensors.numpy import save_file
from sqlalchemy import func, select

import ww_core as ww
from ww_core.store import tables


def plugin(*metrics, **hooks):
    def hook(name, objects):
        def hooked(self):
            return list(objects)

        hooked.__name__ = name
        return ww.hookimpl(hooked)

    names = {"ww_register_metrics": metrics} | {f"ww_register_{kind}": objects for kind, objects in hooks.items()}
    return type("Late", (), {name: hook(name, objects) for name, objects in names.items()})()


@ww.metric(version="1")
def nuclear(singular_values):
    """Sum of the singular values."""
    return singular_values.sum()


@ww.quantity(version="1")
def shares(eigenvalues, noise_floor):
    """Shares of the eigenvalues above the noise."""
    above = eigenvalues[eigenvalues > noise_floor**2]
    return above / above.sum()


@dataclass(frozen=True)
class Halves:
    first: float = ww.column(doc="Share of the largest")
    count: int = ww.column(doc="How many make up half")
    most: bool = ww.column(doc="Whether the largest does")
    text: str = ww.column(doc="As a text")


@ww.metric(version="1")
def halves(shares, *, part: float = 0.5) -> Halves:
    """How the spectrum is shared out."""
    count = int(np.searchsorted(np.cumsum(shares), part)) + 1
    none = ww.NotApplicable("it takes several") if count > 5 else "few"
    return Halves(first=float(shares[0]), count=count, most=count == 1, text=none)


@ww.metric(version="1")
def over(alpha, nuclear, count):
    """A value that is stored, one that is new, and one of several columns."""
    return alpha / nuclear * count


@ww.metric(version="1")
def picky(n_rows, singular_values):
    """Has no value for some, for two reasons, and none that is a number for others."""
    if n_rows == 16:
        raise ww.Refused("not of convolutions")
    if n_rows == 30:
        raise ww.NotApplicable("not of these")
    return float("inf")


@ww.metric(version="1", scope="layer")
def moved(weight_mean, bias_mean):
    """Of stored values of the layer; most have no bias."""
    return weight_mean - bias_mean


@ww.metric(version="1")
def of_layer(spectral_norm, moved, layer):
    """A matrix that looks at its layer."""
    return spectral_norm * moved * layer.groups


@ww.metric(version="1")
def lottery(rng):
    """Random, by content."""
    return rng.random()


@ww.metric(version="1", scope="model")
def all_nuclear(nuclear, weight_mean, matrices, layers):
    """Of all of it."""
    return float(nuclear.sum() * weight_mean.sum() * len(matrices) * sum(layer.weight.size for layer in layers))


@ww.metric(version="1")
def heavy(weight, nuclear):
    """Needs the weights."""
    return weight.max() * nuclear


@ww.metric(version="1", scope="layer")
def biased(bias, stored_weight):
    """Needs the weights where there is a bias, and is not asked for them where there is none."""
    return bias.sum() * stored_weight.max()


@ww.metric(version="1", scope="model")
def all_heavy(heavy):
    """Needs what needs the weights."""
    return heavy.sum()


@ww.metric(version="1", resolution="full")
def log_determinant(singular_values):
    """Exact at the small end."""
    return np.log(singular_values).sum()


FROM_STORE = [nuclear, shares, halves, over, picky, moved, of_layer, lottery, all_nuclear]
FROM_WEIGHTS = [heavy, biased, all_heavy]
LATE = plugin(*FROM_STORE, *FROM_WEIGHTS, log_determinant)


def versions(weights):
    """Three versions of a network, each of which differs in one tensor from the one before."""
    second = weights | {"second.weight": weights["second.weight"] * np.float32(1.5)}
    third = second | {"first.bias": second["first.bias"] + np.float32(1)}
    return {"a": weights, "b": second, "c": third}


@pytest.fixture
def stored(weights, tmp_path):
    """A store of three versions, analysed before the plugin was there; the files are gone."""
    analyze_versions(weights, tmp_path / "s.sqlite")
    return tmp_path / "s.sqlite"


def report_of(path, name="net", profile=None):
    with ww.open_store(path, mode="read") as store:
        return store.report(name, profile)


def runs(path):
    with ww.open_store(path, mode="read") as store, store._reading() as connection:
        return len(connection.execute(select(tables.run.c.id)).all())


def analyze_versions(weights, path, **asked):
    """Analyse the versions, each from a file that is gone afterwards; return the reports."""
    reports = {}
    for version, arrays in versions(weights).items():
        file = path.with_name("net.safetensors")
        save_file(arrays, file)
        reports[version] = ww.analyze(file, store=path, name="net", version=version, **asked)
        file.unlink()
    return reports


def fresh_reports(weights, tmp_path, **asked):
    """Reports of an analysis with the plugin from the start."""
    return analyze_versions(weights, tmp_path / "fresh.sqlite", **asked)


def assert_same(filled, fresh, *, without=()):
    """Compare two reports, but for columns that the first one cannot have."""
    assert filled.summary == {label: own for label, own in fresh.summary.items() if label not in without}
    for kind in ("layers", "layer_metrics"):
        rows, fresh_rows = getattr(filled, kind), getattr(fresh, kind)
        assert [(row.name, row.kind, row.shape) for row in rows] == [
            (row.name, row.kind, row.shape) for row in fresh_rows
        ]
        for row, fresh_row in zip(rows, fresh_rows, strict=True):
            assert dict(row.metrics) == {label: o for label, o in fresh_row.metrics.items() if label not in without}
    assert dict(filled.model_metrics) == {label: o for label, o in fresh.model_metrics.items() if label not in without}
    assert filled.coverage == fresh.coverage


def summaries(path):
    with ww.open_store(path, mode="read") as store, store._reading() as connection:
        query = (
            select(tables.checkpoint.c.digest, tables.variant.c.digest.label("variant"), tables.summary)
            .join(tables.analysis, tables.analysis.c.id == tables.summary.c.analysis_id)
            .join(tables.structure, tables.structure.c.id == tables.analysis.c.structure_id)
            .join(tables.checkpoint, tables.checkpoint.c.id == tables.structure.c.checkpoint_id)
            .join(tables.variant, tables.variant.c.id == tables.summary.c.variant_id)
        )
        return {
            (row.digest, row.variant, row.layers, row.aggregate): (row.value, row.present, row.missing, row.partial)
            for row in connection.execute(query)
        }


def test_what_is_filled_in_is_what_a_fresh_analysis_says(stored, weights, tmp_path):
    late = plugin(*FROM_STORE)
    report = ww.backfill(stored, plugins=[late])
    assert (report.versions, report.versions_filled) == (3, 3)
    assert not report.needs_weights
    assert not report.not_repeatable
    assert not [failure for refill in report.filled for failure in refill.failures]
    fresh = fresh_reports(weights, tmp_path, plugins=[late])
    for version, wanted in fresh.items():
        filled = report_of(stored, f"net@{version}")
        assert filled.run.state == "done"
        assert (filled.run.computed, filled.run.reused) == (0, 3)
        assert filled.headline == wanted.headline
        assert_same(filled, wanted)
    assert summaries(stored) == summaries(tmp_path / "fresh.sqlite")


def test_the_second_time_there_is_nothing_to_do(stored):
    ww.backfill(stored, plugins=[LATE])
    before = runs(stored)
    report = ww.backfill(stored, plugins=[LATE])
    assert (report.filled, report.values) == ((), 0)
    assert runs(stored) == before
    assert ww.backfill(stored) == ww.backfill(stored, plugins=[plugin()])
    assert not ww.backfill(stored).filled


def test_what_is_said_of_stored_columns_becomes_that_of_today(weights, tmp_path):
    def flag(doubts):
        @ww.metric(version="1", doubts=doubts)
        def small(n_rows) -> bool:
            return n_rows < 100

        return plugin(small)

    store = tmp_path / "store.sqlite"
    ww.analyze(weights, store=store, name="net", plugins=[flag("")])  # as an older program did, that knew no doubts
    report = ww.backfill(store, plugins=[flag("alpha")])
    assert not report.filled
    with ww.open_store(store) as opened:
        told = {column.name: column.doubts for column in opened.report("net").columns}
    assert told["small"] == "alpha"
    before = store.read_bytes()
    assert not ww.backfill(store, plugins=[flag("alpha")]).warnings
    assert store.read_bytes() == before


def test_what_needs_the_weights_is_listed_and_the_rest_is_filled_in(stored, weights, tmp_path):
    late = plugin(*FROM_STORE, *FROM_WEIGHTS)
    report = ww.backfill(stored, plugins=[late])
    assert [(needed.model, needed.version) for needed in report.needs_weights] == [("net", v) for v in "abc"]
    needed = report.needs_weights[0]
    assert needed.metrics == {"heavy": 3, "biased": 1, "all_heavy": 0}
    assert needed.command.endswith(f"net.safetensors --name net --version a --store {stored}")
    fresh = fresh_reports(weights, tmp_path, plugins=[late])["b"]
    filled = report_of(stored, "net@b")
    # A column of which nothing can be had is not shown; one of which some can says why the rest is missing.
    assert "heavy" not in filled.layers[0].metrics
    by_name = {row.name: row.metrics["biased"] for row in filled.layer_metrics}
    assert by_name["first"].explain() == "failed: not computed: it needs the weights"
    assert by_name["conv"] == {row.name: row.metrics["biased"] for row in fresh.layer_metrics}["conv"]
    assert by_name["conv"].explain() == "not_applicable: the layer has no bias"
    for report in (filled, fresh):
        del report.summary["biased"]
        for row in report.layer_metrics:
            del row.metrics["biased"]
    assert_same(filled, fresh, without={"heavy", "all_heavy"})
    # The weights again, and everything is there.
    analyze_versions(weights, stored, plugins=[late])
    done = ww.backfill(stored, plugins=[late])
    assert (done.filled, done.needs_weights) == ((), ())


def test_a_full_spectrum_is_used_where_one_is_stored(weights, tmp_path):
    path, late = tmp_path / "s.sqlite", plugin(log_determinant)
    ww.analyze(weights, store=path, name="net")
    before = ww.backfill(path, plugins=[late], metrics=["log_determinant"])
    assert before.needs_weights[0].metrics == {"log_determinant": 3}
    assert not before.filled
    ww.analyze(weights, store=path, name="net", metrics=["smallest_singular_value"])
    report = ww.backfill(path, plugins=[late], metrics=["log_determinant"])
    assert (report.values, report.needs_weights) == (3, ())
    fresh = ww.analyze(weights, plugins=[late], metrics=["log_determinant"])
    again = ww.analyze(weights, store=path, plugins=[late], metrics=["log_determinant"])
    assert (again.run.computed, again.run.reused) == (0, 3)
    assert [row.metrics for row in again.layers] == [row.metrics for row in fresh.layers]


def test_an_analysis_takes_a_stored_full_spectrum_too(weights, tmp_path):
    path = tmp_path / "s.sqlite"
    ww.analyze(weights, store=path, metrics=["smallest_singular_value"])
    late = plugin(log_determinant)
    report = ww.analyze(weights, store=path, metrics=["log_determinant"], plugins=[late])
    assert (report.run.computed, report.run.reused) == (0, 3)
    assert report.layers == ww.analyze(weights, metrics=["log_determinant"], plugins=[late]).layers


def test_a_new_version_of_a_metric_takes_the_place_of_the_old_one(weights, tmp_path):
    path = tmp_path / "s.sqlite"

    def scaled(factor):
        def grown(singular_values):
            """A multiple."""
            return factor * singular_values[0]

        return grown

    def on_top(grown):
        """Of the metric that changes."""
        return grown + 1

    old, new = (
        plugin(ww.metric(version=str(factor))(scaled(factor)), ww.metric(version="1")(on_top)) for factor in (1, 2)
    )
    ww.analyze(weights, store=path, plugins=[old], name="net")
    report = ww.backfill(path, plugins=[new])
    assert report.values == 6
    fresh = ww.analyze(weights, plugins=[new])
    assert_same(report_of(path), fresh)


def test_requests_are_repeated_as_they_were(weights, tmp_path):
    asked = {
        "parameters": {"parameters": {"power_law.ks": "two-sided", "halves.part": 0.25}},
        "layers": {"layers": ["f*", "conv"]},
        "groups": {"groups": {"conv": 4}, "extractors": ["stack"]},
        "extractors": {"extractors": ["slice", "stack", "fft[n=4]"]},
        "precision": {"precision": "float32"},
        "seed": {"seed": 7},
        "peer": {"profile": "weightwatcher"},
        "everything": {
            "profile": "weightwatcher",
            "metrics": ["alpha", "over", "halves", "lottery"],
            "extractors": ["slice"],
            "layers": ["conv"],
            "precision": "float32",
            "seed": 3,
        },
    }
    late = plugin(*FROM_STORE)
    old = plugin(*(replace(own, version="0") for own in FROM_STORE if own is not halves), halves)
    for name, request in asked.items():
        path = tmp_path / f"{name}.sqlite"
        ww.analyze(weights, store=path, name="net", plugins=[old], **request)
        report = ww.backfill(path, plugins=[late])
        assert not report.needs_weights, name
        assert len(report.filled) == (name != "peer"), name  # whose metrics are all its own
        fresh = ww.analyze(weights, store=tmp_path / f"{name}-fresh.sqlite", name="net", plugins=[late], **request)
        assert_same(report_of(path), fresh)
        # A repetition is the same plan, so that the two can be compared.
        again = ww.analyze(weights, store=path, name="net", plugins=[late], **request)
        assert again.run.computed == 0
        assert again.layers == fresh.layers
        assert not ww.backfill(path, plugins=[late]).filled


def test_metrics_that_are_named_are_filled_in_alone(stored, weights, tmp_path):
    late = plugin(replace(nuclear, on_request=True), lottery)
    assert not any(refill.values > 9 for refill in ww.backfill(stored, plugins=[late]).filled)
    report = ww.backfill(stored, plugins=[late], metrics=["nuclear"])
    assert (report.values, len(report.filled)) == (4, 3)  # of the second and third, one and no tensor is new
    fresh = fresh_reports(weights, tmp_path, plugins=[late], metrics=["nuclear"])["a"]
    with ww.open_store(stored) as store, store.reading() as reader:
        (first, *_) = report.filled
        filled = reader.report(first.run)
    assert [dict(row.metrics) for row in filled.layers] == [dict(row.metrics) for row in fresh.layers]
    assert list(filled.layers[0].metrics) == ["nuclear"]
    # A run of some metrics hides nothing of a whole one.
    assert "alpha" in report_of(stored).layers[0].metrics
    assert not ww.backfill(stored, plugins=[late], metrics=["nuclear"]).filled


def test_parameters_of_what_is_not_filled_in_are_left_out(weights, tmp_path):
    path = tmp_path / "s.sqlite"
    ww.analyze(weights, store=path, name="net", parameters={"power_law.ks": "two-sided"})
    late = plugin(nuclear)
    report = ww.backfill(path, plugins=[late], metrics=["nuclear", "alpha"])
    assert not report.not_repeatable
    report = ww.backfill(path, plugins=[plugin(replace(nuclear, version="2"))], metrics=["nuclear"])
    assert report.values == 3
    assert not report.not_repeatable


def test_only_analyses_of_a_profile_are_repeated(weights, tmp_path):
    path = tmp_path / "s.sqlite"
    own = ww.Profile(name="own", description="All of it.")
    early, late = plugin(profiles=[own]), plugin(nuclear, profiles=[own])
    for profile in ("default", "own"):
        ww.analyze(weights, store=path, name="net", profile=profile, plugins=[early])
    report = ww.backfill(path, plugins=[late], profile="own")
    assert [refill.profile for refill in report.filled] == ["own"]
    assert "nuclear" not in report_of(path, profile="default").layers[0].metrics
    with pytest.raises(ww.UsageError, match="unknown profile 'onw'"):
        ww.backfill(path, plugins=[late], profile="onw")


def test_models_are_named_whole_or_by_version(stored, weights):
    ww.analyze(weights | {"first.weight": weights["first.weight"] * 3}, store=stored, name="other")
    late = plugin(nuclear)
    assert ww.backfill(stored, models=["net@b"], plugins=[late]).versions == 1
    assert ww.backfill(stored, models="other", plugins=[late]).versions_filled == 1
    report = ww.backfill(stored, models=["net", "net@a"], plugins=[late])
    assert report.versions == 3
    assert [refill.version for refill in report.filled] == ["a", "c"]
    digest = report_of(stored, "net@c").digest
    assert ww.backfill(stored, models=[digest[:10]]).versions == 1
    with pytest.raises(ww.StoreError, match="no model 'nets'"):
        ww.backfill(stored, models=["nets"])


def test_the_newest_analysis_stays_the_newest(weights, tmp_path):
    path = tmp_path / "s.sqlite"
    few = ww.Profile(name="few", description="Two of them.", metrics=("alpha", "stable_rank"))
    ww.analyze(weights, store=path, name="net", extractors=["slice"], plugins=[plugin(profiles=[few])])
    ww.analyze(weights, store=path, name="net", plugins=[plugin(profiles=[few])])
    ww.analyze(weights, store=path, name="net", profile="few", plugins=[plugin(profiles=[few])])
    late = plugin(nuclear, profiles=[few])
    report = ww.backfill(path, plugins=[late])
    assert [refill.profile for refill in report.filled] == ["default", "default", "few"]
    assert report_of(path).run.profile == "few"
    default = report_of(path, profile="default")
    assert {row.extractor for row in default.layers} == {"matrix", "pool"}
    assert "nuclear" in default.layers[0].metrics
    assert not ww.backfill(path, plugins=[late]).filled


def test_a_checkpoint_with_two_labels_is_filled_in_under_each_and_computed_once(weights, tmp_path):
    path = tmp_path / "s.sqlite"
    ww.analyze(weights, store=path, name="net", version="first")
    ww.analyze(weights, store=path, name="copy", version="later")
    report = ww.backfill(path, plugins=[plugin(nuclear)])
    assert report.versions == 2
    assert [(own.model, own.version, own.values) for own in report.filled] == [
        ("copy", "later", 3),
        ("net", "first", 0),
    ]
    assert report_of(path, "net").layers[0].metrics["nuclear"].is_ok
    assert report_of(path, "copy").layers[0].metrics["nuclear"].is_ok


def test_without_spectra_all_of_it_needs_the_weights(weights, tmp_path):
    path = tmp_path / "s.sqlite"
    ww.analyze(weights, store=path, name="net", keep_spectra=False)
    report = ww.backfill(path, plugins=[plugin(nuclear, halves, shares, heavy, lottery, over)])
    assert report.needs_weights[0].metrics == {"nuclear": 3, "halves": 3, "heavy": 3, "over": 3}
    assert report.values == 3  # what is random needs nothing
    filled = report_of(path)
    assert "nuclear" not in filled.layers[0].metrics
    assert filled.layers[0].metrics["lottery"].is_ok


def test_stored_values_are_enough_for_what_needs_no_spectrum(stored, monkeypatch):
    def decode(*arguments):
        raise AssertionError("a spectrum was read")

    monkeypatch.setattr("ww_core.store.values.decode_spectrum", decode)

    @ww.metric(version="1")
    def product(alpha, stable_rank):
        """Of stored values."""
        return alpha * stable_rank

    assert ww.backfill(stored, plugins=[plugin(product, moved, heavy)]).values == 10


def test_what_an_exception_costs_is_reported_and_tried_again(weights, tmp_path):
    path = tmp_path / "s.sqlite"
    ww.analyze(weights, store=path, name="net")
    broken = True

    @ww.metric(version="1")
    def moody(singular_values, n_rows):
        """Fails on convolutions at first."""
        if broken and n_rows == 16:
            raise ValueError("not today")
        return singular_values[0]

    late = plugin(moody, nuclear)
    report = ww.backfill(path, plugins=[late])
    (failure,) = report.filled[0].failures
    assert (failure.plugin, failure.subject) == ("Late", "conv pool 0")
    rows = {row.name: row.metrics for row in report_of(path).layers}
    assert rows["first"]["moody"].is_ok
    assert rows["conv"]["moody"].explain() == "failed: lost to an exception: see failures"
    assert rows["conv"]["nuclear"].is_ok
    assert ww.backfill(path, plugins=[late]).filled[0].failures
    broken = False
    assert not ww.backfill(path, plugins=[late]).filled[0].failures
    assert not ww.backfill(path, plugins=[late]).filled
    assert_same(report_of(path), ww.analyze(weights, plugins=[late]))


def test_what_cannot_be_repeated_is_said_once_and_the_rest_goes_on(stored, weights):
    gone = ww.Profile(name="gone", description="Away.", metrics=("alpha",))
    early = plugin(nuclear, profiles=[gone])
    for version, arrays in versions(weights).items():
        ww.analyze(arrays, store=stored, name="net", version=version, plugins=[early], metrics=["nuclear"])
    ww.analyze(weights, store=stored, name="net", profile="gone", plugins=[early])
    ww.analyze(weights, store=stored, name="net", parameters={"power_law.ks": "two-sided"})
    with ww.open_store(stored) as store, store._writing() as connection:
        request = tables.run.c.request
        renamed = func.replace(request, "power_law.ks", "power_law.kss")
        connection.execute(tables.run.update().where(request.contains("power_law.ks")).values(request=renamed))
    report = ww.backfill(stored, plugins=[plugin(lottery)])
    causes = {cause.reason.partition(": ")[0]: cause.versions for cause in report.not_repeatable}
    assert causes == {
        "unknown metric 'Late:nuclear'": 3,
        "unknown profile 'Late:gone'": 1,
        "unknown parameter of ww.metrics:power_law 'kss'": 1,
    }
    assert report.versions_filled == 3


def test_what_a_newer_program_asked_for_is_left_to_it(stored):
    with ww.open_store(stored) as store, store._writing() as connection:
        connection.execute(tables.run.update().where(tables.run.c.id == 1).values(request='{"later":1}'))
    report = ww.backfill(stored, plugins=[plugin(nuclear)])
    assert [(cause.reason, cause.versions) for cause in report.not_repeatable] == [
        ("a newer program asked for it: upgrade ww", 1)
    ]
    assert report.versions_filled == 2


def interrupt(monkeypatch):
    """Let Ctrl-C come after the first layer."""
    from ww_core.use_cases.run import Run

    flush = Run._flush

    def interrupted(self, pending):
        written = list(pending)
        flush(self, pending)
        if written:
            raise KeyboardInterrupt

    monkeypatch.setattr("ww_core.use_cases.run.FLUSH_SECONDS", 0)
    monkeypatch.setattr(Run, "_flush", interrupted)


def test_an_analysis_that_was_interrupted_does_not_end_for_want_of_weights(weights, tmp_path, monkeypatch):
    path = tmp_path / "s.sqlite"
    interrupt(monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        ww.analyze(weights, store=path, name="net", jobs=1)
    monkeypatch.undo()
    report = ww.backfill(path)
    assert not report.filled
    assert report.needs_weights[0].metrics["power_law"] == 2
    assert report_of(path).run.state == "interrupted"


def test_an_interrupted_backfill_goes_on_where_it_was(stored, weights, tmp_path, monkeypatch):
    late = plugin(*FROM_STORE)
    interrupt(monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        ww.backfill(stored, plugins=[late], jobs=1)
    monkeypatch.undo()
    assert "nuclear" not in report_of(stored, "net@a").layers[0].metrics  # what has not ended hides nothing
    rest = ww.backfill(stored, plugins=[late]).values
    analyze_versions(weights, tmp_path / "other.sqlite")
    assert 0 < rest < ww.backfill(tmp_path / "other.sqlite", plugins=[late]).values
    for version, wanted in fresh_reports(weights, tmp_path, plugins=[late]).items():
        assert_same(report_of(stored, f"net@{version}"), wanted)


def test_when_only_the_end_is_missing_a_run_makes_it_up(stored, monkeypatch):
    late = plugin(nuclear)

    def crash(*arguments):
        raise RuntimeError("the power went")

    monkeypatch.setattr("ww_core.store.summaries.record_summaries", crash)
    with pytest.raises(RuntimeError):
        ww.backfill(stored, plugins=[late], models=["net@a"])
    monkeypatch.undo()
    report = ww.backfill(stored, plugins=[late], models=["net@a"])
    assert (len(report.filled), report.values) == (1, 0)
    assert report_of(stored, "net@a").layers[0].metrics["nuclear"].is_ok


class Torn(ww.Checkpoint):
    """A checkpoint of which one tensor cannot be read."""

    format = "torn"

    def __init__(self):
        specs = [ww.TensorSpec(f"{name}.weight", "float32", (12, 8)) for name in ("good", "bad")]
        self.layers = tuple(ww.Layer(spec.name[:-7], ww.LayerKind.DENSE, spec) for spec in specs)

    def read(self, tensor):
        from contextlib import nullcontext

        if tensor.name.startswith("bad"):
            raise OSError("the disk is on fire")
        return nullcontext(np.random.default_rng(1).standard_normal((12, 8)).astype(np.float32))


class TornLoader(ww.Loader):
    name = "torn"
    description = "For tests."

    def probe(self, source):
        return 1.0 if source.value == ("torn",) else 0.0

    def open(self, source):
        return Torn()


def test_what_could_not_be_read_stays_so_and_its_summaries_are_partial(tmp_path):
    path = tmp_path / "s.sqlite"
    ww.analyze(("torn",), store=path, name="net", plugins=[plugin(loaders=[TornLoader()])])
    report = ww.backfill(path, plugins=[plugin(nuclear)])
    assert report.values == 1
    filled = report_of(path)
    assert (filled.coverage.analyzed, filled.coverage.failed) == (1, 1)
    assert ("bad", "it could not be read") in [(skip.name, skip.reason) for skip in filled.coverage.reasons]
    assert all(partial for *_, partial in summaries(path).values())
    assert summaries(path)


def test_a_weight_without_numbers_is_known_to_have_none(tmp_path):
    path = tmp_path / "s.sqlite"
    arrays = {"a.weight": np.ones((4, 3)), "empty.weight": np.ones((4, 0))}
    ww.analyze(arrays, store=path, name="net")

    @ww.metric(version="1", scope="layer")
    def peak(stored_weight):
        """The largest weight."""
        return stored_weight.max()

    late = plugin(peak)
    report = ww.backfill(path, plugins=[late])
    assert report.needs_weights[0].metrics == {"peak": 1}
    rows = {row.name: row.metrics["peak"] for row in report_of(path).layer_metrics}
    fresh = {row.name: row.metrics["peak"] for row in ww.analyze(arrays, plugins=[late]).layer_metrics}
    assert rows["empty"] == fresh["empty"]


def test_sources_of_one_content_are_filled_in_each(weights, tmp_path):
    path, late = tmp_path / "s.sqlite", plugin(nuclear, moved)
    for groups in ({}, {"conv": 2}):
        ww.analyze(weights, store=path, name="net", groups=groups)
    report = ww.backfill(path, plugins=[late])
    assert (report.versions, len(report.filled)) == (2, 2)
    for name, groups in (("net@1", 1), ("net@2", 2)):
        row = next(row for row in report_of(path, name).layers if row.name == "conv")
        assert (row.groups, row.metrics["nuclear"].is_ok) == (groups, True)


def test_two_backfills_and_an_analysis_at_once_agree(stored, weights, tmp_path):
    late, fresh = plugin(*FROM_STORE), fresh_reports(weights, tmp_path, plugins=[plugin(*FROM_STORE)])
    failed = []

    def work(function, *arguments, **options):
        try:
            function(*arguments, **options)
        except BaseException as error:
            failed.append(error)

    other = weights | {"first.weight": weights["first.weight"] * 3}
    threads = [threading.Thread(target=work, args=(ww.backfill, stored), kwargs={"plugins": [late]}) for _ in range(2)]
    threads.append(threading.Thread(target=work, args=(ww.analyze, other), kwargs={"store": stored, "name": "other"}))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert ww.backfill(stored, plugins=[late]).needs_weights == ()
    for version, wanted in fresh.items():
        assert_same(report_of(stored, f"net@{version}"), wanted)


def test_observers_see_each_run_and_versions_are_counted(stored):
    seen, counted = [], []

    class Watcher(ww.RunObserver):
        def on_start(self, start):
            seen.append((start.source.rpartition("/")[2], start.model, start.version, start.layers))

        def on_end(self, report):
            seen.append(report.run.state)

    late = plugin(nuclear)
    ww.backfill(stored, plugins=[late], observers=[Watcher()], on_version=lambda *count: counted.append(count))
    assert seen[:2] == [("net.safetensors", "net", "a", 3), "done"]
    assert len(seen) == 6
    assert counted == [(0, 3), (1, 3), (2, 3), (3, 3)]


def test_workers_that_share_no_memory_are_replaced(stored):
    report = ww.backfill(stored, plugins=[plugin(nuclear)], executor="processes")
    assert any("threads were used" in warning for warning in report.warnings)
    assert report.versions_filled == 3
    with pytest.raises(ww.UsageError, match="unknown executor"):
        ww.backfill(stored, executor="magic")


def test_an_open_store_will_do_and_a_missing_one_is_not_made(weights, tmp_path):
    with ww.open_store() as store:
        ww.analyze(weights, store=store, name="net")
        report = ww.backfill(store, plugins=[plugin(nuclear, heavy)])
        assert report.values == 3
        assert report.needs_weights[0].command == "ww analyze FILE --name net --version 1"
        assert store.report("net").layers[0].metrics["nuclear"].is_ok
    missing = tmp_path / "missing.sqlite"
    with pytest.raises(ww.StoreError, match="there is no store at"):
        ww.backfill(missing)
    assert not missing.exists()


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"metrics": ["nuklear"]}, "unknown metric 'nuklear'"),
        ({"metrics": ["shares"]}, "'shares' is a quantity"),
        ({"metrics": [""]}, "metrics must be texts"),
        ({"jobs": -1}, "jobs=-1 is negative"),
    ],
)
def test_what_cannot_be_asked_is_refused_at_once(stored, asked, sentence):
    with pytest.raises(ww.UsageError, match=sentence):
        ww.backfill(stored, plugins=[plugin(shares, nuclear)], **asked)


def test_a_changed_metric_of_the_same_version_is_a_warning(weights, tmp_path):
    path = tmp_path / "s.sqlite"

    def body(text):
        scope = {"ww": ww}
        exec(f'@ww.metric(version="1")\ndef shifty(singular_values):\n    "A number."\n    return {text}\n', scope)
        return scope["shifty"]

    ww.analyze(weights, store=path, name="net", plugins=[plugin(body("1.0"))])
    report = ww.backfill(path, plugins=[plugin(body("2.0 * singular_values[0]"), nuclear)])
    assert [warning for warning in report.warnings if "shifty: its code changed" in warning]
    assert report_of(path).layers[0].metrics["shifty"].number == 1.0


def test_the_command_asks_for_the_same_again(weights, tmp_path):
    path = tmp_path / "s.sqlite"
    source = tmp_path / "it's a net.safetensors"
    save_file(weights, source)
    ww.analyze(
        source,
        store=path,
        name='my "net"',
        version="v 1",
        profile="weightwatcher",
        extractors=["slice", "fft[n=4]"],
        metrics=["alpha", "stable_rank"],
        parameters={"power_law.ks": "two-sided"},
        layers=["f*", "conv"],
        groups={"conv": 2},
        seed=3,
        precision="float32",
        keep_spectra=False,
    )
    (needed,) = ww.backfill(path, plugins=[plugin(heavy, nuclear)], metrics=["heavy"]).needs_weights
    assert needed.command == (
        f"""ww analyze '{tmp_path}/it'"'"'s a net.safetensors' --name 'my "net"' --version 'v 1' """
        "--profile weightwatcher --extractor 'slice,fft[n=4]' --metrics heavy --groups conv=2 "
        f"--layers 'f*' --layers conv --seed 3 --precision float32 --store {path}"
    )


def test_what_stands_before_a_missing_value_decides(weights, tmp_path):
    """A metric asks for its needs in order, and the first that has no value ends it: here, before the weights."""
    path = tmp_path / "s.sqlite"

    @ww.metric(version="1")
    def early(n_rows):
        """Makes no sense for any."""
        raise ww.NotApplicable("never")

    @ww.metric(version="1", scope="layer")
    def unbiased(bias_mean, weight):
        """Has no value where there is no bias, whatever the weights are."""
        return weight.max() * bias_mean

    @ww.metric(version="1")
    def behind(early, matrix):
        """Is known to have no value once what it needs is stored."""
        return matrix.max()

    arrays = weights | {"nan.weight": np.full((9, 9), np.nan, dtype=np.float32)}
    ww.analyze(arrays, store=path, name="net", plugins=[plugin(early)])
    late = plugin(early, unbiased, behind)
    report = ww.backfill(path, plugins=[late])
    assert report.needs_weights[0].metrics == {"unbiased": 1}
    fresh = ww.analyze(arrays, plugins=[late])
    assert [row.metrics["behind"] for row in report_of(path).layers] == [row.metrics["behind"] for row in fresh.layers]
    fresh_rows = {row.name: row.metrics["unbiased"] for row in fresh.layer_metrics}
    for row in report_of(path).layer_metrics:
        assert row.name == "first" or row.metrics["unbiased"] == fresh_rows[row.name]


def test_a_matrix_without_a_spectrum_needs_the_weights(weights, tmp_path):
    path = tmp_path / "s.sqlite"
    ww.analyze(weights | {"nan.weight": np.full((9, 9), np.nan)}, store=path, name="net")
    report = ww.backfill(path, plugins=[plugin(nuclear, all_nuclear)])
    assert report.needs_weights[0].metrics == {"nuclear": 1, "all_nuclear": 0}
    assert report.values == 3
    assert "all_nuclear" not in report_of(path).model_metrics
    assert not ww.backfill(path, plugins=[plugin(nuclear, all_nuclear)]).filled


def test_a_whole_result_that_is_needed_is_made_again(stored, weights, tmp_path):
    @ww.metric(version="1")
    def fits(power_law):
        """Needs all the columns of a stored metric at once."""
        return power_law.alpha + power_law.D

    late = plugin(fits)
    assert not ww.backfill(stored, plugins=[late]).needs_weights
    for version, wanted in fresh_reports(weights, tmp_path, plugins=[late]).items():
        assert_same(report_of(stored, f"net@{version}"), wanted)
