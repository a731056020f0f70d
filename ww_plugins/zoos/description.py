"""What a zoo is like: how many networks, how they were trained, how well they do."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    import ww_core as ww

PERCENTILES = (0, 25, 50, 75, 100)
FEW = 8
"""Different numbers of a hyperparameter that are counted one by one."""

NEAR_CHANCE = 0.02
"""How far above the most frequent accuracy of guessing a network still is at chance: 2 points."""


@dataclass(frozen=True, slots=True)
class Numbers:
    """How numbers are distributed.

    Attributes:
        count: How many there are; those that are not known are left out.
        mean: Their mean.
        percentiles: The 0th, 25th, 50th, 75th and 100th, linearly interpolated.
    """

    count: int
    mean: float
    percentiles: tuple[float, ...]

    @classmethod
    def of(cls, values: npt.NDArray[Any]) -> Numbers | None:
        """Describe those that are known; None if none is."""
        known = values[np.isfinite(values)]
        if not known.size:
            return None
        return cls(known.size, float(known.mean()), tuple(map(float, np.percentile(known, PERCENTILES))))


@dataclass(frozen=True, slots=True)
class Hyperparameter:
    """How a hyperparameter is distributed over the networks: by counts, or by percentiles.

    Attributes:
        name: Its name.
        counts: How many networks have each value, in the order of the values, and last those of which it is not known,
            under no name; numbers with all their digits. Empty where there are many.
        numbers: Its distribution; None where the values are counted.
    """

    name: str
    counts: Mapping[str, int]
    numbers: Numbers | None


@dataclass(frozen=True, slots=True)
class ZooDescription:
    """What a zoo is like. Hyperparameters and results are of the last checkpoint of each network.

    Attributes:
        name: Its name.
        networks: How many networks.
        checkpoints: How many checkpoints of them.
        epochs: How many checkpoints there are of each epoch.
        parameters: How many numbers a network has; 0 where its weights are not here.
        layers: Name and shape, as stored, of the weight of each layer.
        layout: In which order the axes of weights are stored.
        hyperparameters: How they are distributed.
        results: How accuracies and losses are distributed, by name.
        chance: The accuracy of guessing on the data, as far as the networks tell; None where they do not.
        at_chance: Share of the networks whose test accuracy is at most 2 points above it.
        overfitting: How train accuracy minus test accuracy is distributed.
        correlation: Pearson's correlation of train and test accuracy; None where there is none.
        notes: What the user should see, such as which networks diverged.
    """

    name: str
    networks: int
    checkpoints: int
    epochs: Mapping[int, int]
    parameters: int
    layers: tuple[tuple[str, tuple[int, ...]], ...]
    layout: str
    hyperparameters: tuple[Hyperparameter, ...]
    results: Mapping[str, Numbers]
    chance: float | None
    at_chance: float | None
    overfitting: Numbers | None
    correlation: float | None
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, as ``--json`` prints it."""
        told = asdict(self)
        told["epochs"] = {str(epoch): count for epoch, count in self.epochs.items()}
        told["layers"] = [{"name": name, "shape": list(shape)} for name, shape in self.layers]
        return told


def described(zoo: ww.Zoo) -> ZooDescription:
    """Describe a zoo."""
    last = zoo.last()
    test, train = (last.results.get(name) for name in ("test_accuracy", "train_accuracy"))
    chance = chance_of(last)
    return ZooDescription(
        name=zoo.name,
        networks=len(last),
        checkpoints=len(zoo),
        epochs=dict(sorted(Counter(zoo.epochs.tolist()).items())),
        parameters=zoo.parameters,
        layers=tuple((own.name, own.weight.shape) for own in zoo.layers),
        layout=zoo.layout,
        hyperparameters=tuple(_hyperparameter(name, own) for name, own in last.hyperparameters.items()),
        results={name: told for name, own in last.results.items() if (told := Numbers.of(own)) is not None},
        chance=chance,
        at_chance=None if chance is None or test is None else float(np.mean(test <= chance + NEAR_CHANCE)),
        overfitting=None if test is None or train is None else Numbers.of(train - test),
        correlation=None if test is None or train is None else _correlation(train, test),
        notes=zoo.notes,
    )


def chance_of(zoo: ww.Zoo) -> float | None:
    """Return the accuracy of guessing: one over the classes, which are the outputs of the last layer that is no norm.

    Where classes are not equally frequent, guessing the most frequent one is better than that.
    """
    shapes = [own.weight.shape for own in zoo.layers if len(own.weight.shape) > 1]  # the weight of a norm has one axis
    if not shapes:
        return None
    shape = shapes[-1]
    outputs = shape[-1] if zoo.layout == "keras" else shape[0]
    return 1.0 / outputs if outputs > 1 else None


def _hyperparameter(name: str, values: npt.NDArray[Any]) -> Hyperparameter:
    if values.dtype.kind == "O":
        counts = Counter(values.tolist())
        return Hyperparameter(name, dict(sorted(counts.items())), None)
    different = np.unique(values[~np.isnan(values)])
    if different.size <= FEW:
        counts = Counter({repr(own + 0.0).removesuffix(".0"): int(np.sum(values == own)) for own in different.tolist()})
        counts[""] = int(np.isnan(values).sum())
        return Hyperparameter(name, dict(+counts), None)
    return Hyperparameter(name, {}, Numbers.of(values))


def _correlation(one: npt.NDArray[np.float64], other: npt.NDArray[np.float64]) -> float | None:
    known = np.isfinite(one) & np.isfinite(other)
    if known.sum() < 2 or not np.ptp(one[known]) or not np.ptp(other[known]):
        return None
    correlation = float(np.corrcoef(one[known], other[known])[0, 1])
    return correlation if math.isfinite(correlation) else None
