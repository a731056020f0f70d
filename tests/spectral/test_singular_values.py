import math
import subprocess
import sys
import threading
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ww_core.domain.rounding import ROUNDINGS
from ww_core.errors import NotApplicable, Refused
from ww_core.spectral import cpu as module
from ww_core.spectral import spectrum_of
from ww_core.spectral.lapack import lapack
from ww_core.spectral.singular_values import Decomposable, spectra_of, stackable

DTYPES = {"float16": np.float16, "bfloat16": ml_dtypes.bfloat16, "float32": np.float32, "float64": np.float64}
SHAPES = [(1, 1, 1), (1, 1, 7), (1, 7, 1), (1, 30, 20), (1, 20, 30), (1, 25, 25), (9, 16, 12), (40, 1, 1), (5, 3, 8)]


def svd(entries):
    return np.sort(np.linalg.svd(np.asarray(entries, dtype=np.float64), compute_uv=False), axis=None)[::-1]


def assert_same_spectrum(found, expected):
    """Routes agree to 1e-10 of lambda_max."""
    np.testing.assert_allclose(np.square(found), np.square(expected), rtol=0, atol=1e-13 * expected[0] ** 2)


def small_matrices(max_side=8):
    return hnp.arrays(
        np.float64,
        st.tuples(st.integers(1, max_side), st.integers(1, max_side)),
        elements=st.floats(-100, 100, allow_subnormal=False),
    )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("resolution", ["standard", "full"])
def test_agrees_with_numpys_svd(dtype, shape, resolution):
    entries = np.random.default_rng(1).standard_normal(shape).astype(DTYPES[dtype])
    spectrum = spectrum_of(entries, rounding=ROUNDINGS[dtype], resolution=resolution)
    assert_same_spectrum(spectrum.singular_values, svd(entries))
    assert spectrum.singular_values.dtype == np.float64
    assert spectrum.singular_values.flags.c_contiguous
    assert (np.diff(spectrum.singular_values) <= 0).all()
    assert spectrum.resolution == resolution
    assert spectrum.route
    assert spectrum.seconds > 0


@pytest.mark.parametrize("resolution", ["standard", "full"])
@pytest.mark.parametrize("dtype", [np.complex64, np.complex128])
@pytest.mark.parametrize("shape", [(1, 6, 9), (7, 9, 6), (4, 1, 1)])
def test_complex_entries_agree_with_numpys_svd(shape, dtype, resolution):
    rng = np.random.default_rng(2)
    entries = (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).astype(dtype)
    expected = np.sort(np.linalg.svd(entries.astype(np.complex128), compute_uv=False), axis=None)[::-1]
    found = spectrum_of(entries, rounding=ROUNDINGS["float32"], resolution=resolution).singular_values
    assert_same_spectrum(found, expected)


def in_blocks_of(nbytes, monkeypatch):
    monkeypatch.setattr(module, "BLOCK_BYTES", nbytes)
    monkeypatch.setattr(module.Cpu, "piece_bytes", nbytes)


@pytest.mark.parametrize("shape", [(1, 40, 300), (1, 300, 40), (1, 64, 64), (50, 6, 10), (3, 40, 90)])
def test_blocks_and_chunks_do_not_show(shape, monkeypatch):
    entries = np.random.default_rng(3).standard_normal(shape).astype(np.float32)
    whole = spectrum_of(entries, rounding=ROUNDINGS["float32"])
    in_blocks_of(4096, monkeypatch)
    blocked = spectrum_of(entries, rounding=ROUNDINGS["float32"])
    assert_same_spectrum(blocked.singular_values, whole.singular_values)
    assert blocked.noise_floor == pytest.approx(whole.noise_floor, rel=1e-14)


def test_a_view_of_any_layout_gives_the_same():
    kernel = np.random.default_rng(4).standard_normal((12, 8, 3, 3)).astype(np.float32)
    view = kernel.reshape(12, 8, 9).transpose(2, 0, 1)
    for entries in (view, view.mT, np.ascontiguousarray(view), np.asfortranarray(view), view[::-1, ::-1]):
        assert_same_spectrum(spectrum_of(entries, rounding=ROUNDINGS["float32"]).singular_values, svd(kernel.T))


