"""What a store tells of runs: which there were, and what each made of each layer, on both databases."""

import pytest

import ww_core as ww
from ww_core.store.store import open_store


@pytest.fixture
def stored(store_url, weights):
    """Three runs of one version: of the profile, of one metric, and an experiment; and another model."""
    reports = [
        ww.analyze(weights, store=store_url, name="net"),
        ww.analyze(weights, store=store_url, name="net", metrics=["alpha"], layers=["first", "conv"]),
        ww.analyze(weights, store=store_url, name="net", extractors=["slice", "fft[n=5]", "fft[n=2]"]),
    ]
    ww.analyze(weights, store=store_url, name="other", profile="weightwatcher")
    with open_store(store_url, mode="read") as store:
        yield store, reports


def test_runs_are_listed_as_they_answer(stored):
    store, (whole, narrow, experiment) = stored
    runs = store.runs("net")
    assert [run.number for run in runs] == [whole.run.id, narrow.run.id, experiment.run.id]
    assert [(run.narrowed, run.experiment) for run in runs] == [(False, False), (True, False), (False, True)]
    assert store.report("net").run.id == runs[0].number
    for run, report in zip(runs, (whole, narrow, experiment), strict=True):
        told = report.run
        assert (run.profile, run.state, run.computed, run.reused) == ("default", "done", told.computed, told.reused)
        assert run.seconds == pytest.approx(told.seconds, abs=1)
        assert (run.source, run.failed) == ("<dict object>", 0)
        assert run.started_at <= run.finished_at
        assert run.started_at.endswith("Z")
        assert run.program.startswith("ww")


def test_a_run_says_what_was_asked(stored):
    store, _ = stored
    whole, narrow, experiment = store.runs("net@1")
    assert not whole.asked.get("metrics")
    assert narrow.asked["metrics"] == ["ww.metrics:alpha"]
    assert narrow.asked["layers"] == ["first", "conv"]
    assert experiment.asked["extractors"] == [
        "ww.extractors:slice", "ww.extractors:fft[n=5]", "ww.extractors:fft[n=2]",
    ]  # fmt: skip


def test_runs_of_a_profile_and_of_a_digest(stored):
    store, (whole, *_) = stored
    (run,) = store.runs("other", "weightwatcher")
    assert run.profile == "weightwatcher"
    assert [run.number for run in store.runs(whole.digest)] == [run.number for run in store.runs("other")]
    with pytest.raises(ww.NotStoredError, match="never analysed under profile 'trends-2020'"):
        store.runs("net", "trends-2020")
    with pytest.raises(ww.NotStoredError, match="no model 'nett'"):
        store.runs("nett")
    with pytest.raises(ww.UsageError, match="profile is empty"):
        store.runs("net", "")


def test_coverage_tells_what_each_extractor_made_of_each_layer(stored):
    store, (whole, _, experiment) = stored
    coverage = store.layer_coverage("net")
    assert coverage == whole.layer_coverage()
    assert [(covered.layer, covered.extractor) for covered in coverage] == [
        ("first", "matrix"), ("second", "matrix"), ("conv", "pool"), ("norm", "matrix"),
    ]  # fmt: skip
    first, _, conv, norm = coverage
    assert (conv.kind, conv.shape, conv.groups) == ("conv2d", (16, 8, 3, 3), 1)
    assert (conv.extractor_key, conv.is_primary, conv.parameters["factor"]) == ("ww.extractors:pool", True, "1")
    assert (conv.matrices, conv.rows, conv.cols, conv.eigenvalues) == (1, 16, 8, 72)
    assert (first.state, first.reason, first.eigenvalues) == ("analyzed", "", 30)
    assert conv.seconds > 0
    assert (norm.state, norm.reason) == ("statistics", "a vector has no spectrum")
    assert (norm.matrices, norm.eigenvalues, norm.seconds) == (0, 0, 0)

    coverage = store.layer_coverage("net", run=experiment.run.id)
    assert coverage == store.layer_coverage("net", variant="fft[n=5]") == experiment.layer_coverage()
    sliced, large, small = [covered for covered in coverage if covered.layer == "conv"]
    assert (sliced.matrices, sliced.eigenvalues, sliced.is_primary) == (9, 72, True)
    assert (large.extractor, large.extractor_key) == ("fft[n=5]", "ww.extractors:fft")
    assert (large.parameters, large.eigenvalues, large.is_primary) == ({"n": 5}, 200, False)
    assert (small.parameters, small.state, small.matrices) == ({"n": 2}, "statistics", 0)
    assert small.reason == "a kernel of 3x3 does not fit into a grid of n = 2"


def test_coverage_counts_the_spectra_of_the_runs_own_precision(store_url, weights):
    ww.analyze(weights, store=store_url, name="net", layers=["first"])
    coarse = ww.analyze(weights, store=store_url, name="net", layers=["first"], precision="float32")
    with open_store(store_url, mode="read") as store:
        for run in store.runs("net"):
            (covered,) = [one for one in store.layer_coverage("net", run=run.number) if one.extractor]
            assert covered.eigenvalues == 30
    assert [one.eigenvalues for one in coarse.layer_coverage() if one.extractor] == [30]


def test_a_layer_that_no_extractor_was_asked_about(store_url, weights):
    report = ww.analyze(weights, store=store_url, name="net", metrics=["weight_mean"], layers=["first"])
    assert {(covered.layer, covered.state, covered.reason) for covered in report.layer_coverage()} == {
        ("first", "statistics", "no metric of a matrix is selected"),
        ("conv", "skipped", "not selected"),
        ("norm", "skipped", "not selected"),
        ("second", "skipped", "not selected"),
    }
    assert {(c.extractor, c.extractor_key, len(c.parameters)) for c in report.layer_coverage()} == {("", "", 0)}


def test_spectra_that_were_not_kept_are_counted(store_url, weights):
    report = ww.analyze(weights, store=store_url, name="net", keep_spectra=False)
    assert [covered.eigenvalues for covered in report.layer_coverage()] == [30, 20, 72, 0]


def test_a_report_in_memory_has_its_coverage_and_one_whose_run_is_gone_says_so(tmp_path, weights):
    assert [covered.eigenvalues for covered in ww.analyze(weights).layer_coverage()] == [30, 20, 72, 0]
    report = ww.analyze(weights, store=tmp_path / "s.sqlite", name="net")
    with open_store(tmp_path / "s.sqlite") as store:
        store.forget("net")
        store.collect_garbage()
    with pytest.raises(ww.NotStoredError, match="run 1 is not stored any more"):
        report.layer_coverage()


def test_a_digest_with_a_run_of_its_label_keeps_the_name(stored):
    store, _ = stored
    report = store.report("net")
    (run,) = store.runs("other")
    assert store.report(report.digest[:12], run=run.number).model == "other"
