import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import ml_dtypes
import numpy as np
import pytest

import ww_core as ww
from ww_core.domain.layer import LayerKind, TensorSpec
from ww_core.domain.rounding import ROUNDINGS
from ww_core.spectral import spectrum_of
from ww_plugins.extractors import Fft, Slice, Stack
from ww_plugins.extractors.fourier import is_transformed

KINDS = {3: "conv1d", 4: "conv2d", 5: "conv3d"}
CASES = {  # shape, groups, n
    "odd n": ((5, 4, 3, 3), 1, 5),
    "even n": ((4, 5, 3, 3), 1, 6),
    "n of the kernel": ((3, 4, 3, 3), 1, 0),
    "an oblong kernel": ((4, 3, 3, 2), 1, 5),
    "n of an oblong kernel": ((4, 3, 2, 4), 1, 0),
    "an even kernel": ((3, 3, 4, 4), 1, 4),
    "a kernel of one position": ((5, 3, 1, 1), 1, 4),
    "a grid of one place": ((5, 3, 1, 1), 1, 0),
    "groups": ((6, 2, 3, 3), 3, 4),
    "depthwise": ((4, 1, 3, 3), 4, 5),
    "depthwise with two outputs each": ((6, 1, 2, 3), 3, 4),
    "one axis": ((6, 4, 5), 1, 9),
    "one axis, groups": ((6, 2, 3), 2, 8),
    "three axes": ((3, 2, 2, 1, 2), 1, 4),
    "a large kernel": ((2, 2, 9, 8), 1, 10),
    "a large kernel, groups": ((4, 1, 9, 9), 2, 0),
}


def layer(shape, groups=1, dtype="float32", kind=None):
    kind = LayerKind(kind or KINDS[len(shape)])
    return ww.Layer("name", kind, TensorSpec("name.weight", dtype, tuple(shape)), groups=groups)


def drawn(shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def the_matrix(weight, groups=1, n=0):
    (matrix,) = Fft(n).matrices(weight, layer(weight.shape, groups, weight.dtype.name))
    return matrix


def operator(weight, groups, n):
    """The convolution as a matrix, element by element: y[o, x] = sum of weight[o, i, p] * input[i, (x + p) mod n]."""
    out, cols, *kernel = weight.shape
    places = np.indices((n,) * len(kernel)).reshape(len(kernel), -1)
    y = np.arange(places.shape[1])
    dense = np.zeros((out, y.size, groups * cols, y.size))
    for o, i, *position in np.ndindex(weight.shape):
        reached = (places + np.reshape(position, (-1, 1))) % n
        x = np.ravel_multi_index(tuple(reached), (n,) * len(kernel))
        dense[o, y, o // (out // groups) * cols + i, x] += weight[(o, i, *position)]
    return dense.reshape(out * y.size, -1)


def spectrum(matrix, resolution="full"):
    found = spectrum_of(matrix.entries, matrix.multiplicities, rounding=ROUNDINGS["float64"], resolution=resolution)
    return found.singular_values


@pytest.mark.parametrize("resolution", ["standard", "full"])
@pytest.mark.parametrize("case", CASES)
def test_the_spectrum_is_that_of_the_operator(case, resolution):
    shape, groups, n = CASES[case]
    weight = drawn(shape)
    found = spectrum(the_matrix(weight, groups, n), resolution) ** 2
    expected = np.linalg.svd(operator(weight, groups, n or max(shape[2:])), compute_uv=False) ** 2
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12 * expected[0])
    assert found.sum() == pytest.approx((n or max(shape[2:])) ** (len(shape) - 2) * np.square(weight).sum(), rel=1e-12)


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float32])
def test_arithmetic_is_in_float64_whatever_is_stored(dtype):
    weight = drawn((4, 3, 3, 3)).astype(dtype)
    matrix = the_matrix(weight, n=6)
    assert matrix.entries.dtype == np.complex128
    expected = np.linalg.svd(operator(weight.astype(np.float64), 1, 6), compute_uv=False) ** 2
    np.testing.assert_allclose(spectrum(matrix) ** 2, expected, rtol=0, atol=1e-12 * expected[0])