def test_multiplicities_are_expanded_and_count_in_the_noise():
    entries = np.random.default_rng(5).standard_normal((3, 4, 6))
    multiplicities = np.array([1, 2, 3])
    counted = spectrum_of(entries, multiplicities, rounding=ROUNDINGS["bfloat16"])
    repeated = spectrum_of(np.repeat(entries, multiplicities, axis=0), rounding=ROUNDINGS["bfloat16"])
    np.testing.assert_array_equal(counted.singular_values, repeated.singular_values)
    assert counted.noise_floor == repeated.noise_floor


def test_closed_forms():
    rng = np.random.default_rng(6)
    orthogonal = np.linalg.qr(rng.standard_normal((40, 40)))[0]
    u, v = rng.standard_normal(30), rng.standard_normal(20)
    diagonal = np.diag([3.0, -7.0, 0.5, 0.0])
    cases = [
        (orthogonal, np.ones(40)),
        (np.eye(5, 9), np.ones(5)),
        (diagonal, np.array([7.0, 3.0, 0.5, 0.0])),
        (np.zeros((4, 6)), np.zeros(4)),
        (np.full((6, 4), 0.5), np.array([0.5 * math.sqrt(24), 0.0, 0.0, 0.0])),
        (np.outer(u, v), np.r_[np.linalg.norm(u) * np.linalg.norm(v), np.zeros(19)]),
        (np.array([[3.0, 4.0]]), np.array([5.0])),
        (np.array([[3.0], [4.0]]), np.array([5.0])),
    ]
    for matrix, expected in cases:
        found = spectrum_of(matrix[np.newaxis], rounding=ROUNDINGS["float64"])
        np.testing.assert_allclose(found.singular_values, expected, rtol=1e-13, atol=max(found.noise_floor, 1e-300))
        resolved = spectrum_of(matrix[np.newaxis], rounding=ROUNDINGS["float64"], resolution="full")
        np.testing.assert_allclose(resolved.singular_values, expected, rtol=1e-13, atol=resolved.noise_floor)


@given(matrix=small_matrices(), seed=st.integers(0, 99))
@settings(deadline=None)
def test_transposing_and_permuting_change_nothing(matrix, seed):
    rng = np.random.default_rng(seed)
    base = spectrum_of(matrix[np.newaxis], rounding=ROUNDINGS["float32"])
    for other in (matrix.T, matrix[rng.permutation(matrix.shape[0])], matrix[:, rng.permutation(matrix.shape[1])]):
        spectrum = spectrum_of(other[np.newaxis], rounding=ROUNDINGS["float32"])
        assert_same_spectrum(spectrum.singular_values, base.singular_values)
        assert spectrum.noise_floor == pytest.approx(base.noise_floor, rel=1e-12, abs=0)


@given(matrix=small_matrices())
@settings(deadline=None)
def test_squares_sum_to_the_squared_frobenius_norm(matrix):
    found = spectrum_of(matrix[np.newaxis], rounding=ROUNDINGS["float64"]).singular_values
    assert math.hypot(*found) == pytest.approx(math.hypot(*matrix.ravel()), rel=1e-12, abs=5e-324)


@pytest.mark.parametrize("resolution", ["standard", "full"])
@pytest.mark.parametrize("exponent", [-1060, -900, -300, 7, 300, 1000])
def test_any_power_of_two_scales_the_spectrum_and_nothing_else(exponent, resolution):
    matrix = np.random.default_rng(7).standard_normal((1, 30, 20))
    matrix = np.ldexp(np.round(np.ldexp(matrix, 10)), -10)  # few digits, so that scaling loses none
    base = spectrum_of(matrix, rounding=ROUNDINGS["float64"], resolution=resolution)
    scaled = spectrum_of(np.ldexp(matrix, exponent), rounding=ROUNDINGS["float64"], resolution=resolution)
    np.testing.assert_allclose(
        scaled.singular_values, np.ldexp(base.singular_values, exponent), rtol=1e-12, atol=np.ldexp(1.0, -1074)
    )


