"""Judge one matrix, one kernel, or a stack of them: metrics of an array, without a source and without a store."""

from __future__ import annotations

import functools
import threading
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np

from ww_core.compute.judging import Judging
from ww_core.domain.column import Scope
from ww_core.domain.judgement import Judgement
from ww_core.domain.layer import ITEM_SIZES, Layer, LayerKind, TensorSpec
from ww_core.domain.name import texts_of
from ww_core.domain.outcome import Outcome, State
from ww_core.domain.request import Request
from ww_core.errors import SourceError, UnknownNameError, UsageError
from ww_core.loading.in_memory import as_numpy
from ww_core.planning.layers import NoPlan, plan_of
from ww_core.plugins.discovery import load_plugins
from ww_core.plugins.isolation import all_but_interrupts, kind_of, sentence_of
from ww_core.plugins.selection import understood

if TYPE_CHECKING:
    import numpy.typing as npt

    from ww_core.plugins.registry import Registry

AXES: Mapping[LayerKind, int] = {LayerKind.DENSE: 2, LayerKind.CONV1D: 3, LayerKind.CONV2D: 4, LayerKind.CONV3D: 5}
"""Axes of one weight, by what it may be said to be. A stack of them has one axis more, the first."""

BY_AXES: Mapping[int, LayerKind] = {
    2: LayerKind.DENSE,
    3: LayerKind.DENSE,
    4: LayerKind.CONV2D,
    5: LayerKind.CONV3D,
}
"""What an array is taken for where nobody says it: three axes are a stack of matrices, never a kernel."""

REMEMBERED = 128
"""Plans that are remembered for a registry: of one shape, dtype and request each."""


def judge(
    array: npt.NDArray[Any],
    *,
    profile: str = "default",
    metrics: Sequence[str] | None = None,
    kind: str | None = None,
    registry: Registry | None = None,
) -> Judgement:
    """Return the metrics of a matrix, of a convolution kernel, or of each of a stack of them.

    The numbers are those that ``analyze`` gives a layer of this weight alone, to the last digit. Nothing is stored, and
    all is done in the calling thread, with BLAS limited to one thread meanwhile.

    Args:
        array: Weights in float16, bfloat16, float32 or float64, an array of NumPy's or what offers itself as one, such
            as a tensor of PyTorch's in main memory. A matrix is (out, in), a kernel is in PyTorch's order,
            (out, in, *kernel), and is taken to have one group. A stack of n has n as its first axis.
        profile: Name of the profile. It chooses the metrics, and how a kernel becomes matrices.
        metrics: Metrics or columns that replace the profile's selection. Only those of matrices: what speaks of a whole
            layer or model, ``analyze`` gives.
        kind: ``dense``, ``conv1d``, ``conv2d`` or ``conv3d``: what one weight is. By default two axes are a matrix,
            three are a stack of matrices, four a kernel of a conv2d and five one of a conv3d; so a kernel of a conv1d,
            and a stack of kernels, have to be said.
        registry: Loaded plugins; default those that are installed, loaded at the first call.

    Returns:
        Values by column, and the reasons for those that are missing. Of a stack they are arrays of shape (n,). Where
        the profile makes several matrices of one kernel, as ``trends-2020`` does, they have one more axis.

    Raises:
        UsageError: A profile, metric or kind is unknown or cannot be used here.
        SourceError: This is no array that can be judged: the dtype, or the count of axes.
    """
    weights = _contiguous(array)
    one = _kind_of_one(weights, kind)
    is_stack = weights.ndim > AXES[one]
    plan = _remembered(
        _installed() if registry is None else registry,
        str(profile),
        () if metrics is None else texts_of(metrics, "metrics"),
        one,
        weights.shape[1:] if is_stack else weights.shape,
        weights.dtype,
    )
    each = plan.outcomes(weights if is_stack else weights[None])
    if not is_stack and plan.matrices == 1:
        return Judgement.of_one(each[0])
    of_stack, of_one = weights.shape[:1] if is_stack else (), (plan.matrices,) if plan.matrices > 1 else ()
    return Judgement.of_several(each, plan.types, (*of_stack, *of_one))


