"""How well predictions agree with what was measured."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import numpy as np

from ww_plugins.predictors.predictor import Agreement

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

MEASURES = ("r2", "mse", "mad", "kendall_tau")


def agreement_of(predictions: npt.NDArray[np.float64], targets: npt.NDArray[np.float64]) -> Agreement:
    """Compare predictions with targets, shape (n,) each, n at least 1."""
    from scipy.stats import kendalltau

    errors = predictions - targets
    mse = float(np.mean(errors**2))
    variance = float(np.var(targets))
    is_spread = bool(np.ptp(targets) > 0)
    tau = float(kendalltau(predictions, targets).statistic) if is_spread and np.ptp(predictions) > 0 else float("nan")
    return Agreement(
        networks=len(targets),
        r2=1.0 - mse / variance if is_spread and variance > 0 else float("nan"),
        mse=mse,
        mad=float(np.mean(np.abs(errors))),
        kendall_tau=tau,
    )


def spread_of(several: Sequence[Agreement]) -> dict[str, float]:
    """Return the standard deviation of each measure over folds or seeds (ddof 1), by its name with ``_std``.

    It is NaN of fewer than two.
    """
    rows = [asdict(own) for own in several]
    return {
        f"{measure}_std": float(np.std([row[measure] for row in rows], ddof=1)) if len(rows) > 1 else float("nan")
        for measure in MEASURES
    }