@pytest.mark.parametrize("magnitude", [1e300, 1e-300, 5e-324])
def test_extreme_doubles_of_different_entries_stand_side_by_side(magnitude):
    entries = np.array([[[magnitude, 0.0]], [[0.0, 1.0]]])
    found = spectrum_of(entries, rounding=ROUNDINGS["float64"]).singular_values
    np.testing.assert_allclose(found, sorted([magnitude, 1.0], reverse=True), rtol=1e-14)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_the_limits_of_narrow_dtypes_neither_overflow_nor_vanish(dtype):
    info = ml_dtypes.finfo(DTYPES[dtype])
    for limit in (info.max, info.smallest_subnormal):
        entries = np.full((1, 8, 8), limit, dtype=DTYPES[dtype])
        found = spectrum_of(entries, rounding=ROUNDINGS[dtype]).singular_values
        assert found[0] == pytest.approx(8 * float(limit), rel=1e-13)


@pytest.mark.parametrize("resolution", ["standard", "full"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_what_is_not_finite_is_refused_and_counted(dtype, resolution):
    entries = np.ones((30, 5, 4), dtype=DTYPES[dtype])
    entries[29, 1, 1], entries[0, 2, 3], entries[0, 4, 0] = np.nan, np.inf, -np.inf
    with pytest.raises(Refused) as caught:
        spectrum_of(entries, rounding=ROUNDINGS[dtype], resolution=resolution)
    assert caught.value.reason == "3 of 600 weights are NaN or infinite"


def test_a_complex_nan_is_refused():
    entries = np.ones((2, 3, 3), dtype=np.complex128)
    entries[1, 0, 0] = complex(0.0, math.nan)
    with pytest.raises(Refused, match="1 of 18 weights"):
        spectrum_of(entries, rounding=ROUNDINGS["float32"])


@pytest.mark.parametrize("resolution", ["standard", "full"])
def test_a_spectrum_beyond_float64_is_refused(resolution):
    with pytest.raises(Refused, match="beyond the range"):
        spectrum_of(np.full((1, 9, 9), 1.7e308), rounding=ROUNDINGS["float64"], resolution=resolution)


@pytest.mark.parametrize("shape", [(0, 3, 3), (1, 0, 3), (1, 3, 0)])
def test_nothing_has_no_spectrum(shape):
    with pytest.raises(NotApplicable, match="no spectrum"):
        spectrum_of(np.zeros(shape), rounding=ROUNDINGS["float32"])


@pytest.mark.parametrize(("dtype", "eps"), [("float16", 2**-10), ("bfloat16", 2**-7), ("float32", 2**-23)])
def test_the_noise_floor_is_that_of_the_stored_precision(dtype, eps):
    assert eps == float(ml_dtypes.finfo(DTYPES[dtype]).eps)
    entries = np.random.default_rng(8).standard_normal((4, 80, 50)).astype(DTYPES[dtype])
    rms = math.sqrt(np.square(entries.astype(np.float64)).mean())
    storage = eps / math.sqrt(12) * rms * (math.sqrt(80) + math.sqrt(50))
    largest = svd(entries)[0]
    standard = spectrum_of(entries, rounding=ROUNDINGS[dtype]).noise_floor
    full = spectrum_of(entries, rounding=ROUNDINGS[dtype], resolution="full").noise_floor
    single = spectrum_of(entries, rounding=ROUNDINGS[dtype], precision="float32").noise_floor
    assert standard == pytest.approx(storage, rel=1e-12)
    assert full == pytest.approx(storage, rel=1e-12)
    assert single == pytest.approx(max(storage, math.sqrt(80 * 2.0**-23) * largest), rel=1e-5)


def test_rounding_to_bfloat16_makes_noise_of_the_size_of_the_floor():
    exact = np.random.default_rng(9).standard_normal((1, 300, 200))
    rounded = exact.astype(ml_dtypes.bfloat16)
    made = np.linalg.norm(rounded[0].astype(np.float64) - exact[0], 2)
    assert 0.5 < made / spectrum_of(rounded, rounding=ROUNDINGS["bfloat16"]).noise_floor < 1.0


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
@pytest.mark.parametrize("steps", [4.0, 30.0, 300.0])
def test_numbers_too_small_for_their_format_have_the_noise_of_its_smallest_step(dtype, steps):
    info = ml_dtypes.finfo(DTYPES[dtype])
    step, normal = float(info.smallest_subnormal), float(info.smallest_normal)
    rng = np.random.default_rng(15)
    exact = rng.standard_normal((90, 3)) @ rng.standard_normal((3, 70)) / math.sqrt(3)
    tiny = (steps * step * exact).astype(DTYPES[dtype])
    spectrum = spectrum_of(tiny[np.newaxis], rounding=ROUNDINGS[dtype])
    assert np.count_nonzero(spectrum.singular_values > spectrum.noise_floor) == 3
    rms = math.sqrt(np.square(tiny.astype(np.float64)).mean())
    distance = max(step, float(info.eps) * rms)
    assert (distance == step) == (rms < normal)
    expected = distance / math.sqrt(12) * (math.sqrt(90) + math.sqrt(70))
    assert spectrum.noise_floor == pytest.approx(expected, rel=1e-9)


def with_singular_values(expected, seed=10):
    rng = np.random.default_rng(seed)
    left, right = (np.linalg.qr(rng.standard_normal((len(expected), len(expected))))[0] for _ in range(2))
    return ((left * expected) @ right)[np.newaxis]


@pytest.mark.parametrize("resolution", ["standard", "full"])
def test_what_a_gram_matrix_hides_is_found_where_the_storage_tells_it(resolution):
    expected = np.logspace(0, -12, 40)
    spectrum = spectrum_of(with_singular_values(expected), rounding=ROUNDINGS["float64"], resolution=resolution)
    np.testing.assert_allclose(spectrum.singular_values, expected, rtol=1e-2)
    assert spectrum.noise_floor == pytest.approx(40 * 2.0**-52, rel=1e-9)


def test_an_svd_is_made_only_of_entries_that_need_it(monkeypatch):
    made = []
    by_svd = module.Cpu.by_svd
    monkeypatch.setattr(module.Cpu, "by_svd", lambda cpu, piece: made.append(piece.shape) or by_svd(cpu, piece))
    rng = np.random.default_rng(12)
    sound = rng.standard_normal((3, 40, 40))
    dead = sound.copy()
    dead[:, :5] = 0.0  # units that died
    hidden = np.concatenate([sound[:1], with_singular_values(np.logspace(0, -10, 40))])
    found = {}
    for name, entries in {"sound": sound, "dead": dead, "zero": np.zeros((2, 4, 4)), "hidden": hidden}.items():
        made.clear()
        spectrum = spectrum_of(entries, rounding=ROUNDINGS["float64"])
        np.testing.assert_allclose(spectrum.singular_values**2, svd(entries) ** 2, rtol=0, atol=1e-11)
        found[name] = list(made)
    assert found == {"sound": [], "dead": [], "zero": [], "hidden": [(1, 40, 40)]}
    made.clear()
    spectrum_of(hidden.astype(ml_dtypes.bfloat16), rounding=ROUNDINGS["bfloat16"])
    assert not made  # what is hidden is below the rounding of the storage


def test_dead_units_have_singular_values_of_exactly_zero():
    entries = np.random.default_rng(13).standard_normal((1, 60, 40)).astype(np.float32)
    entries[:, :, 7:12] = 0.0
    spectrum = spectrum_of(entries, rounding=ROUNDINGS["float32"])
    assert (spectrum.singular_values[-5:] == 0).all()
    assert spectrum.singular_values[-6] > spectrum.noise_floor


@pytest.mark.parametrize("letter", ["f", "d", "F", "D"])
@pytest.mark.parametrize("size", [1, 2, 9, 33, 64, 150])
def test_lapack_agrees_with_numpy(letter, size):
    routines = lapack(letter)
    if routines is None:
        pytest.skip("this NumPy's library has no such routines")
    rng = np.random.default_rng(14)
    factor = rng.standard_normal((3, size, size + 9)) + 1j * rng.standard_normal((3, size, size + 9))
    factor = (factor if letter in "FD" else factor.real).astype(letter)
    gram = factor @ factor.conj().mT
    expected = np.linalg.eigvalsh(gram)
    ways = [routines.by_one_stage(gram.copy())]
    ways += [routines.by_two_stages(gram.copy(), bandwidth) for bandwidth in (1, 8, 32) if bandwidth < size]
    for found in ways:
        assert np.abs(found - expected).max() <= 200 * np.finfo(letter).eps * expected.max()


@pytest.mark.parametrize("is_complex", [False, True])
def test_the_routes_agree_and_numpys_is_taken_where_there_is_no_other(monkeypatch, is_complex):
    rng = np.random.default_rng(15)
    entries = rng.standard_normal((2, 60, 80))
    entries = entries + 1j * rng.standard_normal(entries.shape) if is_complex else entries
    expected = np.sort(np.linalg.svd(entries, compute_uv=False), axis=None)[::-1]
    found = []
    for one, two in ((500, 900), (50, 900), (50, 50)):
        monkeypatch.setattr(module, "ONE_STAGE_FROM", dict.fromkeys("fdFD", one))
        monkeypatch.setattr(module, "TWO_STAGE_FROM", dict.fromkeys("fdFD", two))
        found.append(spectrum_of(entries, rounding=ROUNDINGS["float64"]).singular_values)
        assert_same_spectrum(found[-1], expected)
    assert (found[0] != found[2]).any()  # two routes indeed
    monkeypatch.setattr(module, "lapack", lambda letter: None)
    assert (spectrum_of(entries, rounding=ROUNDINGS["float64"]).singular_values == found[0]).all()


@pytest.mark.parametrize("exponent", [-520, -140, 140, 500])
@pytest.mark.parametrize("two_stages_from", [50, 900])
def test_extreme_scales_survive_our_call_of_lapack(monkeypatch, exponent, two_stages_from):
    monkeypatch.setattr(module, "ONE_STAGE_FROM", dict.fromkeys("fdFD", 50))
    monkeypatch.setattr(module, "TWO_STAGE_FROM", dict.fromkeys("fdFD", two_stages_from))
    entries = np.random.default_rng(16).standard_normal((1, 60, 80))
    base = spectrum_of(entries, rounding=ROUNDINGS["float64"]).singular_values
    scaled = spectrum_of(np.ldexp(entries, exponent), rounding=ROUNDINGS["float64"]).singular_values
    np.testing.assert_allclose(np.ldexp(scaled, -exponent), base, rtol=1e-12)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1, 30, 50), (9, 16, 12)])
