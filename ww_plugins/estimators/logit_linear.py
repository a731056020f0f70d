"""A line in standardised features, through a sigmoid: the paper's L-Linear, fitted to the end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

import ww_core as ww

if TYPE_CHECKING:
    import numpy.typing as npt


@dataclass(frozen=True, eq=False)
class Line:
    """A fitted line.

    Attributes:
        slopes: Of the features as they are, float64, shape (k,).
        offset: float64, shape ().
    """

    slopes: npt.NDArray[np.float64]
    offset: npt.NDArray[np.float64]

    def predict(self, features: npt.NDArray[np.float64], /) -> npt.NDArray[np.float64]:
        """Return the predictions between 0 and 1, float64, shape (n,), for features of shape (n, k)."""
        from scipy.special import expit

        told: npt.NDArray[np.float64] = expit(np.einsum("ij,j->i", features, self.slopes) + self.offset)
        return told


@dataclass(frozen=True)
class LogitLinear(ww.Estimator):
    """Squared errors behind a sigmoid, with an L2 penalty on the slopes of standardised features, by L-BFGS."""

    name: ClassVar[str] = "logit-linear"
    version: ClassVar[str] = "1"
    description: ClassVar[str] = "a line behind a sigmoid, for results between 0 and 1"

    l2: float = 1e-5

    def ranges(self, columns: int) -> Mapping[str, ww.Between | ww.Among]:
        """Return where options are searched: the paper's range."""
        del columns
        return {"l2": ww.Between(1e-8, 1e-3, log=True)}

    def fit(self, features: npt.NDArray[np.float64], targets: npt.NDArray[np.float64], seed: int) -> Line:
        """Fit; nothing is random.

        Raises:
            UsageError: A target is not between 0 and 1.
        """
        from scipy.optimize import minimize
        from scipy.special import logit

        del seed
        if targets.min() < 0 or targets.max() > 1:
            raise ww.UsageError(f"estimator {self.name} learns results between 0 and 1, and some are not")
        centre, scale = features.mean(axis=0), features.std(axis=0)
        scale = np.where(scale > 0, scale, 1.0)
        standard = (features - centre) / scale
        start = np.append(np.zeros(standard.shape[1]), logit(np.clip(targets.mean(), 1e-3, 1 - 1e-3)))
        found = minimize(
            loss, start, args=(standard, targets, self.l2), jac=True, method="L-BFGS-B", options={"maxiter": 2000}
        )
        slopes = found.x[:-1] / scale
        return Line(slopes, np.asarray(found.x[-1] - centre @ slopes))

    def state(self, fitted: Any) -> Mapping[str, npt.NDArray[Any]]:
        """Return slopes and offset."""
        line: Line = fitted
        return {"slopes": line.slopes, "offset": line.offset}

    def from_state(self, state: Mapping[str, npt.NDArray[Any]], columns: int) -> Line:
        """Return the line, checked."""
        slopes, offset = state.get("slopes"), state.get("offset")
        for own, shape in ((slopes, (columns,)), (offset, ())):
            if own is None or own.dtype != np.float64 or own.shape != shape or not np.isfinite(own).all():
                raise ww.CorruptFileError(f"it has no line in {columns} features")
        assert slopes is not None and offset is not None  # noqa: S101, PT018 - the loop looked
        return Line(slopes, offset)


def loss(
    own: npt.NDArray[np.float64], features: npt.NDArray[np.float64], targets: npt.NDArray[np.float64], l2: float
) -> tuple[float, npt.NDArray[np.float64]]:
    """Return mean squared error plus penalty, and its gradient, at slopes and offset, shape (k + 1,)."""
    from scipy.special import expit

    slopes = own[:-1]
    told = expit(features @ slopes + own[-1])
    errors = told - targets
    inner = 2.0 * errors * told * (1.0 - told) / len(targets)
    gradient = np.append(features.T @ inner + 2.0 * l2 * slopes, inner.sum())
    return float(np.mean(errors**2) + l2 * slopes @ slopes), gradient
