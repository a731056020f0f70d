"""What the core gives to metrics: singular vectors, counts of entries, spectra of permuted matrices."""

from importlib import import_module
from types import SimpleNamespace

import numpy as np
import pytest

import ww_core as ww

RNG = np.random.default_rng(5)
WEIGHTS = {
    "conv.weight": RNG.standard_normal((6, 4, 3, 3)).astype(np.float32),
    "fc.weight": RNG.standard_normal((12, 7)).astype(np.float32),
}


def plugin(*metrics):
    return SimpleNamespace(ww_register_metrics=ww.hookimpl(lambda: list(metrics)))


@ww.metric(version="1", on_request=True)
def localization(left_singular_vectors, right_singular_vectors):
    """Inverse participation ratio of the first pair of singular vectors."""
    first = np.concatenate([left_singular_vectors[:, 0], right_singular_vectors[:, 0]])
    return float(np.sum(np.abs(first) ** 4))


@ww.metric(version="1", on_request=True, batched=True)
def worst_reconstruction(matrix, left_singular_vectors, right_singular_vectors):
    """Largest element of what the singular vectors leave of the matrices, off the diagonal."""
    diagonal = left_singular_vectors.conj().mT @ matrix @ right_singular_vectors
    values = np.einsum("bii->bi", diagonal)
    assert np.all(np.diff(values.real, axis=1) <= 1e-12)
    assert np.abs(values.imag).max() < 1e-12
    return float(np.abs(diagonal - values[..., None] * np.eye(values.shape[1])).max())


def test_singular_vectors_of_one_matrix():
    report = ww.analyze(WEIGHTS, plugins=[plugin(localization)], metrics=["localization"])
    left, _, right = np.linalg.svd(WEIGHTS["fc.weight"].astype(np.float64))
    expected = np.sum(left[:, 0] ** 4) + np.sum(right[0] ** 4)
    by_name = {row.name: row.metrics["localization"] for row in report.layers}
    assert by_name["fc"].number == pytest.approx(expected, rel=1e-12)
    assert by_name["conv"].state == "not_applicable"
    assert "9 matrices are pooled" in by_name["conv"].reason
    sliced = ww.analyze(WEIGHTS, plugins=[plugin(localization)], metrics=["localization"], extractors=["slice"])
    assert all(row.metrics["localization"].is_ok for row in sliced.layers)


@pytest.mark.parametrize("extractor", ["pool", "stack", "fft"])
def test_singular_vectors_of_a_batch(extractor):
    report = ww.analyze(
        WEIGHTS, plugins=[plugin(worst_reconstruction)], metrics=["worst_reconstruction"], extractors=[extractor]
    )
    assert all(row.metrics["worst_reconstruction"].number < 1e-12 for row in report.layers)


def test_singular_vectors_are_refused_where_a_weight_is_not_finite():
    weights = {"fc.weight": np.array([[1.0, np.nan], [0.0, 1.0]], np.float32)}
    report = ww.analyze(weights, plugins=[plugin(localization)], metrics=["localization"])
    assert report.layers[0].metrics["localization"].explain() == "refused: 1 of 4 weights are NaN or infinite"


@pytest.mark.parametrize("extractor", ["pool", "slice", "stack", "fft", "fft[n=5]"])
def test_counts_of_entries(extractor):
    @ww.metric(version="1", on_request=True)
    def missed(n_entries, multiplicities, singular_values, n_rows, n_cols) -> int:
        """How many singular values are not accounted for."""
        assert multiplicities.shape == (n_entries,)
        assert not multiplicities.flags.writeable
        return int(multiplicities.sum()) * min(n_rows, n_cols) - singular_values.size

    report = ww.analyze(WEIGHTS, plugins=[plugin(missed)], metrics=["missed"], extractors=[extractor])
    assert [row.metrics["missed"].number for row in report.layers] == [0] * len(report.layers)


@ww.metric(version="1", on_request=True)
def top(randomized_eigenvalues):
    """Largest of a permuted matrix."""
    return float(randomized_eigenvalues[0])


@ww.metric(version="1", on_request=True, needs={"values": "randomized_singular_values[0]"})
def square(values):
    """The same by another name."""
    return float(values[0] ** 2)


@ww.metric(version="1", on_request=True, needs={"others": "randomized_eigenvalues"})
def excess(eigenvalues, others):
    """How far the largest stands out."""
    return float(eigenvalues[0] - others[0])


@ww.metric(
    version="1", on_request=True, needs={"one": "randomized_eigenvalues[1]", "other": "randomized_eigenvalues[2]"}
)
def between(one, other):
    """Of two other permutations."""
    return float(one[0] - other[0])


@pytest.fixture
def permutations(monkeypatch):
    keys = []
    module = import_module("ww_core.spectral.permutation")
    original = module.permuted

    def counted(entries, key):
        keys.append(key)
        return original(entries, key)

    monkeypatch.setattr(module, "permuted", counted)
    return keys


def values(report, metric):
    return {row.name: row.metrics[metric].number for row in report.layers}