def test_float32_arithmetic_is_near_and_says_so(dtype, shape):
    entries = np.random.default_rng(17).standard_normal(shape).astype(DTYPES[dtype])
    spectrum = spectrum_of(entries, rounding=ROUNDINGS[dtype], precision="float32")
    expected = svd(entries)
    assert spectrum.precision == "float32"
    assert np.abs(spectrum.singular_values**2 - expected**2).max() <= 2e-6 * expected[0] ** 2
    assert (spectrum.singular_values != expected).any()
    full = spectrum_of(entries, rounding=ROUNDINGS[dtype], resolution="full", precision="float32")
    assert full.precision == "float64"


@pytest.mark.parametrize("scale", [1e-40, 1e-25, 1e25, 1e38])
def test_float32_arithmetic_neither_overflows_nor_vanishes(scale):
    entries = np.random.default_rng(18).standard_normal((1, 30, 20))
    found = spectrum_of(entries * scale, rounding=ROUNDINGS["float64"], precision="float32").singular_values
    np.testing.assert_allclose(found[:10], svd(entries)[:10] * scale, rtol=1e-4)


class Pieces:
    """Entries that are made when they are asked for."""

    def __init__(self, entries):
        self.entries, self.shape, self.dtype, self.asked = entries, entries.shape, entries.dtype, []

    def __getitem__(self, piece):
        self.asked.append(piece)
        return self.entries[piece].copy()