@pytest.mark.parametrize("case", CASES)
def test_the_plan_tells_what_will_come(case):
    shape, groups, n = CASES[case]
    plan, matrix = Fft(n).plan(layer(shape, groups)), the_matrix(drawn(shape), groups, n)
    length, axes = n or max(shape[2:]), len(shape) - 2
    assert (plan.matrices, plan.rows, plan.cols, plan.scale) == (1, shape[0] // groups, shape[1], 1.0)
    assert matrix.entries.shape == (plan.entries, plan.rows, plan.cols)
    assert tuple(matrix.multiplicities) == plan.multiplicities
    assert plan.n_eigenvalues == groups * length**axes * min(plan.rows, plan.cols)
    distinct = {min(u, tuple(-k % length for k in u)) for u in np.ndindex((length,) * axes)}
    assert plan.entries == groups * len(distinct)


@pytest.mark.parametrize("n", range(1, 12))
def test_one_of_each_conjugate_pair_of_frequencies_is_made(n):
    multiplicities = Fft(n).plan(layer((2, 2, 1, 1))).multiplicities
    assert len(multiplicities) == ((n**2 + 1) // 2 if n % 2 else (n**2 + 4) // 2)
    assert sum(multiplicities) == n**2
    assert multiplicities.count(1) == (1 if n % 2 else 4)


@pytest.mark.parametrize("case", CASES)
def test_pieces_are_numpys_transform(case):
    shape, groups, n = CASES[case]
    weight, n, axes = drawn(shape), n or max(shape[2:]), len(shape) - 2
    entries = the_matrix(weight, groups, n).entries
    transform = np.fft.fftn(weight, s=(n,) * axes, axes=range(2, len(shape)))
    by_frequency = np.moveaxis(transform.reshape(groups, shape[0] // groups, shape[1], -1), 3, 1)
    kept = [k for k, u in enumerate(np.ndindex((n,) * axes)) if u <= tuple(-j % n for j in u)]
    expected = by_frequency[:, kept].reshape(entries.shape)
    for length in (1, 3, len(kept) + 1, len(expected)):
        pieces = [entries[start : start + length] for start in range(0, len(expected), length)]
        np.testing.assert_allclose(np.concatenate(pieces), expected, rtol=0, atol=1e-14 * np.abs(expected).max())


def test_a_large_grid_is_never_held():
    weight = drawn((16, 16, 3, 3)).astype(np.float32)
    whole = 224 * 224 / 2 * 16 * 16 * 16
    tracemalloc.start()
    try:
        entries = the_matrix(weight, n=224).entries
        pieces = [entries[start : start + 64] for start in (0, 12_345, 25_089)]
        held, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert entries.shape == (25_090, 16, 16)
    assert [len(piece) for piece in pieces] == [64, 64, 1]
    assert held < peak < whole / 20
    assert np.abs(pieces[2].imag).max() == 0  # the last one, (112, 112), is its own conjugate


@pytest.mark.parametrize(
    ("shape", "groups", "n"),
    [((3, 2, 9, 11), 1, 0), ((4, 1, 12, 12), 2, 13), ((2, 2, 65), 1, 70), ((2, 1, 5, 5, 4), 1, 0)],
)
def test_a_large_kernel_is_transformed_at_once(shape, groups, n):
    assert is_transformed(int(np.prod(shape[2:])), (1, 1, 1))
    weight, n, axes = drawn(shape), n or max(shape[2:]), len(shape) - 2
    entries = the_matrix(weight, groups, n).entries
    places = np.indices((n,) * axes).reshape(axes, -1)
    kept = [k for k, u in enumerate(places.T) if tuple(u) <= tuple(-u % n)]
    positions = np.indices(shape[2:]).reshape(axes, -1)
    turns = np.exp(-2j * np.pi * (positions.T @ places[:, kept] % n) / n)
    expected = weight.reshape(groups, shape[0] // groups, shape[1], -1) @ turns
    expected = np.moveaxis(expected, 3, 1).reshape(entries.shape)
    for piece in (slice(0, 7), slice(5, len(kept) + 3), slice(0, len(expected))):
        np.testing.assert_allclose(entries[piece], expected[piece], rtol=0, atol=1e-13 * np.abs(expected).max())


@pytest.mark.parametrize(
    ("shape", "groups", "n"),
    [
        ((1, 1, 160, 160), 1, 0),
        ((1, 1, 120, 226), 1, 0),
        ((2, 1, 100, 160), 2, 0),
        ((1, 1, 60_000), 1, 0),
        ((1, 1, 8, 8), 1, 256),
        ((600, 60, 9, 9), 1, 64),  # 1.1 GiB, which are not held
    ],
)
def test_memory_does_not_grow_with_frequencies_times_positions(shape, groups, n):
    weight = drawn(shape).astype(np.float32)
    plan = Fft(n).plan(layer(shape, groups))
    tracemalloc.start()
    try:
        entries = the_matrix(weight, groups, n).entries
        pieces = [entries[start : start + 4] for start in (0, plan.entries // 2)]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert sum(piece.nbytes for piece in pieces) < peak
    assert peak - 3 * pieces[0].nbytes <= plan.making_bytes
    assert plan.making_bytes < 64 * 2**20


def test_threads_may_ask_at_once():
    entries = the_matrix(drawn((8, 3, 3, 3)), n=16).entries
    pieces = [slice(start, start + 7) for start in range(0, entries.shape[0], 7)]
    with ThreadPoolExecutor(4) as executor:
        together = list(executor.map(entries.__getitem__, pieces))
    for piece, found in zip(pieces, together, strict=True):
        np.testing.assert_array_equal(found, entries[piece])


def test_a_slice_has_step_one():
    with pytest.raises(ValueError, match="step 1, not 2"):
        the_matrix(drawn((2, 2, 3))).entries[0:2:2]


def test_quarter_turns_are_exact():
    shift = np.zeros((1, 1, 2))
    shift[0, 0, 1] = 1.0  # its matrices are the roots of unity
    found = the_matrix(shift, n=4096).entries[0:2049].ravel()
    np.testing.assert_array_equal(found[[0, 1024, 2048]], [1, -1j, -1])
    np.testing.assert_allclose(np.abs(found), 1, rtol=0, atol=2**-52)


def test_a_kernel_of_another_framework_is_taken_as_it_lies():
    stored = drawn((3, 2, 6, 8)).astype(ml_dtypes.bfloat16)  # (*kernel, in, out)
    weight = stored.transpose(3, 2, 0, 1)
    contiguous = np.ascontiguousarray(weight)
    np.testing.assert_array_equal(the_matrix(weight).entries[0:5], the_matrix(contiguous).entries[0:5])


@pytest.mark.parametrize("case", [name for name, (_, groups, _) in CASES.items() if groups == 1])
def test_the_stack_bounds_the_operator_from_both_sides(case):
    shape, _, n = CASES[case]
    weight, positions = drawn(shape), np.prod(shape[2:])

    def largest(extractor):
        return max(spectrum(matrix)[0] for matrix in extractor.matrices(weight, layer(shape)))

    within = 1 + 1e-12
    assert largest(Slice()) <= largest(Stack()) * within
    assert largest(Stack()) <= largest(Fft(n)) * within
    assert largest(Fft(n)) <= np.sqrt(positions) * largest(Stack()) * within


def test_an_analysis_takes_it():
    weight = drawn((6, 2, 3, 3))
    report = ww.analyze({"conv.weight": weight}, extractors=["fft[n=8]", "stack"], groups={"conv": 3})
    row, _ = report.layers
    assert not report.failures
    assert (row.extractor, row.N, row.M) == ("fft[n=8]", 2, 2)
    expected = np.linalg.svd(operator(weight, 3, 8), compute_uv=False)
    assert row.metrics["spectral_norm"].value == pytest.approx(expected[0], rel=1e-12)
    assert row.metrics["frobenius_norm"].value == pytest.approx(8 * np.linalg.norm(weight), rel=1e-12)
    assert row.metrics["hard_rank"].value == expected.size == 6 * 64
    assert row.metrics["n_tail"].value <= expected.size


def test_weights_that_are_not_finite_are_refused_before_anything_is_made():
    weight = drawn((3, 2, 3, 3))
    weight[0, 1, 2, 2], weight[2, 0, 0, 0] = np.nan, -np.inf
    with pytest.raises(ww.Refused) as caught:
        the_matrix(weight)
    assert caught.value.reason == "2 of 54 weights are NaN or infinite"


def test_sums_stay_within_float64():
    weight = drawn((3, 2, 3, 3))
    base = the_matrix(weight, n=5).entries[0:13]
    for exponent in (1000, -950):
        found = the_matrix(np.ldexp(weight, exponent), n=5).entries[0:13]
        np.testing.assert_array_equal(found, np.ldexp(base.real, exponent) + 1j * np.ldexp(base.imag, exponent))
    with pytest.raises(ww.Refused) as caught:
        the_matrix(np.full((1, 1, 3, 3), 1e308))
    assert caught.value.reason == "sums of 9 weights as large as 1e+308 may be beyond the range of float64"


def test_what_it_makes_nothing_of_is_told_why():
    def reason(n, *args, **kwargs):
        with pytest.raises(ww.NotApplicable) as caught:
            Fft(n).plan(layer(*args, **kwargs))
        return caught.value.reason

    assert reason(0, (5, 3), kind="dense") == "fft takes convolutions; layer is dense"
    assert reason(3, (5, 3, 3, 4)) == "a kernel of 3x4 does not fit into a grid of n = 3"
    assert reason(0, (9, 3, 2, 2), 2) == "9 output channels do not fall into 2 groups"
    assert reason(0, (9, 0, 2, 2)) == "a weight of shape 9x0x2x2 is empty"
    assert Fft(32).label == "fft[n=32]"


@pytest.mark.parametrize(("n", "groups"), [(100_000, 1), (10**30, 1), (2048, 64)])
def test_a_grid_that_cannot_be_held_is_not_applicable(n, groups):
    with pytest.raises(ww.NotApplicable, match="too large: take a smaller n"):
        Fft(n=n).plan(layer((64, 1, 3, 3), groups))