@dataclass(frozen=True, slots=True, eq=False)
class _Plan:
    """How arrays of one shape and dtype are judged.

    Attributes:
        types: Types of the columns, by label.
        work: What judges them; or what all columns come to, if the extractor makes nothing of them.
    """

    types: Mapping[str, str]
    work: Judging | Outcome

    @property
    def matrices(self) -> int:
        """How many matrices there are of one array."""
        return self.work.plan.matrices if isinstance(self.work, Judging) else 1

    def outcomes(self, weights: npt.NDArray[Any]) -> list[dict[str, Outcome]]:
        """Return the outcomes by label of each matrix of each array."""
        if isinstance(self.work, Judging):
            return self.work.outcomes(weights)
        return [dict.fromkeys(self.types, self.work) for _ in range(len(weights))]


def _installed() -> Registry:
    with _LOADING:
        return _loaded()


@functools.cache
def _loaded() -> Registry:
    return load_plugins()


_LOADING = threading.RLock()
"""Held while plugins are loaded: of threads that judge for the first time at once, one loads them."""


def _contiguous(array: object) -> npt.NDArray[Any]:
    """Return an array as an analysis reads it: little-endian and in C order.

    Raises:
        SourceError: It is not to be had, or no array of floats that are analysed.
    """
    weights = array
    if type(weights) is not np.ndarray:
        try:
            weights = as_numpy(array)
        except all_but_interrupts() as error:
            sentence = sentence_of(error, type(array))
            raise SourceError(f"an object of type {kind_of(array)} is no array: {sentence}") from error
    return np.asarray(weights, dtype=_stored(weights.dtype), order="C")


@functools.cache
def _stored(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return a dtype as little-endian.

    Raises:
        SourceError: It is not one that is analysed.
    """
    if dtype.name in ITEM_SIZES:
        return dtype.newbyteorder("<")
    if dtype.kind not in "biufcV":
        raise SourceError(
            f"an array of dtype {dtype.name} is not judged, because it holds no numbers: judge takes one array, and "
            "analyze takes files and models"
        )
    raise SourceError(
        f"an array of dtype {dtype.name} is not judged: give it as {', '.join(ITEM_SIZES)}, the one in which the "
        "weights are stored, because their rounding counts"
    )


def _kind_of_one(weights: npt.NDArray[Any], kind: str | None) -> LayerKind:
    """Return what one weight is.

    Raises:
        UnknownNameError: Nothing is called so.
        SourceError: It has other axes.
    """
    if kind is None and weights.ndim in BY_AXES:
        return BY_AXES[weights.ndim]
    shape = f"an array of shape {weights.shape}"
    if kind is None:
        raise SourceError(
            f"{shape} is neither a matrix (2 axes), a stack of matrices (3), nor a kernel (conv2d 4, conv3d 5)"
        )
    if str(kind) not in AXES:
        raise UnknownNameError("kind", str(kind), AXES)
    one = LayerKind(str(kind))
    if weights.ndim - AXES[one] not in {0, 1}:
        raise SourceError(f"{shape} is no {one}, which has {AXES[one]} axes, and no stack of such, with one more")
    return one


_PLANS: WeakKeyDictionary[Registry, dict[Hashable, _Plan]] = WeakKeyDictionary()
"""By registry, so that one that nobody uses any more is freed with its plans."""


def _remembered(registry: Registry, *rest: Any) -> _Plan:
    """Return what `_planned` does, and make it once."""
    plans = _PLANS.setdefault(registry, {})
    plan = plans.get(rest)
    if plan is None:
        plan = _planned(registry, *rest)
        if len(plans) >= REMEMBERED:
            plans.clear()
        plans[rest] = plan
    return plan


def _planned(
    registry: Registry,
    profile: str,
    metrics: tuple[str, ...],
    kind: LayerKind,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
) -> _Plan:
    """Plan what is done with arrays of a shape and dtype.

    Raises:
        UsageError: As for ``judge``.
    """
    request = Request(profile=profile, metrics=metrics)
    selection = understood(registry, request).selection
    columns = {own.label: own for own in selection.columns if own.scope is Scope.MATRIX}
    for own in selection.columns if metrics else ():
        if own.label not in columns:
            raise UsageError(
                f"{own.label} is a metric of a {own.scope}, and judge has those of matrices: analyze gives it"
            )
    types = {label: own.column.type for label, own in columns.items()}
    layer, variant = Layer("array", kind, TensorSpec("array", dtype.name, shape)), selection.extractors[kind][0]
    plan = plan_of(layer, variant)
    if isinstance(plan, NoPlan):
        state = State.FAILED if plan.failure else State.NOT_APPLICABLE
        return _Plan(types, Outcome(state, reason=plan.reason))
    return _Plan(types, Judging(layer, variant, plan, tuple(columns.values()), selection.nodes, request.seed))
