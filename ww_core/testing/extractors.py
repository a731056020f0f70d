"""The contract of extractors."""

from __future__ import annotations

import math
import tracemalloc
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ww_core.domain.layer import Layer, LayerKind, TensorSpec
from ww_core.errors import NotApplicable
from ww_core.testing.plugins import PluginContract

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import numpy.typing as npt

    from ww_core.contracts.extractor import Extractor, Matrix, MatrixPlan

SAMPLES: tuple[tuple[LayerKind, tuple[int, ...], int], ...] = (
    (LayerKind.DENSE, (12, 8), 1),
    (LayerKind.DENSE, (1, 8), 1),
    (LayerKind.EMBEDDING, (30, 8), 1),
    (LayerKind.CONV1D, (12, 8, 3), 1),
    (LayerKind.CONV2D, (12, 8, 3, 3), 1),
    (LayerKind.CONV2D, (8, 12, 3, 2), 1),
    (LayerKind.CONV2D, (12, 4, 3, 3), 2),
    (LayerKind.CONV2D, (12, 1, 3, 3), 12),
    (LayerKind.CONV2D, (12, 8, 1, 1), 1),
    (LayerKind.CONV3D, (6, 4, 2, 3, 3), 1),
    (LayerKind.EXPERT, (4, 12, 8), 1),
    (LayerKind.NORM, (12,), 1),
    (LayerKind.OTHER, (), 1),
    (LayerKind.DENSE, (0, 8), 1),
    (LayerKind.CONV2D, (7, 4, 3, 3), 2),
)
"""Kind, shape (out, in / groups, *kernel) and groups of layers that an extractor meets; the last cannot be right."""


COSTLY: tuple[tuple[LayerKind, tuple[int, ...], int], ...] = (
    (LayerKind.DENSE, (512, 256), 1),
    (LayerKind.CONV1D, (128, 64, 9), 1),
    (LayerKind.CONV2D, (96, 64, 3, 3), 1),
    (LayerKind.CONV2D, (256, 64, 3, 3), 4),
    (LayerKind.CONV2D, (256, 2, 3, 3), 128),
    (LayerKind.CONV2D, (1, 1, 48, 48), 1),
    (LayerKind.EXPERT, (4, 128, 96), 1),
)
"""The same of layers whose weights, and what is made of them, are larger than what Python needs to make them."""

ALLOWANCE = 2**16
"""Bytes of Python's objects, which nobody has to tell."""

_ENOUGH = 96  # weights whose mean square says something


