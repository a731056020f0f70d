"""A metric of a whole layer, with a parameter, and a metric of a whole model."""

import numpy as np

import ww_core as ww


@ww.metric(version="1", scope="layer", better="lower")
def dead_outputs(stored_weight, *, below: float = 0.0) -> float:
    """Share of the outputs of which no weight is larger than `below`, as structured pruning leaves them."""
    if stored_weight.ndim < 2 or stored_weight.size == 0:
        raise ww.NotApplicable("the weight has no rows of numbers")
    rows = stored_weight.reshape(len(stored_weight), -1)  # (out, in / groups, *kernel): the first axis is the outputs
    return float(np.all(np.abs(rows) <= below, axis=1).mean())


@ww.metric(version="1", scope="model", better="lower", unit="log10")
def norm_spread(spectral_norm) -> float:
    """Decades between the largest and the smallest spectral norm of the model's matrices."""
    norms = spectral_norm.compressed()  # a masked array, one entry for each matrix; masked where there is no value
    if norms.size == 0 or norms.min() == 0:
        raise ww.NotApplicable("no matrix has a spectral norm, or a matrix is zero")
    return float(np.log10(norms.max()) - np.log10(norms.min()))


@ww.hookimpl
def ww_register_metrics():
    return [dead_outputs, norm_spread]
