"""Stored spectra, from the store and from a report."""

import copy
import gc
import pickle
import weakref

import numpy as np
import pytest

import ww_core as ww
from ww_core.errors import NotStoredError, UnknownNameError
from ww_core.store.store import open_store


@pytest.fixture
def store(tmp_path, weights):
    ww.analyze(weights, store=tmp_path / "s.sqlite", name="net")
    with open_store(tmp_path / "s.sqlite") as store:
        yield store


def singular_values(matrix):
    return np.linalg.svd(matrix.astype(np.float64), compute_uv=False)


def test_a_spectrum_is_that_of_the_matrix(store_url, weights):
    ww.analyze(weights, store=store_url, name="net")
    with open_store(store_url) as store:
        found = store.spectrum("net", "second")
    assert (found.model, found.version, found.layer, found.extractor) == ("net", "1", "second", "matrix")
    (own,) = found.matrices
    assert (own.index, own.rows, own.cols) == (0, 30, 20)
    expected = singular_values(weights["second.weight"])
    assert np.abs(own.spectrum.singular_values - expected).max() <= 1e-12 * expected[0]
    rms = np.sqrt(np.square(weights["second.weight"].astype(float)).mean())
    floor = 2.0**-23 / np.sqrt(12) * rms * (np.sqrt(30) + np.sqrt(20))
    assert own.spectrum.noise_floor == pytest.approx(floor)


def test_every_matrix_of_a_layer_has_its_own(store, weights):
    assert store.spectrum("net", "conv").extractor == "pool"  # the one that summaries speak of
    with pytest.raises(UnknownNameError, match=r"unknown extractor of layer conv 'slice': known: pool"):
        store.spectrum("net", "conv", "slice")
    ww.analyze(weights, store=store, name="net", extractors=["slice"])
    found = store.spectrum("net@1", "conv", "slice")
    slices = weights["conv.weight"].reshape(16, 8, 9)
    assert [own.index for own in found.matrices] == list(range(9))
    for own in found.matrices:
        expected = singular_values(slices[:, :, own.index])
        assert own.spectrum.singular_values == pytest.approx(expected, rel=1e-12)
    # An experiment hides nothing of the profile's own.
    assert store.spectrum("net", "conv").extractor == "pool"


def test_rows_and_frames_are_flat(store):
    found = store.spectrum("net", "first")
    rows = found.rows()
    assert list(rows[0]) == ["layer", "extractor", "index", "rank", "singular_value", "eigenvalue", "above_noise"]
    assert [row["rank"] for row in rows] == list(range(1, 31))
    assert all(row["eigenvalue"] == row["singular_value"] ** 2 for row in rows)
    frame = found.to_pandas()
    assert frame["singular_value"].tolist() == [row["singular_value"] for row in rows]
    assert frame["singular_value"].is_monotonic_decreasing


def test_a_digest_names_it_too_and_what_is_missing_is_said(store, weights):
    digest = store.report("net").digest
    store.forget("net")
    assert store.spectrum(digest[:8], "first").model == ""
    with pytest.raises(UnknownNameError, match=r"unknown layer 'frist': did you mean first\? \(ww show "):
        store.spectrum(digest, "frist")
    with pytest.raises(NotStoredError, match=r"layer 'norm' of .* has no spectrum: a vector has no spectrum"):
        store.spectrum(digest, "norm")
    with pytest.raises(ww.StoreError, match="no model 'net'"):
        store.spectrum("net", "first")
    with pytest.raises(ww.UsageError, match="the layer is empty"):
        store.spectrum(digest, "")


def test_spectra_of_several_layers_are_those_of_each(store):
    found = store.spectra("net", ["second", "norm", "conv"])
    assert list(found) == ["second", "norm", "conv"]
    for layer in ("second", "conv"):
        assert found[layer].rows() == store.spectrum("net", layer).rows()
    with pytest.raises(NotStoredError) as alone:
        store.spectrum("net", "norm")
    assert str(found["norm"]) == str(alone.value)
    assert store.spectra("net", []) == {}
    with pytest.raises(UnknownNameError, match="unknown layer 'frist'"):
        store.spectra("net", ["second", "frist"])
    with pytest.raises(NotStoredError, match="no model 'nothing'"):
        store.spectra("nothing", ["second"])
    with pytest.raises(ww.UsageError, match="the layer is empty"):
        store.spectra("net", ["second", ""])


def permutations(store, name="net", layer="second"):
    (matrix,) = store.spectrum(name, layer).matrices
    return [
        (each.number, each.seed, each.digest, each.spectrum.singular_values.tolist()) for each in matrix.permutations
    ]


def test_spectra_of_permuted_weights_travel_and_are_taken_back_with_the_rest(store_url, tmp_path, weights):
    options = {"metrics": ["correlation_traps"], "seed": 3, "name": "net"}
    ww.analyze({"second.weight": weights["second.weight"]}, store=store_url, **options)
    with open_store(store_url) as store:
        stored = permutations(store)
        assert [own[:2] for own in stored] == [(number, 3) for number in range(5)]
        assert not store.verify().faults
    ww.export_folder(tmp_path / "folder", store=store_url)
    ww.import_folder(tmp_path / "folder", store=tmp_path / "other.sqlite")
    with open_store(tmp_path / "other.sqlite") as other:
        assert permutations(other) == stored
        assert not other.verify().faults
        other.forget("net")
        assert other.collect_garbage().removed["spectrum"] == 6
        assert not other.verify().faults


