"""Spectra are made in stacks: no digit depends on what is made together, and no failure either."""

import time
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ww_core as ww
from ww_core.compute.batches import batches_of

SHAPES = [(8, 6), (6, 8), (40, 40), (64, 48), (5, 4, 3, 3), (16, 16, 3, 3), (3, 2, 1, 1)]
SCALES = [1.0, 1e-30, 1e30, 0.0, 1e-40]
DTYPES = [np.float32, np.float16, np.float64]


@st.composite
def networks(draw):
    """Layers of few shapes, so that there are stacks, with matrices of zeros, tiny and huge numbers among them."""
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    weights = {}
    for index in range(draw(st.integers(2, 9))):
        numbers = random.standard_t(3, draw(st.sampled_from(SHAPES))) * draw(st.sampled_from(SCALES))
        with np.errstate(over="ignore", under="ignore"):
            weights[f"layer{index}.weight"] = numbers.astype(draw(st.sampled_from(DTYPES)))
    return weights


def rows(report):
    return {(row.name, row.extractor, row.index): dict(row.metrics) for row in report.layers}


@settings(max_examples=12, deadline=None)
@given(
    weights=networks(),
    jobs=st.integers(1, 3),
    extractor=st.sampled_from(["pool", "slice", "fft"]),
    order=st.randoms(use_true_random=False),
)
def test_a_layer_has_the_same_numbers_alone_and_in_any_company(weights, jobs, extractor, order):
    together = rows(ww.analyze(weights, jobs=jobs, extractors=[extractor]))
    names = list(weights)
    order.shuffle(names)
    assert rows(ww.analyze({name: weights[name] for name in names}, jobs=1, extractors=[extractor])) == together
    alone = [rows(ww.analyze({name: weights[name]}, extractors=[extractor])) for name in names]
    assert {key: metrics for own in alone for key, metrics in own.items()} == together


def test_one_that_is_not_finite_is_refused_and_the_others_are_not():
    random = np.random.default_rng(1)
    weights = {f"layer{index}.weight": random.standard_normal((30, 20)).astype(np.float32) for index in range(5)}
    whole = rows(ww.analyze(weights, jobs=1))
    weights["layer2.weight"] = weights["layer2.weight"].copy()
    weights["layer2.weight"][3, 4] = np.nan
    report = ww.analyze(weights, jobs=1)
    assert not report.failures
    for key, metrics in rows(report).items():
        if key[0] == "layer2":
            assert metrics["alpha"].explain() == "refused: 1 of 600 weights are NaN or infinite"
        else:
            assert metrics == whole[key]


@pytest.mark.parametrize("error", [MemoryError("too much"), ValueError("no")])
def test_a_stack_that_fails_is_repeated_one_by_one(monkeypatch, error):
    from ww_core.spectral import singular_values

    original = singular_values.spectra_of
    sizes = []

    def failing(batches, **options):
        sizes.append(len(batches))
        if len(batches) > 1 or batches[0].entries[0, 0, 0] == 7:
            raise error
        return original(batches, **options)

    monkeypatch.setattr(singular_values, "spectra_of", failing)
    weights = {f"layer{index}.weight": np.full((3, 2), index + 5.0) for index in range(4)}
    report = ww.analyze(weights, jobs=1, metrics=["spectral_norm"])
    assert sizes == [4, 1, 1, 1, 1]
    (failure,) = report.failures
    assert failure.subject == "layer2"
    assert failure.message == f"spectrum: {type(error).__name__}: {error}"
    assert [row.metrics["spectral_norm"].is_ok for row in report.layers if row.name != "layer2"] == [True] * 3


def task(cost, nbytes=0):
    return SimpleNamespace(cost=cost, nbytes=nbytes)


@given(
    st.lists(st.tuples(st.floats(0, 1e10), st.integers(0, 2**28)), max_size=40),
    st.integers(1, 8),
)
def test_batches_hold_all_in_order_within_their_bounds(sizes, jobs):
    tasks = [task(*own) for own in sorted(sizes, reverse=True)]
    batches = list(batches_of(tasks, jobs))
    assert [own for batch in batches for own in batch] == tasks
    for batch in batches:
        assert len(batch) == 1 or sum(own.nbytes for own in batch) <= 64 * 2**20
        assert len(batch) == 1 or sum(own.cost for own in batch) <= 2e9 * (1 + 1e-12)


class Reused(ww.Extractor):
    """Kernel slices, made one after the other in the same buffer."""

    name = "reused"
    version = "1"

    def plan(self, layer):
        return ww.MatrixPlan(matrices=9, entries=1, rows=layer.shape[0], cols=layer.shape[1])

    def matrices(self, weight, layer):
        buffer = np.empty((1, *weight.shape[:2]), weight.dtype)
        for index in range(9):
            buffer[0] = weight[:, :, index // 3, index % 3]
            yield ww.Matrix(index, buffer)


def test_an_extractor_may_fill_one_buffer_again_and_again():
    weights = {"conv.weight": np.random.default_rng(2).standard_normal((8, 6, 3, 3)).astype(np.float32)}
    plugin = SimpleNamespace(ww_register_extractors=ww.hookimpl(lambda: [Reused]))
    report = ww.analyze(weights, plugins=[plugin], extractors=["reused", "slice"])
    by_extractor = {}
    for row in report.layers:
        by_extractor.setdefault(row.extractor, []).append(dict(row.metrics))
    assert by_extractor["reused"] == by_extractor["slice"]


@pytest.mark.parametrize("need", ["singular_values", "matrix"])
@pytest.mark.parametrize("jobs", [1, 2])
def test_slow_metrics_cut_a_batch_short(monkeypatch, need, jobs):
    """Layers are done as they come, and none is lost; of those that are left, little was done before."""
    monkeypatch.setattr("ww_core.compute.worker.METRIC_SECONDS", 0.05)
    calls, seen = [], []

    @ww.metric(version="1", needs={"numbers": need})
    def slow(numbers):
        """Takes its time."""
        calls.append(numbers.size)
        time.sleep(0.03)
        return 1.0

    class Watch(ww.RunObserver):
        def on_layer(self, done):
            seen.append((done.name, len(calls)))

    random = np.random.default_rng(3)
    weights = {f"layer{index}.weight": random.standard_normal((6, 5)).astype(np.float32) for index in range(12)}
    plugin = SimpleNamespace(ww_register_metrics=ww.hookimpl(lambda: [slow]))
    report = ww.analyze(weights, plugins=[plugin], jobs=jobs, observers=[Watch()])
    assert not report.failures
    assert [row.metrics["slow"].number for row in report.layers] == [1.0] * 12
    assert 12 <= len(calls) <= 12 + 2 * jobs
    assert sorted(name for name, _ in seen) == sorted(f"layer{index}" for index in range(12))
    assert seen[0][1] < 12


def test_a_value_that_is_none_is_said_once():
    @ww.metric(version="1")
    def odd(matrix) -> int:
        """No whole number."""
        return float(matrix[0, 0]) + 0.5

    @ww.metric(version="1")
    def after(odd):
        """Needs it."""
        return odd

    plugin = SimpleNamespace(ww_register_metrics=ww.hookimpl(lambda: [odd, after]))
    report = ww.analyze({"fc.weight": np.eye(4)}, plugins=[plugin], metrics=["odd", "after"])
    (failure,) = report.failures
    assert "declared int and got 1.5" in failure.message
