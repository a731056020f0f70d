import ml_dtypes
import numpy as np
import pytest

import ww_core as ww
from ww_core.domain.layer import LayerKind, TensorSpec
from ww_core.domain.rounding import ROUNDINGS
from ww_core.spectral import spectrum_of
from ww_plugins.extractors import Pool, Slice, Stack, ww_register_extractors

KINDS = {3: "conv1d", 4: "conv2d", 5: "conv3d"}
CASES = {
    "conv1d": ((8, 6, 5), 1),
    "conv2d": ((8, 6, 3, 2), 1),
    "conv3d": ((4, 6, 2, 3, 2), 1),
    "1x1": ((8, 6, 1, 1), 1),
    "grouped": ((8, 3, 3, 2), 2),
    "grouped conv1d": ((9, 4, 5), 3),
    "depthwise": ((6, 1, 3, 3), 6),
    "depthwise with two outputs each": ((12, 1, 3, 3), 6),
}


def layer(shape, groups=1, kind=None):
    kind = LayerKind(kind or KINDS[len(shape)])
    return ww.Layer("name", kind, TensorSpec("name.weight", "float32", tuple(shape)), groups=groups)


def slices_by_loop(weight, groups):
    """Every (out / groups, in / groups) matrix, group outer, kernel position in C order inner, element by element."""
    per_group, cols = weight.shape[0] // groups, weight.shape[1]
    found = []
    for group in range(groups):
        for position in np.ndindex(weight.shape[2:]):
            matrix = np.empty((per_group, cols), dtype=weight.dtype)
            for row in range(per_group):
                for col in range(cols):
                    matrix[row, col] = weight[(group * per_group + row, col, *position)]
            found.append(matrix)
    return np.array(found)


@pytest.fixture(params=CASES)
def case(request):
    shape, groups = CASES[request.param]
    weight = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    weight.flags.writeable = False
    return weight, groups, layer(shape, groups)


@pytest.mark.parametrize("extractor", [Pool(), Slice(), Stack()], ids=lambda extractor: extractor.name)
def test_the_plan_tells_what_will_come(extractor, case):
    weight, _, conv = case
    plan = extractor.plan(conv)
    found = list(extractor.matrices(weight, conv))
    assert [matrix.index for matrix in found] == list(range(plan.matrices))
    for matrix in found:
        assert matrix.entries.shape == (plan.entries, plan.rows, plan.cols)
        assert matrix.entries.dtype == weight.dtype
        assert matrix.multiplicities is None


def test_pool_is_all_slices_of_all_groups(case):
    weight, groups, conv = case
    (matrix,) = Pool().matrices(weight, conv)
    np.testing.assert_array_equal(matrix.entries, slices_by_loop(weight, groups))
    assert np.shares_memory(matrix.entries, weight) or groups > 1


def test_slice_is_one_slice_each_without_a_copy(case):
    weight, groups, conv = case
    found = list(Slice().matrices(weight, conv))
    np.testing.assert_array_equal(np.concatenate([matrix.entries for matrix in found]), slices_by_loop(weight, groups))
    assert all(np.shares_memory(matrix.entries, weight) for matrix in found)


def test_stack_has_the_slices_of_a_group_on_each_other(case):
    weight, groups, conv = case
    (matrix,) = Stack().matrices(weight, conv)
    slices = slices_by_loop(weight, groups)
    positions = len(slices) // groups
    for group, entry in enumerate(matrix.entries):
        np.testing.assert_array_equal(entry, np.concatenate(slices[group * positions : (group + 1) * positions]))


def test_the_stack_of_groups_is_a_block_diagonal_operator():
    weight = np.random.default_rng(1).standard_normal((6, 2, 3))
    (matrix,) = Stack().matrices(weight, layer(weight.shape, 3))
    whole = np.zeros((18, 6))
    for group, entry in enumerate(matrix.entries):
        whole[6 * group : 6 * group + 6, 2 * group : 2 * group + 2] = entry
    found = spectrum_of(matrix.entries, rounding=ROUNDINGS["float64"]).singular_values
    np.testing.assert_allclose(found, np.linalg.svd(whole, compute_uv=False), rtol=1e-12)


def test_every_way_keeps_the_frobenius_norm(case):
    weight, _, conv = case
    expected = float(np.square(weight.astype(np.float64)).sum())
    for extractor in (Pool(), Slice(), Stack()):
        spectra = [spectrum_of(m.entries, rounding=ROUNDINGS["float32"]) for m in extractor.matrices(weight, conv)]
        assert sum(np.square(s.singular_values).sum() for s in spectra) == pytest.approx(expected, rel=1e-12)
        plan = extractor.plan(conv)
        assert all(s.singular_values.size == plan.n_eigenvalues for s in spectra)


def test_a_kernel_of_another_framework_is_taken_as_a_view():
    stored = np.random.default_rng(2).standard_normal((3, 2, 6, 8)).astype(ml_dtypes.bfloat16)  # (*kernel, in, out)
    weight = stored.transpose(3, 2, 0, 1)
    (matrix,) = Pool().matrices(weight, layer(weight.shape))
    np.testing.assert_array_equal(matrix.entries, slices_by_loop(weight, 1))
    assert np.shares_memory(matrix.entries, stored)


@pytest.mark.parametrize("extractor", [Pool(), Slice(), Stack()], ids=lambda extractor: extractor.name)
def test_what_is_no_convolution_is_told_why(extractor):
    def reason(*args, **kwargs):
        with pytest.raises(ww.NotApplicable) as caught:
            extractor.plan(layer(*args, **kwargs))
        return caught.value.reason

    assert reason((5, 3), kind="dense") == f"{extractor.name} takes convolutions; layer is dense"
    assert reason((5, 3, 2), kind="conv2d") == "a conv2d weight has 4 axes; this one has 3"
    assert reason((9, 3, 2, 2), 2) == "9 output channels do not fall into 2 groups"
    assert reason((9, 3, 2, 2), 0) == "9 output channels do not fall into 0 groups"
    assert reason((9, 0, 2, 2)) == "a weight of shape 9x0x2x2 is empty"


def test_all_are_registered_under_their_names():
    assert [extractor.name for extractor in ww_register_extractors()] == ["matrix", "pool", "slice", "stack", "fft"]
    for extractor in ww_register_extractors():
        assert extractor.is_declared()
        assert extractor().label == extractor.name