def test_permutations_are_those_of_the_seed_and_the_precision_of_the_run(tmp_path, weights):
    path = tmp_path / "s.sqlite"
    for number, options in enumerate(({}, {"seed": 1}, {"precision": "float32"})):
        ww.analyze(weights, store=path, name=f"net-{number}", metrics=["correlation_traps"], **options)
    with open_store(path) as store:
        plain, seeded, single = (permutations(store, f"net-{number}") for number in range(3))
    assert [own[1] for own in seeded] == [1] * 5
    assert {own[2] for own in seeded}.isdisjoint(own[2] for own in plain)
    assert [own[:3] for own in single] == [own[:3] for own in plain]
    for one, other in zip(plain, single, strict=True):
        assert one[3] != other[3]
        assert one[3] == pytest.approx(other[3], rel=1e-4)


def test_spectra_that_were_not_kept_are_not_there(tmp_path, weights):
    path = tmp_path / "s.sqlite"
    report = ww.analyze(weights, store=path, name="net", keep_spectra=False)
    with pytest.raises(NotStoredError, match=r"the spectra of net@1 were not kept: analyse .* without --no-spectra"):
        report.spectrum("first")
    ww.analyze(weights, store=path, name="net", precision="float32")
    with open_store(path) as store:
        (own,) = store.spectrum("net", "first").matrices
    assert own.spectrum.precision == "float32"


def test_a_report_has_the_spectra_of_its_own_run(store_url, weights):
    report = ww.analyze(weights, store=store_url, name="net", extractors=["slice"])
    assert len(report.spectrum("conv").matrices) == 9
    assert report.spectrum("first", "matrix").matrices[0].spectrum.singular_values.size == 30
    with open_store(store_url) as store:
        assert store.report("net").spectrum("conv").extractor == "slice"
        assert store.report("net") == report


def test_a_report_travels_without_what_is_in_memory_and_without_a_password(weights, tmp_path):
    here = ww.analyze(weights, name="net")
    expected = here.spectrum("first").matrices[0].spectrum.singular_values
    assert expected.size == 30
    away = pickle.loads(pickle.dumps(here))
    assert away == here == copy.deepcopy(here)
    with pytest.raises(NotStoredError, match="has no open store"):
        away.spectrum("first")
    filed = pickle.loads(pickle.dumps(ww.analyze(weights, name="net", store=tmp_path / "s.sqlite")))
    assert (filed.spectrum("first").matrices[0].spectrum.singular_values == expected).all()
    (tmp_path / "s.sqlite").unlink()
    with pytest.raises(ww.StoreError, match="there is no store at"):
        filed.spectrum("first")
    server = ww.analyze(weights, name="net").stored
    assert b"secret" not in pickle.dumps(type(server)("x", ww_location("postgresql://me:secret@host/x")))


def ww_location(url):
    from ww_core.store.engine import Location

    return Location.of(url)


def test_a_store_in_memory_goes_with_its_report(weights):
    report = ww.analyze(weights, name="net")
    store = weakref.ref(report.stored._place)
    assert store() is not None
    del report
    gc.collect()
    assert store() is None


def test_a_report_never_speaks_of_another_run(tmp_path, weights):
    first = ww.analyze(weights, store=tmp_path / "s.sqlite", name="a")
    with open_store(tmp_path / "s.sqlite") as store:
        store.forget("a")
        store.collect_garbage()
        ww.analyze({"first.weight": weights["second.weight"]}, store=store, name="b")
    with pytest.raises(NotStoredError, match="run 1 is not stored any more"):
        first.spectrum("first")


def test_a_spectrum_says_under_which_profile_it_was_made(tmp_path):
    matrix = np.random.default_rng(0).standard_normal((80, 60))
    with open_store(tmp_path / "s.sqlite") as store:
        ww.analyze({"fc.weight": matrix}, store=store, name="m")
        ww.analyze({"fc.weight": matrix}, store=store, name="m", profile="trends-2020")
        plain, scaled = (store.spectrum("m", "fc", profile=profile) for profile in ("default", "trends-2020"))
    assert (plain.profile, plain.run, scaled.profile, scaled.run) == ("default", 1, "trends-2020", 2)
    assert plain.extractor_identity != scaled.extractor_identity
    expected = singular_values(matrix)
    assert plain.matrices[0].spectrum.singular_values == pytest.approx(expected, rel=1e-12)
    assert scaled.to_dict()["profile"] == "trends-2020"


def test_a_run_in_single_precision_has_its_own_spectrum(tmp_path, weights):
    path = tmp_path / "s.sqlite"
    double = ww.analyze(weights, store=path, name="net")
    single = ww.analyze(weights, store=path, name="net", precision="float32")
    for report, precision in ((double, "float64"), (single, "float32")):
        assert report.spectrum("first").matrices[0].spectrum.precision == precision
    with open_store(path) as store:
        runs = {own.origin.run for own in store.origins("net", run=1) if own.column == "(spectrum)"}
    assert runs == {1}
