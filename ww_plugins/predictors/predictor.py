"""A fitted predictor: what it learned, from what, and how well it does on networks that it never saw."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import ww_core as ww

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

FORMAT = 1
"""The format of the file. A file of a newer one is refused."""

LARGEST = 1e100
"""What is predicted of a network is no larger: nothing that is measured is, and its square is still a number."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """How well predictions agree with what was measured.

    Attributes:
        networks: How many networks were compared.
        r2: One minus the mean squared error over the variance; NaN if all targets are equal.
        mse: Mean squared error.
        mad: Mean absolute deviation.
        kendall_tau: Kendall's tau-b; NaN if all predictions or all targets are equal.
    """

    networks: int
    r2: float
    mse: float
    mad: float
    kendall_tau: float


@dataclass(frozen=True, eq=False)
class Learned:
    """Networks that a predictor was made with, shape (n, ...) each, in one order.

    Attributes:
        networks: Their numbers in the zoo, int64, shape (n,).
        features: float64, shape (n, features).
        targets: What was measured, float64, shape (n,).
        families: Family of each, texts, shape (n,); all empty where networks have none.
    """

    networks: npt.NDArray[np.int64]
    features: npt.NDArray[np.float64]
    targets: npt.NDArray[np.float64]
    families: npt.NDArray[Any]

    def __len__(self) -> int:
        return len(self.networks)


@dataclass(frozen=True, eq=False)
class Predictor:
    """A number of a network, such as its test accuracy, from its weights.

    Attributes:
        program: Version of ww that made it.
        features: The feature sets it was asked by, such as ``statistics``.
        feature_versions: Of each of them: its label and the version of its definition.
        names: Names of the features, in order.
        estimator: Label of the estimator with its options, such as ``gbm[trees=500]``.
        estimator_version: Version of the estimator.
        target: What is predicted, a result of the zoo, such as ``test_accuracy``.
        zoo: Name of the zoo it was fitted on.
        data: What the networks of the zoo were trained on; empty if nobody says.
        tensors: The tensors of a network of the zoo.
        layout: In which order the axes of weights are stored there.
        family_by: The hyperparameter that tells families; empty for none.
        seed: From which everything random was made.
        trials: How many options were tried; 0 if none were searched.
        folds: Of the cross-validation.
        fold_scores: What the chosen options scored in each fold.
        training: The networks that the estimator saw.
        calibration: The networks that the intervals come from; the estimator never saw them.
        calibrated: What it predicts of them, float64, shape (len(calibration),).
        held_out: Numbers of the networks that were held out, int64.
        held_out_score: How well it does on them.
        state: What was learned, as arrays; None if it is learned again from ``training``.
        fitted: What was learned, to be asked.
    """

    program: str
    features: str
    feature_versions: tuple[tuple[str, str], ...]
    names: tuple[str, ...]
    estimator: str
    estimator_version: str
    target: str
    zoo: str
    data: str
    tensors: tuple[ww.ZooTensor, ...]
    layout: str
    family_by: str
    seed: int
    trials: int
    folds: int
    fold_scores: tuple[Agreement, ...]
    training: Learned
    calibration: Learned
    calibrated: npt.NDArray[np.float64]
    held_out: npt.NDArray[np.int64]
    held_out_score: Agreement
    fitted: ww.Fitted = field(repr=False)
    state: Mapping[str, npt.NDArray[Any]] | None = field(default=None, repr=False)

    def predict(self, features: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return the predictions, float64, shape (n,), for features of shape (n, len(names)).

        Raises:
            PluginError: The estimator failed, or gave something else.
        """
        return predictions_of(self.fitted, features, self.target, self.estimator)

    def has_layers_of(self, zoo: ww.Zoo) -> bool:
        """Return whether the layers of a zoo have the roles and shapes of those that it learned from."""
        return [(own.role, own.shape) for own in zoo.tensors] == [(own.role, own.shape) for own in self.tensors]

    def check_features(self, found: ww.ZooFeatures) -> None:
        """Raise if features are not those that it learned from.

        Names of layers may be others: a feature is known by its place, and by what stands behind its layer's name.

        Raises:
            UsageError: They are.
        """
        own, wanted = tuple(map(_ending, found.names)), tuple(map(_ending, self.names))
        if own == wanted:
            return
        if len(own) != len(wanted):
            raise ww.UsageError(
                f"{found.zoo.name}: {len(own)} features {self.features!r} come of it, and the predictor learned from "
                f"{len(wanted)}, of networks of zoo {self.zoo}: the layers are others"
            )
        place = next(at for at, pair in enumerate(zip(own, wanted, strict=True)) if pair[0] != pair[1])
        raise ww.UsageError(
            f"{found.zoo.name}: feature {place + 1} is {found.names[place]!r}, where the predictor learned from "
            f"{self.names[place]!r}, of networks of zoo {self.zoo}: the layers are others"
        )


def predictions_of(
    learned: ww.Fitted, features: npt.NDArray[np.float64], target: str, estimator: str
) -> npt.NDArray[np.float64]:
    """Return what was learned of some networks, float64, shape (n,). Accuracies are shares: cut to [0, 1].

    Raises:
        PluginError: The estimator failed, or gave no number for one of them.
    """
    import numpy as np

    try:
        told: npt.NDArray[np.float64] = np.array(learned.predict(features))
        if told.dtype.kind not in "fiu" or told.shape != (len(features),) or not (np.abs(told) <= LARGEST).all():
            raise ValueError(f"it gave no number for each of {len(features)} networks")
    except ww.WWError:
        raise
    except Exception as error:
        raise ww.PluginError(f"estimator {estimator} failed: {type(error).__name__}: {error}") from error
    told = told.astype(np.float64)
    return np.clip(told, 0.0, 1.0) if target.endswith("accuracy") else told


def _ending(name: str) -> str:
    return name.rpartition("/")[2]
