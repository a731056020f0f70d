"""Kernels of Keras's EinsumDense: what their equations say of axes."""

import numpy as np
import pytest

from ww_plugins.loaders.keras.layouts import KerasLayer, views_of

RANDOM = np.random.default_rng(5)


@pytest.mark.parametrize(
    ("equation", "shape", "bias", "kind"),
    [
        ("abc,bcd->abd", (6, 8, 5), (5,), "expert"),
        ("abc,cbd->abd", (8, 6, 5), (6, 5), "expert"),
        ("abc,cd->abd", (8, 5), (5,), "dense"),
        ("abc,dc->abd", (7, 8), (7,), "dense"),
        ("abc,cde->abde", (12, 3, 4), (3, 4), "dense"),
        ("abcd,cde->abe", (3, 4, 12), (12,), "dense"),
        ("abc,cdb->adb", (8, 5, 6), (5, 6), "expert"),
    ],
)
def test_a_kernel_is_the_matrices_that_its_equation_multiplies_by(equation, shape, bias, kind):
    layer = KerasLayer("e", {"kernel": shape, "bias": bias}, "EinsumDense", {"equation": equation})
    view = next(own for own in views_of(layer) if own.variable == "kernel")
    assert view.part.kind == kind
    kernel = RANDOM.standard_normal(shape)
    steps = [8 * step for step in view.strides]
    matrices = np.lib.stride_tricks.as_strided(kernel.reshape(-1), view.shape, steps)

    given, letters, result = equation.replace("->", ",").split(",")
    sizes = dict(zip(letters, shape, strict=True)) | {"a": 1}
    sizes |= {letter: 2 for letter in given if letter not in sizes}
    data = RANDOM.standard_normal([sizes[letter] for letter in given])
    wanted = np.einsum(equation, data, kernel)
    if kind == "expert":
        found = [own @ data[0, at] for at, own in enumerate(matrices)]
        got = wanted[0] if result.index("b") == 1 else wanted[0].T
        np.testing.assert_allclose(found, got)
    else:
        summed = [letter for letter in given if letter not in result]
        rows = data.reshape(-1, int(np.prod([sizes[letter] for letter in summed])))
        np.testing.assert_allclose((rows @ matrices.T).reshape(wanted.shape), wanted)


def test_an_equation_with_two_batches_apart_stays_as_it_is():
    layer = KerasLayer("e", {"kernel": (3, 8, 4, 5)}, "EinsumDense", {"equation": "axbyc,acbd->axbyd"})
    (view,) = views_of(layer)
    assert (view.shape, view.part.kind) == ((3, 8, 4, 5), "other")
