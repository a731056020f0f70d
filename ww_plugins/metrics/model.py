"""Metrics of a whole model, from the columns of its matrices.

The matrices are those of each layer's primary extractor, in the order in which the source lists the layers. That order
is the depth here: weights alone do not tell which layers work side by side, so each counts as one step. Files that keep
no order, as safetensors, list layers by name.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

import ww_core as ww

ByMatrix = np.ma.MaskedArray[Any, np.dtype[np.float64]]
ByLayer = np.ma.MaskedArray[Any, np.dtype[np.float64]]
Floats = np.ndarray[Any, np.dtype[np.float64]]

NORMAL_MAD = 1.4826
FEWEST_MATRICES = 5

STEPS = frozenset({ww.LayerKind.DENSE, ww.LayerKind.CONV1D, ww.LayerKind.CONV2D, ww.LayerKind.CONV3D})
"""Kinds of layers that are a step of a path."""


@dataclass(frozen=True)
class AlphaMean:
    """Columns of the weighted mean of alpha."""

    alpha_mean: float = ww.column(
        better="lower",
        doc="Mean of alpha over the matrices that have one, weighted by option",
        caveat="as for alpha: the mean over layers does not rank models that differ in depth",
    )
    alpha_mean_share: float = ww.column(doc="Share of all weight in that mean that falls to matrices with an alpha")


@dataclass(frozen=True)
class CorrelationFlow:
    """Columns of alpha against depth."""

    alpha_flow_slope: float = ww.column(
        unit="1/layer", standard_error="alpha_flow_slope_se", doc="Slope of alpha against the place of the layer"
    )
    alpha_flow_slope_se: float = ww.column(unit="1/layer", doc="Standard error of alpha_flow_slope")
    alpha_flow_jump: float = ww.column(doc="Largest difference of alpha between a layer and the next one that has it")


@ww.metric(version="2", scope="model", better="lower", unit="log10 weight^2")
def log_prod_spectral_norm(log_spectral_norm: ByMatrix) -> float:
    """Log10 of the squared product of all spectral norms, the sum of log10(lambda_max) over the matrices.

    The product in the spectral complexity of P. L. Bartlett, D. J. Foster, M. Telgarsky, NeurIPS 2017, without margin,
    as Y. Jiang et al., Fantastic Generalization Measures and Where to Find Them, ICLR 2020, measure it.

    Args:
        log_spectral_norm: One value per matrix, in the order of the layers, masked where there is none.

    Raises:
        Refused: A matrix has no value, or there is none: a product over the others would be that of another network.
    """
    if not log_spectral_norm.size:
        raise ww.Refused("no matrix has a log_spectral_norm")
    missing = int(np.ma.getmaskarray(log_spectral_norm).sum())
    if missing:
        raise ww.Refused(f"{missing} of {log_spectral_norm.size} matrices have no log_spectral_norm")
    return float(log_spectral_norm.sum())


@ww.metric(version="1", scope="model", better="lower", unit="log10 weight^layers", on_request=True)
def log_path_norm_bound(norm_1_inf: ByLayer, layers: Sequence[ww.Layer]) -> float:
    """Log10 of an upper bound of the path norm of a chain of layers: the sum of log10(norm_1_inf) over the layers.

    The path norm of an output is the sum, over all paths from the inputs to it, of the product of abs(w) along the
    path. In a chain of dense layers the largest one is the largest entry of abs(W_L) ... abs(W_1) 1. The product of the
    largest row sums bounds it. A chain of rectifiers can be rescaled, unit by unit and without any change of its
    answers, so that both are equal: B. Neyshabur, R. Tomioka, N. Srebro, Norm-Based Capacity Control in Neural
    Networks, COLT 2015. The path norm itself needs the graph of the network, which weights do not tell.

    Dense layers and convolutions count, in one chain. Vectors and embeddings do not count: an embedding passes one row
    on. In a residual network there are more paths, past the layers, and they are not counted.

    Args:
        norm_1_inf: One value per layer, masked where there is none.
        layers: The layers.

    Raises:
        NotApplicable: A layer is of another kind, as recurrent layers are; or no layer counts.
        Refused: A layer that counts has no norm: the product over the others would be that of another network.
    """
    passed = {*STEPS, ww.LayerKind.EMBEDDING, ww.LayerKind.NORM}
    others = [own for own in layers if own.kind not in passed and len(own.shape) > 1]  # a vector is no step either
    if others:
        raise ww.NotApplicable(f"{others[0].name} is a layer of kind {others[0].kind}, which is no step of a chain")
    counted = np.array([own.kind in STEPS for own in layers], dtype=bool)
    if not counted.any():
        raise ww.NotApplicable("there is no dense layer and no convolution")
    norms = norm_1_inf[counted]
    missing = int(np.ma.getmaskarray(norms).sum())
    if missing:
        raise ww.Refused(f"{missing} of {norms.size} layers have no norm_1_inf")
    with np.errstate(divide="ignore"):
        return math.fsum(np.log10(norms.data))


@ww.metric(version="1", scope="model", on_request=True)
def alpha_mean(
    alpha: ByMatrix, matrices: Sequence[ww.MatrixPlace], *, by: Literal["equal", "size", "depth"] = "equal"
) -> AlphaMean:
    """Mean of alpha over the matrices of the model, sum(v_i alpha_i) / sum(v_i); matrices without alpha are left out.

    v_i is 1 with ``equal``, so that a convolution taken slice by slice counts once a slice. With ``size`` it is the
    number of weights of the layer, with ``depth`` the place of the layer, from 1, among those that have matrices: later
    layers count more. Either is divided by the number of the layer's matrices. alpha_mean_share is the sum of v_i over
    the matrices with an alpha, over that of all.

    After C. H. Martin, T. Peng, M. W. Mahoney, Nature Communications 12, 4122 (2021), whose mean is ``equal``.

    Args:
        alpha: One value per matrix, masked where there is none.
        matrices: Their places.
        by: What a matrix counts.

    Raises:
        NotApplicable: No matrix has an alpha.
    """
    present = _present(alpha, "alpha")
    counts = Counter(place.layer for place in matrices)
    match by:
        case "equal":
            weights = np.ones(len(matrices))
        case "size":
            weights = np.array([math.prod(place.shape) / counts[place.layer] for place in matrices])
        case "depth":
            weights = (_places(matrices) + 1.0) / np.array([counts[place.layer] for place in matrices])
    counted = math.fsum(weights[present])  # exact: the order of the layers changes no digit
    mean = math.fsum(weights[present] * alpha.data[present]) / counted
    return AlphaMean(mean, counted / math.fsum(weights))


@ww.metric(version="1", scope="model", on_request=True)
def correlation_flow(alpha: ByMatrix, matrices: Sequence[ww.MatrixPlace]) -> CorrelationFlow:
    """How alpha changes with depth: the least-squares slope of alpha_l = a + b l, and the largest jump.

    alpha_l is the mean over the matrices of layer l, l its place among all layers that have matrices; layers without
    an alpha are left out. The standard error of b is sqrt(sum(r_l**2) / (n - 2) / sum((l - mean(l))**2)), of n layers
    with residuals r_l, taken as independent. The jump is max(abs(alpha_l - alpha_m)), m the next layer after l with an
    alpha.

    C. H. Martin, T. Peng, M. W. Mahoney, Nature Communications 12, 4122 (2021), look at alpha against depth, and call
    it correlation flow. In the series they find better trained it stays level; elsewhere it grows or jumps.

    Args:
        alpha: One value per matrix, masked where there is none.
        matrices: Their places.

    Raises:
        NotApplicable: Fewer than three layers have an alpha.
    """
    present = _present(alpha, "alpha")
    at, inverse = np.unique(_places(matrices)[present], return_inverse=True)
    if at.size < 3:
        raise ww.NotApplicable(f"{at.size} layers have an alpha: a slope with an error needs three")
    by_layer = np.bincount(inverse, weights=alpha.data[present]) / np.bincount(inverse)
    depth, height = at - at.mean(), by_layer - by_layer.mean()
    squares = float((depth * depth).sum())
    slope = float((depth * height).sum()) / squares
    residuals = height - slope * depth
    error = math.sqrt(float((residuals * residuals).sum()) / (at.size - 2) / squares)
    return CorrelationFlow(slope, error, float(np.abs(np.diff(by_layer)).max()))


@ww.metric(version="1", scope="model", better="lower", unit="count", on_request=True)
def scale_collapse(spectral_norm: ByMatrix, *, deviations: float = 3.0, factor: float = 10.0) -> int:
    """Count of matrices with an anomalously small spectral norm s: those with log10 s below both of two limits.

    The limits are m - 3 * 1.4826 * MAD and m - 1, m the median of log10 s over the matrices that are not zero, MAD the
    median of abs(log10 s - m): far out for a normal distribution, and a tenth of the median at most. Matrices of zeros
    are counted. Matrices of all sizes and kinds are compared with each other.

    C. H. Martin, T. Peng, M. W. Mahoney, Nature Communications 12, 4122 (2021; preprint arXiv 2002.06716) find scale
    collapse and unusually large alphas in poorly trained networks. The poorly trained GPT has smaller spectral norms
    than GPT2, so that their mean makes the worse network look better. The limits are ours.

    Args:
        spectral_norm: One value per matrix, in the unit of the weights, masked where there is none.
        deviations: How many times 1.4826 MAD a matrix must lie below the median.
        factor: How many times smaller than the median it must be, above 0.

    Raises:
        NotApplicable: Fewer than five matrices are not zero.
        Refused: A matrix has no spectral norm: it might be one of them. Or factor is not above 0.
    """
    if not factor > 0.0:
        raise ww.Refused(f"factor is {factor:g}: it is above 0")
    missing = int(np.ma.getmaskarray(spectral_norm).sum())
    if missing:
        raise ww.Refused(f"{missing} of {spectral_norm.size} matrices have no spectral_norm")
    norms = spectral_norm.data
    logs = np.log10(norms[norms > 0.0])
    if logs.size < FEWEST_MATRICES:
        raise ww.NotApplicable(f"{logs.size} matrices are not zero: an outlier among them needs {FEWEST_MATRICES}")
    median = float(np.median(logs))
    spread = NORMAL_MAD * float(np.median(np.abs(logs - median)))
    limit = median - max(deviations * spread, math.log10(factor))
    return int(np.count_nonzero(logs < limit)) + norms.size - logs.size


@ww.metric(version="1", scope="model", better="lower", on_request=True)
def share_large_alpha(alpha: ByMatrix, *, above: float = 6.0) -> float:
    """Share of the matrices with an alpha whose alpha is above 6, from 0 to 1; sigma is not looked at.

    Unusually large alphas are what sets the poorly trained GPT apart from GPT2 in C. H. Martin, T. Peng, M. W. Mahoney,
    Nature Communications 12, 4122 (2021).

    Args:
        alpha: One value per matrix, masked where there is none.
        above: What is unusually large.

    Raises:
        NotApplicable: No matrix has an alpha.
    """
    return float(np.mean(alpha.data[_present(alpha, "alpha")] > above))


def _present(values: ByMatrix, name: str) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Which matrices have a value."""
    present = ~np.ma.getmaskarray(values)
    if not present.any():
        raise ww.NotApplicable(f"no matrix has an {name}")
    return present


def _places(matrices: Sequence[ww.MatrixPlace]) -> Floats:
    """The place of each matrix's layer among those that have matrices, from 0."""
    order = {layer: place for place, layer in enumerate(dict.fromkeys(own.layer for own in matrices))}
    return np.array([order[own.layer] for own in matrices], dtype=np.float64)