def test_a_randomized_spectrum_is_made_once_for_all(permutations):
    the_plugin = plugin(top, square, excess)
    report = ww.analyze(WEIGHTS, plugins=[the_plugin], metrics=["top", "square", "excess"])
    assert len(permutations) == len(set(permutations)) == 2
    assert values(report, "top") == values(report, "square")


def test_each_number_is_a_permutation_of_its_own(permutations):
    report = ww.analyze(WEIGHTS, plugins=[plugin(top, between)], metrics=["top", "between"])
    assert len(permutations) == len(set(permutations)) == 6
    assert all(value != 0 for value in values(report, "between").values())


def test_the_first_randomized_spectrum_is_stored_and_filled_back(tmp_path, permutations):
    store = tmp_path / "s.sqlite"
    ww.analyze(WEIGHTS, store=store, name="net", plugins=[plugin(top)], metrics=["top"])
    permutations.clear()
    everything = plugin(top, square, excess, between)
    filled = ww.backfill(store, plugins=[everything], metrics=["square", "excess", "between"])
    assert permutations == []
    assert list(filled.needs_weights[0].metrics) == ["excess", "between"]  # alpha's own spectrum was never asked for
    with ww.open_store(store) as opened:
        assert not opened.verify().faults
        shown = opened.report("net")
    fresh = ww.analyze(WEIGHTS, plugins=[everything], metrics=["square"])
    assert values(shown, "square") == values(fresh, "square")


def test_every_randomized_spectrum_is_stored_and_filled_back(tmp_path, permutations):
    store = tmp_path / "s.sqlite"
    made = ww.analyze(WEIGHTS, store=store, name="net", plugins=[plugin(between)], metrics=["between", "spectral_norm"])
    permutations.clear()

    @ww.metric(version="1", on_request=True, needs={"one": "randomized_eigenvalues[2]", "key": "randomized_digest[2]"})
    def told(one, key) -> str:
        """The key of a permutation, and its largest eigenvalue."""
        return f"{key} {one[0]:.12g}"

    filled = ww.backfill(store, plugins=[plugin(told)], metrics=["told"])
    again = ww.analyze(WEIGHTS, store=store, name="net", plugins=[plugin(between, told)], metrics=["told"])
    assert permutations == []
    assert (filled.needs_weights, again.run.computed) == ((), 0)
    with ww.open_store(store) as opened:
        for row in again.layers:
            (matrix,) = opened.spectrum("net", row.name).matrices
            assert [each.number for each in matrix.permutations] == [1, 2]
            assert matrix.permuted is None
            second = matrix.permutations[1]
            assert row.metrics["told"].text == f"{second.digest} {second.spectrum.eigenvalues[0]:.12g}"
    assert len(values(made, "between")) == 2


def test_another_seed_is_another_spectrum(tmp_path, permutations):
    store = tmp_path / "s.sqlite"
    one = ww.analyze(WEIGHTS, store=store, name="net", plugins=[plugin(top)], metrics=["top"])
    other = ww.analyze(WEIGHTS, store=store, name="net", plugins=[plugin(top)], metrics=["top"], seed=1)
    assert len(set(permutations)) == 4
    assert set(values(one, "top").values()).isdisjoint(values(other, "top").values())
    with ww.open_store(store) as opened:
        assert not opened.verify().faults


def test_what_is_made_frequency_by_frequency_cannot_be_permuted():
    report = ww.analyze(WEIGHTS, plugins=[plugin(top)], metrics=["top"], extractors=["fft"])
    by_name = {row.name: row.metrics["top"] for row in report.layers}
    assert by_name["conv"].state == "not_applicable"
    assert by_name["fc"].is_ok


@pytest.mark.parametrize("name", ["randomized_eigenvalues[-1]", "randomized_eigenvalues[x]", "eigenvalues[1]"])
def test_a_number_that_is_none(name):
    metric = ww.metric(version="1", name="odd", needs={"own": name})(lambda own: own.sum())
    registry = ww.load_plugins(objects=[plugin(metric)])
    (problem,) = [problem.message for info, problem in registry.problems() if "odd" in problem.message]
    assert f"unknown need {name!r}" in problem


def test_a_backfill_never_asks_for_weights_behind_a_need_without_a_value(tmp_path):
    @ww.metric(version="1")
    def total(matrix):
        """Not applicable where several matrices are pooled."""
        return float(matrix.sum())

    @ww.metric(version="1")
    def ratio(total, top):
        """Needs a spectrum that is not stored, after something that has no value."""
        return total / top

    store = tmp_path / "s.sqlite"
    ww.analyze(WEIGHTS, store=store, name="net", metrics=["spectral_norm"])
    filled = ww.backfill(store, plugins=[plugin(total, top, ratio)], metrics=["ratio"])
    assert filled.filled[0].failures == ()
    assert filled.filled[0].values == 2  # total and ratio of the convolution say why they have none
    assert dict(filled.needs_weights[0].metrics) == {"ratio": 1}