def test_entries_may_be_made_piece_by_piece(monkeypatch):
    in_blocks_of(8 * 16 * 12 * 4, monkeypatch)
    entries = np.random.default_rng(19).standard_normal((10, 16, 12))
    pieces = Pieces(entries)
    found = spectrum_of(pieces, np.arange(1, 11), rounding=ROUNDINGS["float32"])
    assert pieces.asked == [slice(0, 4), slice(4, 8), slice(8, 12)]
    expected = np.sort(np.repeat(np.linalg.svd(entries, compute_uv=False), np.arange(1, 11), axis=0), axis=None)[::-1]
    assert_same_spectrum(found.singular_values, expected)
    entries[5, 2, 2] = math.nan
    with pytest.raises(Refused, match="1 of 1920"):
        spectrum_of(pieces, rounding=ROUNDINGS["float32"])


def shared_by(count):
    """Share with threads that are all there from the start."""

    def share(work, items):
        lock, remaining = threading.Lock(), iter(items)

        def drawn():
            while True:
                with lock:
                    item = next(remaining, None)
                if item is None:
                    return
                yield item

        with ThreadPoolExecutor(count) as pool:
            for future in [pool.submit(work, drawn()) for _ in range(count)]:
                future.result()

    return share


@pytest.mark.parametrize("shape", [(1, 40, 3000), (1, 300, 300), (50, 16, 12)])
def test_shared_work_gives_the_same_numbers_to_the_last_bit(monkeypatch, shape):
    in_blocks_of(8 * 40 * 64, monkeypatch)
    entries = np.random.default_rng(20).standard_normal(shape)
    one = spectrum_of(entries, rounding=ROUNDINGS["float64"]).singular_values
    for count in (2, 5):
        many = spectrum_of(entries, rounding=ROUNDINGS["float64"], share=shared_by(count)).singular_values
        assert (one == many).all()


