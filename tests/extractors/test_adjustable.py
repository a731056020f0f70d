import math

import pytest

import ww_core as ww
from ww_core.domain.layer import LayerKind, TensorSpec
from ww_plugins.extractors import MatrixExtractor, Pool, Slice, Stack

KERNEL, MATRIX, EXPERTS = ((40, 12, 3, 2), "conv2d"), ((30, 70), "dense"), ((4, 8, 20), "expert")


def plan(extractor, shape, kind, groups=1):
    weight = TensorSpec("name.weight", "float32", shape)
    return extractor.plan(ww.Layer("name", LayerKind(kind), weight, groups=groups))


@pytest.mark.parametrize(
    ("factor", "of_a_kernel", "of_a_matrix"),
    [("1", 1.0, 1.0), ("1/2", math.sqrt(0.5), math.sqrt(0.5)), ("P/2", math.sqrt(3.0), math.sqrt(0.5))],
)
def test_eigenvalues_get_the_factor(factor, of_a_kernel, of_a_matrix):
    for extractor in (Pool, Slice, Stack):
        assert plan(extractor(factor), *KERNEL).scale == of_a_kernel
        assert plan(extractor(factor), *KERNEL, groups=4).scale == of_a_kernel
    assert plan(MatrixExtractor(factor), *MATRIX).scale == of_a_matrix
    assert plan(MatrixExtractor(factor), *EXPERTS).scale == of_a_matrix


@pytest.mark.parametrize(
    ("extractor", "layer", "M", "N", "eigenvalues"),
    [
        (Pool, KERNEL, 12, 40, 72),
        (Slice, KERNEL, 12, 40, 12),
        (Stack, KERNEL, 12, 240, 12),
        (MatrixExtractor, MATRIX, 30, 70, 30),
        (MatrixExtractor, EXPERTS, 8, 20, 8),
    ],
)
def test_limits_include_their_ends(extractor, layer, M, N, eigenvalues):
    within = {"min_M": M, "max_N": N, "min_eigenvalues": eigenvalues, "max_eigenvalues": eigenvalues}
    assert plan(extractor(**within), *layer) == plan(extractor(), *layer)
    for name, sentence in {
        "min_M": f"the shorter side is {M}, and this variant of {extractor.name} takes {M + 1} or more",
        "max_N": f"the longer side is {N}, and this variant of {extractor.name} takes {N - 1} or less",
        "min_eigenvalues": f"the number of eigenvalues is {eigenvalues}, and this variant of {extractor.name} "
        f"takes {eigenvalues + 1} or more",
        "max_eigenvalues": f"the number of eigenvalues is {eigenvalues}, and this variant of {extractor.name} "
        f"takes {eigenvalues - 1} or less",
    }.items():
        beyond = within[name] + (1 if name.startswith("min") else -1)
        with pytest.raises(ww.NotApplicable) as caught:
            plan(extractor(**{name: beyond}), *layer)
        assert caught.value.reason == sentence


def test_a_limit_is_that_of_one_group():
    assert plan(Pool(max_N=20), *KERNEL, groups=2).rows == 20
    with pytest.raises(ww.NotApplicable, match="the longer side is 40"):
        plan(Pool(max_N=20), *KERNEL)


def test_a_label_says_what_differs():
    assert Pool().label == "pool"
    assert Pool(factor="1/2", min_M=50).label == "pool[factor=1/2,min_M=50]"
