import numpy as np
import pytest

import ww_core as ww
from ww_core.domain.layer import LayerKind, TensorSpec
from ww_plugins.extractors import MatrixExtractor


def layer(shape, kind="dense"):
    return ww.Layer("name", LayerKind(kind), TensorSpec("name.weight", "float32", tuple(shape)))


@pytest.mark.parametrize("kind", ["dense", "embedding", "recurrent", "qkv", "norm", "other", "expert", "conv2d"])
@pytest.mark.parametrize("shape", [(5, 3), (3, 5), (1, 4), (4, 1), (1, 1)])
def test_a_matrix_is_itself_whatever_it_does(kind, shape):
    weight = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    extractor = MatrixExtractor()
    assert extractor.plan(layer(shape, kind)) == ww.MatrixPlan(1, 1, *shape)
    (matrix,) = extractor.matrices(weight, layer(shape, kind))
    assert matrix.index == 0
    assert matrix.multiplicities is None
    np.testing.assert_array_equal(matrix.entries, weight[np.newaxis])
    assert np.shares_memory(matrix.entries, weight)


def test_experts_are_one_matrix_each():
    weight = np.random.default_rng(1).standard_normal((4, 6, 5))
    extractor = MatrixExtractor()
    assert extractor.plan(layer(weight.shape, "expert")) == ww.MatrixPlan(4, 1, 6, 5)
    found = list(extractor.matrices(weight, layer(weight.shape, "expert")))
    assert [matrix.index for matrix in found] == [0, 1, 2, 3]
    for expert, matrix in zip(weight, found, strict=True):
        np.testing.assert_array_equal(matrix.entries, expert[np.newaxis])
        assert np.shares_memory(matrix.entries, weight)


@pytest.mark.parametrize(
    ("shape", "kind", "reason"),
    [
        ((), "other", "a number has no spectrum"),
        ((7,), "norm", "a vector has no spectrum"),
        ((2, 3, 4), "dense", "matrix takes weights with two axes; this dense weight has 3"),
        ((2, 3, 4, 4), "conv2d", "matrix takes weights with two axes; this conv2d weight has 4"),
        ((0, 3), "dense", "a weight of shape 0x3 is empty"),
        ((3, 0, 3), "expert", "a weight of shape 3x0x3 is empty"),
    ],
)
def test_what_is_no_matrix_is_told_why(shape, kind, reason):
    with pytest.raises(ww.NotApplicable) as caught:
        MatrixExtractor().plan(layer(shape, kind))
    assert caught.value.reason == reason