def test_a_failure_in_one_thread_does_not_leave_the_others_waiting(monkeypatch):
    in_blocks_of(8 * 40 * 64, monkeypatch)
    widened, calls = module.widened, iter(range(1000))

    def failing(*arguments):
        if next(calls) == 3:
            raise MemoryError("no more")
        return widened(*arguments)

    monkeypatch.setattr(module, "widened", failing)
    with pytest.raises(MemoryError):
        spectrum_of(np.ones((50, 16, 12)), rounding=ROUNDINGS["float64"], share=shared_by(3))


def test_no_float64_copy_of_the_tensor_is_made():
    entries = np.random.default_rng(11).standard_normal((1, 512, 16384), dtype=np.float32)
    tracemalloc.start()
    try:
        spectrum_of(entries, rounding=ROUNDINGS["float32"])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    gram = 8 * 512 * 512
    assert peak < 2 * gram + 1.1 * module.BLOCK_BYTES < entries.nbytes


def test_neither_scipy_nor_anything_else_heavy_is_imported():
    code = "import sys, ww_core.spectral; print({'scipy', 'powerlaw', 'torch'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def laid_out(entries, layout):
    """The same numbers, lying in memory in another order."""
    order = {"rows": (0, 1, 2), "columns": (0, 2, 1), "positions": (1, 2, 0)}[layout]
    copy = np.ascontiguousarray(entries.transpose(order))
    return copy.transpose(np.argsort(order))


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    shape=st.sampled_from([(1, 40, 64), (3, 64, 40), (1, 50, 50), (9, 8, 8), (2, 100, 30)]),
    layouts=st.lists(st.sampled_from(["rows", "columns", "positions"]), min_size=2, max_size=6),
    scales=st.lists(st.sampled_from([1.0, 1e-30, 0.0, 1e20]), min_size=6, max_size=6),
    dtype=st.sampled_from(["float32", "float64", "complex64"]),
    precision=st.sampled_from(["float64", "float32"]),
)
def test_no_digit_depends_on_the_stack(seed, shape, layouts, scales, dtype, precision):
    random = np.random.default_rng(seed)
    arrays = [
        laid_out((random.standard_normal(shape) * scale).astype(dtype), layout)
        for layout, scale in zip(layouts, scales, strict=False)
    ]
    rounding = ROUNDINGS["float32"]
    for kind in {stackable(array) for array in arrays}:
        stack = [array for array in arrays if stackable(array) == kind]
        together = spectra_of([Decomposable(array, rounding) for array in stack], precision=precision)
        for array, spectrum in zip(stack, together, strict=True):
            alone = spectrum_of(array, rounding=rounding, precision=precision)
            assert np.array_equal(spectrum.singular_values, alone.singular_values)
            assert spectrum.noise_floor == alone.noise_floor