class ExtractorContract(PluginContract):
    """Tests that every extractor of a plugin must pass, with its default parameters. Set ``plugin``.

    ``Matrix.entries`` may be an array or ``Entries``, which are made piece by piece: shape, dtype and pieces are what
    both have in common, and all that is looked at. Pieces may differ from the whole by rounding.
    """

    def variants(self) -> list[Extractor]:
        """The variants that are tested."""
        return [owned.object() for owned in self.own(self.registry().extractors)]

    def test_it_makes_something(self) -> None:
        """At least one of the sample layers is its business."""
        for extractor in self.variants():
            assert list(_planned(extractor)), f"{extractor.name} makes nothing of any sample layer"

    def test_it_keeps_what_it_promised(self) -> None:
        """Count, order, shapes and multiplicities are those of the plan."""
        for extractor in self.variants():
            for layer, plan in _planned(extractor):
                made = list(extractor.matrices(_weight(layer), layer))
                assert [matrix.index for matrix in made] == list(range(plan.matrices))
                for matrix in made:
                    assert matrix.entries.shape == (plan.entries, plan.rows, plan.cols)
                    assert _whole(matrix).shape == matrix.entries.shape
                    assert (matrix.entries.dtype.kind == "c") == plan.is_complex
                    given = None if matrix.multiplicities is None else tuple(matrix.multiplicities)
                    assert given == plan.multiplicities

    def test_its_gain_is_that_of_errors(self) -> None:
        """Independent errors of the weights are in the entries times the gain, as root mean squares."""
        import numpy as np

        for extractor in self.variants():
            for layer, plan in _planned(extractor):
                weight = _weight(layer)
                if weight.size < _ENOUGH:
                    continue
                squares = [np.square(np.abs(_whole(matrix))) for matrix in extractor.matrices(weight, layer)]
                counts = np.ones(plan.entries) if plan.multiplicities is None else np.array(plan.multiplicities)
                mean = np.average(np.mean(squares, axis=(0, 2, 3)), weights=counts)
                found = math.sqrt(mean / np.square(weight).mean())
                assert 0.7 < found / plan.gain < 1.4, f"{extractor.label}: gain of {layer.shape} is about {found:.2g}"

    def test_it_takes_no_more_memory_than_it_tells(self) -> None:
        """Beside the weight and an entry of ``Entries``, at most ``making_bytes`` of the plan are allocated."""
        import numpy as np

        for extractor in self.variants():
            for layer, plan in _planned(extractor, COSTLY):
                weight = _weight(layer)
                asked = 0
                tracemalloc.start()
                try:
                    for matrix in extractor.matrices(weight, layer):
                        asked = 0 if isinstance(matrix.entries, np.ndarray) else 2 * matrix.entries[0:1].nbytes
                    _, peak = tracemalloc.get_traced_memory()
                finally:
                    tracemalloc.stop()
                assert peak <= plan.making_bytes + asked + ALLOWANCE, (
                    f"{extractor.label} tells of {plan.making_bytes} bytes for {layer.kind} {layer.shape}, and "
                    f"allocates {peak}"
                )

    def test_its_pieces_are_parts_of_the_whole(self) -> None:
        """A slice of step 1 gives those entries in the promised dtype, also at the end, beyond it, and of none."""
        for extractor in self.variants():
            for layer, plan in _planned(extractor):
                for matrix in extractor.matrices(_weight(layer), layer):
                    whole = _whole(matrix)
                    for piece in _pieces(plan.entries):
                        part, expected = matrix.entries[piece], whole[piece]
                        assert part.shape == expected.shape, f"{extractor.label} {piece} of {layer.shape}"
                        assert part.dtype == matrix.entries.dtype
                        assert _are_close(part, expected), f"{extractor.label} {piece} of {layer.shape}"

    def test_it_is_the_same_again(self) -> None:
        """The same weight gives the same matrices, and is left as it was."""
        for extractor in self.variants():
            for layer, _ in _planned(extractor):
                weight = _weight(layer)
                before = weight.tobytes()
                first = [_whole(matrix).tobytes() for matrix in extractor.matrices(weight, layer)]
                second = [_whole(matrix).tobytes() for matrix in extractor.matrices(weight, layer)]
                assert first == second
                assert weight.tobytes() == before

    def test_it_looks_at_content_alone(self) -> None:
        """The same weight under another name, with a bias, or of another kind makes the same, or is refused by kind."""
        for extractor in self.variants():
            for layer, plan in _planned(extractor):
                weight = _weight(layer)
                made = [_whole(matrix).tobytes() for matrix in extractor.matrices(weight, layer)]
                for other in _elsewhere(layer):
                    try:
                        other_plan = extractor.plan(other)
                    except NotApplicable:
                        assert other.kind is not layer.kind, f"{extractor.label} refuses {layer.shape} by name or bias"
                        continue
                    assert other_plan == plan, f"{extractor.label} plans another thing of {layer.shape} as {other}"
                    again = [_whole(matrix).tobytes() for matrix in extractor.matrices(weight, other)]
                    assert again == made, f"{extractor.label} makes another thing of {layer.shape} as {other}"

    def test_it_refuses_with_a_reason(self) -> None:
        """What it makes nothing of is NotApplicable with a sentence, never another exception."""
        for extractor in self.variants():
            for layer in (other for sample in _layers() for other in _elsewhere(sample)):
                try:
                    extractor.plan(layer)
                except NotApplicable as refusal:
                    assert refusal.reason.strip()


def _layers(samples: Iterable[tuple[LayerKind, tuple[int, ...], int]] = SAMPLES) -> Iterator[Layer]:
    for number, (kind, shape, groups) in enumerate(samples):
        yield Layer(f"layer{number}", kind, TensorSpec(f"layer{number}.weight", "float32", shape), groups=groups)


def _elsewhere(layer: Layer) -> Iterator[Layer]:
    """Yield layers of the same weight: the layer itself, with another name, with a bias, and of every kind."""
    weight = TensorSpec("elsewhere.fc.weight", layer.weight.dtype, layer.shape)
    bias = TensorSpec("elsewhere.fc.bias", layer.weight.dtype, layer.shape[:1])
    yield layer
    for kind in (layer.kind, *LayerKind):
        yield replace(layer, name="elsewhere.fc", kind=kind, weight=weight, bias=bias)


def _planned(
    extractor: Extractor, samples: Iterable[tuple[LayerKind, tuple[int, ...], int]] = SAMPLES
) -> Iterator[tuple[Layer, MatrixPlan]]:
    for layer in _layers(samples):
        try:
            yield layer, extractor.plan(layer)
        except NotApplicable:
            continue


def _weight(layer: Layer) -> npt.NDArray[Any]:
    import numpy as np

    random = np.random.Generator(np.random.Philox(len(layer.shape)))
    weight = random.standard_normal(layer.shape).astype(np.float32)
    weight.flags.writeable = False
    return weight


def _whole(matrix: Matrix) -> npt.NDArray[Any]:
    return matrix.entries[0 : matrix.entries.shape[0]]


def _pieces(count: int) -> list[slice]:
    """Slices of ``count`` entries: one, none, the middle, the end and beyond, past the end, all."""
    middle, end, past = slice(1, count - 1), slice(count - 1, count + 5), slice(count, count + 1)
    return [slice(0, 1), slice(0, 0), middle, end, past, slice(None)]


def _are_close(part: npt.NDArray[Any], expected: npt.NDArray[Any]) -> bool:
    import numpy as np

    return bool(np.all(np.abs(part - expected) <= 1e-6 * np.abs(expected).max(initial=0.0)))
