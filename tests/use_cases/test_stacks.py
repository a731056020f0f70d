"""Spectra are made in stacks: no digit depends on what is made together, and no failure either."""

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


@settings(max_examples=25, deadline=None)
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
        assert len(batch) == 1 or sum(own.cost for own in batch) <= 2e9
