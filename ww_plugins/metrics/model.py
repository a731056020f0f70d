"""Metrics of a whole model, from the columns of its matrices."""

from __future__ import annotations

from typing import Any

import numpy as np

import ww_core as ww

ByMatrix = np.ma.MaskedArray[Any, np.dtype[np.float64]]


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
