"""What every estimator asks of the networks that it learns from, and of those that it predicts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

import ww_core as ww

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

LARGEST = 1e100
"""No number of a fit is larger: a larger one, in a file, would make sums overflow."""

SPREADS = 1e6
"""Standardised features end here: of n networks none is beyond sqrt(n), and nothing that follows overflows."""


def check_training(features: npt.NDArray[np.float64], targets: npt.NDArray[np.float64], estimator: str) -> None:
    """Check what an estimator is given.

    Args:
        features: Shape (n, k).
        targets: Shape (n,).
        estimator: Its label, for the message.

    Raises:
        UsageError: There is nothing to learn from, the shapes differ, or a number is not finite or beyond 1e100.
    """
    if features.ndim != 2 or targets.shape != features.shape[:1]:
        raise ww.UsageError(
            f"estimator {estimator}: features of shape {features.shape} and targets of shape {targets.shape} do not fit"
        )
    if not features.size:
        raise ww.UsageError(f"estimator {estimator}: there is nothing to learn from: features have no row or no column")
    for what, numbers in (("feature", features), ("target", targets)):
        if not all_within(numbers):
            raise ww.UsageError(f"estimator {estimator}: a {what} is not a finite number, or is beyond {LARGEST:g}")


def all_within(numbers: npt.NDArray[Any]) -> bool:
    """Return whether all numbers, of any shape, are finite and within 1e100."""
    if not numbers.size:
        return True
    return float(numbers.min()) >= -LARGEST and float(numbers.max()) <= LARGEST  # NaN is neither


def check_accuracies(targets: npt.NDArray[np.float64], estimator: str) -> None:
    """Check that a sigmoid can reach the targets.

    Raises:
        UsageError: One lies outside [0, 1].
    """
    if not ((targets >= 0.0) & (targets <= 1.0)).all():
        raise ww.UsageError(
            f"estimator {estimator}: it predicts numbers from 0 to 1, and targets go from {targets.min():g} to "
            f"{targets.max():g}: take gbm, forest or extra-trees"
        )


def check_columns(features: npt.NDArray[np.float64], columns: int) -> None:
    """Check features that are predicted from.

    Raises:
        UsageError: They are not of shape (n, columns).
    """
    if features.ndim != 2 or features.shape[1] != columns:
        raise ww.UsageError(f"predictions need features of shape (n, {columns}), not {features.shape}")


def check_options(estimator: ww.Estimator, limits: Mapping[str, tuple[float, float]]) -> None:
    """Check the options of an estimator against the lowest and the highest value of each.

    Raises:
        UsageError: One is outside, and which values it may have.
    """
    for name, (low, high) in limits.items():
        value = estimator.values[name]
        if not low <= value <= high:
            upwards = f"{low:g} or more" if high == np.inf else f"from {low:g} to {high:g}"
            raise ww.UsageError(f"estimator {estimator.name}: {name}={value:g} is not possible: it is {upwards}")


@dataclass(frozen=True, eq=False)
class Scaling:
    """Makes features have mean 0 and standard deviation 1 on the networks that were learned from.

    Attributes:
        mean: Of each feature, float64, shape (k,).
        spread: Standard deviation of each feature, divided by n; 1 where all are equal.
    """

    mean: npt.NDArray[np.float64]
    spread: npt.NDArray[np.float64]

    @classmethod
    def of(cls, features: npt.NDArray[np.float64]) -> Scaling:
        """Return that of features of shape (n, k)."""
        is_constant = features.min(axis=0) == features.max(axis=0)
        mean = np.where(is_constant, features[0], features.mean(axis=0))  # the sum of equal numbers may be rounded
        size = np.abs(features - mean).max(axis=0)
        size[size == 0.0] = 1.0
        spread = size * np.sqrt((((features - mean) / size) ** 2).mean(axis=0))  # squares of tiny numbers are none
        return cls(mean, np.where(is_constant | (spread == 0.0), 1.0, spread))

    def applied(self, features: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return features of shape (n, k) standardised, C-contiguous, each within a million deviations."""
        with np.errstate(over="ignore"):  # infinity is clipped
            standardised = (features - self.mean) / self.spread
        return np.ascontiguousarray(np.clip(standardised, -SPREADS, SPREADS))

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Return it as arrays."""
        return {"mean": self.mean, "spread": self.spread}

    @classmethod
    def from_state(cls, state: Mapping[str, npt.NDArray[Any]], columns: int) -> Scaling:
        """Return it from arrays of a file.

        Raises:
            CorruptFileError: They are none of a scaling.
        """
        mean, spread = (state_array(state, name, np.float64, (columns,)) for name in ("mean", "spread"))
        if not (spread > 0.0).all():
            raise ww.CorruptFileError("the predictor's array 'spread' has a number that is not above zero")
        return cls(mean, spread)


def state_array(
    state: Mapping[str, npt.NDArray[Any]], name: str, dtype: type[np.generic], shape: tuple[int | None, ...]
) -> npt.NDArray[Any]:
    """Return one array of a fitted state.

    Args:
        state: The arrays, of a file perhaps.
        name: Which one.
        dtype: It must have this one.
        shape: It must have this one; None for any length.

    Raises:
        CorruptFileError: It is missing, has another form, or a number of it is not finite or beyond 1e100.
    """
    array = state.get(name)
    if not isinstance(array, np.ndarray):
        raise ww.CorruptFileError(f"the predictor has no array {name!r}")
    fits = array.ndim == len(shape) and all(w is None or w == g for w, g in zip(shape, array.shape, strict=True))
    if array.dtype != dtype or not fits:
        wanted = "x".join("n" if length is None else str(length) for length in shape)
        raise ww.CorruptFileError(
            f"the predictor's array {name!r} is {array.dtype} of shape {array.shape}, and must be "
            f"{np.dtype(dtype).name} of shape {wanted}"
        )
    if array.dtype.kind == "f" and not all_within(array):
        raise ww.CorruptFileError(f"the predictor's array {name!r} has a number that no fit gives")
    return array


def check_state_names(state: Mapping[str, npt.NDArray[Any]], names: set[str]) -> None:
    """Check that a state has these arrays and no others.

    Raises:
        CorruptFileError: It has others.
    """
    if set(state) != names:
        raise ww.CorruptFileError(
            f"the predictor has the arrays {', '.join(sorted(state)) or '(none)'}, and must have "
            f"{', '.join(sorted(names))}"
        )
