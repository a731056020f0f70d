"""L-Linear of the paper: one linear function of the features, through a sigmoid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

import ww_core as ww
from ww_plugins.estimators.training import (
    Scaling,
    check_accuracies,
    check_columns,
    check_options,
    check_state_names,
    check_training,
    state_array,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

ITERATIONS = 5000
NEAR_AN_END = 1e-3
"""A fit starts at the mean of the targets, and no nearer to 0 or 1 than this, where a sigmoid is flat."""


@dataclass(frozen=True, eq=False)
class FittedLogit:
    """sigmoid(standardised features @ weight + bias).

    Attributes:
        scaling: Of the features.
        weight: float64, shape (k,).
        bias: The number that is added.
    """

    scaling: Scaling
    weight: Floats
    bias: float

    def predict(self, features: Floats) -> Floats:
        """Return the predictions, shape (n,), from 0 to 1, for features of shape (n, k)."""
        check_columns(features, len(self.weight))
        return sigmoid((self.scaling.applied(features) * self.weight).sum(axis=1) + self.bias)


@dataclass(frozen=True)
class LogitLinear(ww.Estimator):
    """A linear function through a sigmoid, squared loss, L2 on its weights: L-Linear of arXiv:2002.11448, section 4.

    It is fitted in full by L-BFGS, and not for some epochs: nothing of it is left to chance, and the seed is not used.

    Attributes:
        l2: Penalty on the sum of squared weights.
    """

    name = "logit-linear"
    version = "1"
    description = "a linear function of standardised features through a sigmoid: the paper's L-Linear"
    l2: float = 1e-4

    def __post_init__(self) -> None:
        check_options(self, {"l2": (0.0, 1e6)})

    def ranges(self, columns: int) -> Mapping[str, ww.Between | ww.Among]:  # noqa: ARG002 - the same for any
        """Return where the penalty is searched: the paper's range."""
        return {"l2": ww.Between(1e-8, 1e-3, log=True)}

    def fit(self, features: Floats, targets: Floats, seed: int) -> FittedLogit:  # noqa: ARG002 - none is needed
        """Learn from features of shape (n, k) and targets of shape (n,), from 0 to 1.

        Raises:
            UsageError: There is nothing to learn from, a number is not finite, or a target lies outside [0, 1].
        """
        from scipy.optimize import minimize
        from threadpoolctl import threadpool_limits

        check_training(features, targets, self.label)
        check_accuracies(targets, self.label)
        scaling = Scaling.of(features)
        start = np.zeros(features.shape[1] + 1)
        start[-1] = logit_of_mean(targets)
        with threadpool_limits(1):  # sums in one order, whatever the machine
            found = minimize(
                loss_and_gradient,
                start,
                args=(scaling.applied(features), targets, self.l2),
                jac=True,
                method="L-BFGS-B",
                options={"maxiter": ITERATIONS, "maxfun": 2 * ITERATIONS, "ftol": 1e-13, "gtol": 1e-9, "maxcor": 20},
            ).x
        return FittedLogit(scaling, found[:-1].copy(), float(found[-1]))

    def state(self, fitted: FittedLogit) -> Mapping[str, npt.NDArray[Any]]:
        """Return ``mean``, ``spread`` and ``weight``, shape (k,), and ``bias``, shape (1,); all float64."""
        return fitted.scaling.state() | {"weight": fitted.weight, "bias": np.array([fitted.bias])}

    def from_state(self, state: Mapping[str, npt.NDArray[Any]], columns: int) -> FittedLogit:
        """Return the function.

        Raises:
            CorruptFileError: The arrays are none of one.
        """
        check_state_names(state, {"mean", "spread", "weight", "bias"})
        weight = state_array(state, "weight", np.float64, (columns,))
        bias = state_array(state, "bias", np.float64, (1,))
        return FittedLogit(Scaling.from_state(state, columns), weight, float(bias[0]))


def loss_and_gradient(parameters: Floats, features: Floats, targets: Floats, l2: float) -> tuple[float, Floats]:
    """Return the mean squared error with its penalty, and its gradient.

    Args:
        parameters: The weights, then the bias, shape (k + 1,).
        features: Standardised, shape (n, k).
        targets: Shape (n,).
        l2: Penalty on the sum of squared weights.
    """
    weight = parameters[:-1]
    predictions = sigmoid(features @ weight + parameters[-1])
    errors = predictions - targets
    slopes = 2.0 / len(targets) * errors * predictions * (1.0 - predictions)
    gradient = np.append(slopes @ features + 2.0 * l2 * weight, slopes.sum())
    return float((errors**2).mean() + l2 * (weight @ weight)), gradient


def logit_of_mean(targets: Floats) -> float:
    """Return the number whose sigmoid is the mean of the targets, or near to it where that is 0 or 1."""
    mean = float(np.clip(targets.mean(), NEAR_AN_END, 1.0 - NEAR_AN_END))
    return float(np.log(mean / (1.0 - mean)))


def sigmoid(numbers: Floats) -> Floats:
    """Return 1 / (1 + exp(-x)) of each, of whatever size."""
    small = np.exp(-np.abs(numbers))
    return np.where(numbers >= 0.0, 1.0, small) / (1.0 + small)
