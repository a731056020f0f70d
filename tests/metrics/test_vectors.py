"""How localised singular vectors are, against closed forms, brute force and random vectors."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import hadamard
from scipy.stats import entropy, ortho_group, unitary_group

import ww_core as ww
from ww_plugins.metrics import vectors

TOP = [column.name for column in vectors.top_vector.columns]
TAIL = [column.name for column in vectors.tail_vectors.columns]
RATIOS = [column.name for column in vectors.vector_ratios.columns]


def decomposed(entries):
    left, _, right = np.linalg.svd(entries, full_matrices=False)
    return left, right.conj().mT, entries


def top(entries, noise_floor=0.0):
    return vectors.top_vector(*decomposed(entries), noise_floor)


def parts(entries, n_tail, *, rank=None, counts=None, metric=vectors.tail_vectors, noise_floor=0.0):
    counts = np.ones(len(entries), np.int64) if counts is None else np.array(counts)
    rank = int(counts.sum()) * min(entries.shape[1:]) if rank is None else rank
    return metric(*decomposed(entries), counts, noise_floor, n_tail, rank)


def noise(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def complex_noise(*shape, seed=0):
    return (noise(*shape, seed=seed) + 1j * noise(*shape, seed=seed + 1)) / math.sqrt(2)


def ipr(vector):
    return float((np.abs(vector) ** 4).sum())


def shannon(vector):
    return entropy(np.abs(vector) ** 2) / math.log(vector.size)


def test_a_planted_vector_is_found_on_its_side():
    n_rows, n_cols = 40, 25
    one, flat = np.eye(n_rows)[7], np.ones(n_cols) / math.sqrt(n_cols)
    found = top(np.outer(one, flat)[None])
    assert (found.top_ipr_left, found.top_ipr_right) == pytest.approx((1.0, 1 / n_cols))
    assert found.top_localization_left == pytest.approx((n_rows + 2) / 3)
    assert found.top_localization_right == pytest.approx((n_cols + 2) / 3 / n_cols)
    assert (found.top_vector_entropy_left, found.top_vector_entropy_right) == pytest.approx((0.0, 1.0), abs=1e-12)
    assert found.top_gap == pytest.approx(1.0)


def test_vectors_of_hadamard_are_as_spread_as_can_be():
    n = 32
    basis = hadamard(n) / math.sqrt(n)
    found = parts((basis * np.arange(n, 0, -1.0) @ basis.T)[None], 10)
    for side in ("left", "right"):
        for part in ("tail", "bulk"):
            assert getattr(found, f"{part}_localization_{side}") == pytest.approx((n + 2) / 3 / n)
            assert getattr(found, f"{part}_vector_entropy_{side}") == pytest.approx(1.0)
    ratios = parts((basis * np.arange(n, 0, -1.0) @ basis.T)[None], 10, metric=vectors.vector_ratios)
    assert (ratios.tail_mean_loc_ratio, ratios.bulk_mean_loc_ratio) == pytest.approx((n, n))
    assert (ratios.tail_mean_part_ratio, ratios.bulk_var_part_ratio) == pytest.approx((n**0.25, 0.0), abs=1e-9)


def test_vectors_of_a_diagonal_are_single_units():
    found = parts(np.diag(np.arange(20, 0, -1.0))[None], 5)
    assert (found.tail_localization_left, found.bulk_localization_right) == pytest.approx((22 / 3, 22 / 3))
    assert (found.tail_vector_entropy_left, found.bulk_vector_entropy_right) == (0.0, 0.0)


@pytest.mark.parametrize("shape", [(30, 20), (20, 30), (25, 25)])
def test_means_are_those_of_one_vector_after_the_other(shape):
    entries = noise(*shape)[None]
    left, right, _ = (side[0] for side in decomposed(entries))
    found, ratios = parts(entries, 6, rank=15), parts(entries, 6, rank=15, metric=vectors.vector_ratios)
    first = top(entries)
    for side, basis in (("left", left), ("right", right)):
        n = len(basis)
        assert getattr(first, f"top_ipr_{side}") == pytest.approx(ipr(basis[:, 0]), rel=1e-12)
        assert getattr(first, f"top_vector_entropy_{side}") == pytest.approx(shannon(basis[:, 0]), rel=1e-12)
        for part, columns in (("tail", basis[:, :6]), ("bulk", basis[:, 6:15])):
            iprs, entropies = [ipr(own) for own in columns.T], [shannon(own) for own in columns.T]
            expected = np.mean(iprs) * (n + 2) / 3
            assert getattr(found, f"{part}_localization_{side}") == pytest.approx(expected, rel=1e-12)
            assert getattr(found, f"{part}_vector_entropy_{side}") == pytest.approx(np.mean(entropies), rel=1e-12)
    shorter = left if shape[0] <= shape[1] else right
    for part, columns in (("tail", shorter[:, :6]), ("bulk", shorter[:, 6:15])):
        loc = [np.linalg.norm(own, 1) / np.linalg.norm(own, np.inf) for own in columns.T]
        par = [np.linalg.norm(own, 2) / np.linalg.norm(own, 4) for own in columns.T]
        told = [getattr(ratios, f"{part}_{what}_ratio") for what in ("mean_loc", "var_loc", "mean_part", "var_part")]
        assert told == pytest.approx([np.mean(loc), np.var(loc), np.mean(par), np.var(par)], rel=1e-10)


def test_several_entries_are_pooled_and_count_as_often_as_they_do():
    entries, counts = complex_noise(3, 12, 9), [1, 2, 2]
    left, right, _ = decomposed(entries)
    values = np.linalg.svd(entries, compute_uv=False)
    pooled = sorted(((values[b, k], b, k) for b in range(3) for k in range(9) for _ in range(counts[b])), reverse=True)
    n_tail = next(cut for cut in range(10, 13) if pooled[cut - 1][1:] != pooled[cut][1:])
    found = parts(entries, n_tail, counts=counts)
    expected = np.mean([ipr(left[b, :, k]) for _, b, k in pooled[:n_tail]]) * 13 / 2
    assert found.tail_localization_left == pytest.approx(expected, rel=1e-12)
    expected = np.mean([shannon(right[b, :, k]) for _, b, k in pooled[n_tail:]])
    assert found.bulk_vector_entropy_right == pytest.approx(expected, rel=1e-12)
    _, b, k = pooled[0]
    assert top(entries).top_ipr_right == pytest.approx(ipr(right[b, :, k]), rel=1e-12)


def test_a_real_entry_among_complex_ones_counts_as_real():
    """As those of the frequencies that are their own conjugates."""
    real = noise(1, 12, 9)
    found = parts(real.astype(np.complex128), 3)
    assert found.tail_localization_left == pytest.approx(parts(real, 3).tail_localization_left, rel=1e-10)
    mixed = np.concatenate([3.0 * real, complex_noise(1, 12, 9)])
    assert top(mixed).top_localization_left == pytest.approx(top(real).top_localization_left, rel=1e-10)


@pytest.mark.parametrize(("draw", "h"), [(noise, 0.5), (complex_noise, 1.0)])
def test_vectors_of_noise_are_those_of_porter_and_thomas(draw, h):
    """Their moments: an IPR of 3 / (n + 2), complex 2 / (n + 1), and the entropy of a Dirichlet law."""
    from scipy.special import digamma

    n, m = 80, 60
    found = parts(draw(4, n, m), 1)
    columns = decomposed(draw(4, n, m))[0].transpose(0, 2, 1).reshape(-1, n)
    spread = np.std([ipr(own) for own in columns]) * (n + 2 if h == 0.5 else n + 1) / (3 if h == 0.5 else 2)
    assert found.bulk_localization_left == pytest.approx(1.0, abs=4 * spread / math.sqrt(4 * m))
    expected = (digamma(h * n + 1) - digamma(h + 1)) / math.log(n)
    spread = np.std([shannon(own) for own in columns])
    assert found.bulk_vector_entropy_left == pytest.approx(expected, abs=4 * spread / math.sqrt(4 * m))


def with_values(left, values, right):
    return (left * values) @ right.conj().T


@pytest.mark.parametrize(("group", "is_real"), [(ortho_group, True), (unitary_group, False)])
def test_a_space_of_equal_values_counts_with_the_mean_over_its_vectors(group, is_real):
    n, d = 9, 4
    rng = np.random.default_rng(5)
    left, right = group.rvs(n, random_state=rng), group.rvs(n, random_state=rng)
    values = np.array([*[5.0] * d, *np.linspace(3.0, 1.0, n - d)])
    found = parts(with_values(left, values, right)[None], d, noise_floor=1e-12)
    drawn = rng.standard_normal((d, 40_000)) + (0 if is_real else 1j) * rng.standard_normal((d, 40_000))
    points = left[:, :d] @ (drawn / np.linalg.norm(drawn, axis=0))
    iprs = (np.abs(points) ** 4).sum(axis=0) * ((n + 2) / 3 if is_real else (n + 1) / 2)
    entropies = entropy(np.abs(points) ** 2, axis=0) / math.log(n)
    assert found.tail_localization_left == pytest.approx(iprs.mean(), abs=5 * iprs.std() / 200)
    assert found.tail_vector_entropy_left == pytest.approx(entropies.mean(), abs=5 * entropies.std() / 200)
    # What basis the SVD took does not matter: another one of the space has the same.
    turn = group.rvs(d, random_state=rng)
    turned = [left.copy(), right.copy()]
    for side in turned:
        side[:, :d] = side[:, :d] @ turn
    sides = [(left, right), turned]
    same = [
        vectors.tail_vectors(u[None], v[None], with_values(u, values, v)[None], np.ones(1, np.int64), 1e-12, d, n)
        for u, v in sides
    ]
    assert same[0].tail_localization_left == pytest.approx(same[1].tail_localization_left, rel=1e-10)
    assert same[0].tail_vector_entropy_right == pytest.approx(same[1].tail_vector_entropy_right, rel=1e-10)


def test_all_of_space_is_as_noise_is():
    found = parts(np.eye(20)[None], 20)
    assert found.tail_localization_left == pytest.approx(1.0)
    with pytest.raises(ww.Refused, match="equal up to rounding"):
        top(np.eye(20)[None])
    ratios = parts(np.eye(20)[None], 20, metric=vectors.vector_ratios)
    assert isinstance(ratios.tail_mean_loc_ratio, ww.Refused)
    assert isinstance(ratios.bulk_mean_loc_ratio, ww.NotApplicable)


def test_values_that_rounding_could_have_parted_have_no_vectors_of_their_own():
    values = np.array([1.0, 1.0 - 1e-4, 0.5, 0.2])
    entries = with_values(ortho_group.rvs(4, random_state=1), values, ortho_group.rvs(4, random_state=2))[None]
    assert top(entries, noise_floor=1e-5).top_gap == pytest.approx(1e-4)
    with pytest.raises(ww.Refused, match="equal up to rounding"):
        top(entries, noise_floor=1e-3)
    with pytest.raises(ww.Refused, match="not above the noise floor"):
        top(entries, noise_floor=2.0)
    alone = parts(entries, 3, noise_floor=1e-3, metric=vectors.vector_ratios)
    third = np.linalg.svd(entries[0])[0][:, 2]
    assert alone.tail_mean_loc_ratio == pytest.approx(np.abs(third).sum() / np.abs(third).max())
    assert alone.tail_var_loc_ratio == 0.0


def test_two_entries_with_one_largest_value_have_no_first_vector():
    entries = np.stack([np.diag([3.0, 1.0]), np.diag([3.0, 2.0])])
    with pytest.raises(ww.Refused, match="equal up to rounding"):
        top(entries)


def fields(result):
    return np.array(list(vars(result).values()), np.float64)


@settings(max_examples=30)
@given(seed=st.integers(0, 10_000), exponent=st.integers(-900, 900), is_complex=st.booleans())
def test_order_signs_and_scale_of_the_weights_change_nothing(seed, exponent, is_complex):
    rng = np.random.default_rng(seed)
    entries = (complex_noise if is_complex else noise)(2, 8, 6, seed=seed)
    changed = entries[:, rng.permutation(8)][:, :, rng.permutation(6)] * rng.choice([-1.0, 1.0], (1, 8, 1))
    changed = changed[::-1] * 2.0**exponent
    for found, other in (
        (top(entries), top(changed)),
        (parts(entries, 4), parts(changed, 4)),
        (parts(entries, 4, metric=vectors.vector_ratios), parts(changed, 4, metric=vectors.vector_ratios)),
    ):
        assert fields(found) == pytest.approx(fields(other), rel=1e-6)
    turned = fields(parts(entries.conj().mT, 4))
    assert turned.reshape(-1, 2)[:, ::-1].ravel() == pytest.approx(fields(parts(entries, 4)), rel=1e-6)


WEIGHTS = {
    "fc.weight": noise(30, 20, seed=3).astype(np.float32),
    "conv.weight": noise(12, 10, 3, 3, seed=4).astype(np.float32),
    "orthogonal.weight": np.linalg.qr(noise(24, 24, seed=5))[0].astype(np.float32),
    "rank one.weight": np.outer(noise(15), np.ones(12)),
    "zero.weight": np.zeros((12, 10)),
    "row.weight": noise(1, 12, seed=6),
    "number.weight": noise(1, 1, seed=6),
}


def analysed(extractors):
    names = ["top_vector", "tail_vectors", "vector_ratios", "n_tail", "hard_rank"]
    report = ww.analyze(WEIGHTS, metrics=names, extractors=[extractors])
    assert report.failures == ()
    return {row.name: row.metrics for row in report.layers if not row.index}


def test_every_weight_has_an_answer():
    found = analysed("pool")
    numbers = [name for name, own in found.items() if all(own[column].is_ok for column in TOP)]
    assert numbers == ["fc", "conv", "rank one"]
    numbers = [name for name, own in found.items() if all(own[column].is_ok for column in [*TAIL, *RATIOS])]
    assert numbers == ["fc", "conv"]
    assert found["orthogonal"]["top_ipr_left"].reason.startswith("the two largest singular values are equal")
    assert found["zero"]["top_gap"].reason == "the matrix is zero"
    assert found["row"]["top_localization_left"].number == pytest.approx(1.0)
    assert found["row"]["top_vector_entropy_left"].reason == "a vector of one number has no entropy"


def test_they_are_of_the_matrices_that_an_extractor_makes():
    slices = np.moveaxis(WEIGHTS["conv.weight"].astype(np.float64).reshape(12, 10, 9), -1, 0)
    expected = top(slices)
    assert analysed("pool")["conv"]["top_ipr_left"].number == pytest.approx(expected.top_ipr_left, rel=1e-9)
    own = analysed("pool")["conv"]
    told = parts(slices, own["n_tail"].number, rank=own["hard_rank"].number)
    assert [own[name].number for name in TAIL] == pytest.approx(list(fields(told)), rel=1e-9)
    assert analysed("slice")["conv"]["top_ipr_left"].number == pytest.approx(top(slices[:1]).top_ipr_left, rel=1e-9)
    frequencies = np.fft.fft2(WEIGHTS["conv.weight"].astype(np.float64), s=(5, 5)).reshape(12, 10, 25)
    by_frequency = np.moveaxis(frequencies, -1, 0)
    largest = by_frequency[np.linalg.svd(by_frequency, compute_uv=False)[:, 0].argmax()]
    found = analysed("fft[n=5]")["conv"]
    assert found["top_ipr_right"].number == pytest.approx(top(largest[None]).top_ipr_right, rel=1e-7)
    assert all(found[name].is_ok for name in [*TAIL, *RATIOS])
