"""Models with two numbers each, in an order that does not depend on the order in which they are given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ww_core.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Sample:
    """Models, group after group.

    Attributes:
        x: Shape (n,), finite.
        y: Shape (n,), finite.
        sizes: Shape (groups,), ascending: models of each group, at least one; they add up to n.
    """

    x: Floats
    y: Floats
    sizes: Integers

    @property
    def n(self) -> int:
        """Number of models."""
        return len(self.x)

    @property
    def starts(self) -> Integers:
        """Shape (groups,): where each group starts."""
        starts: Integers = np.cumsum(self.sizes) - self.sizes
        return starts

    @property
    def group(self) -> Integers:
        """Shape (n,): number of the group of each model."""
        return np.repeat(np.arange(len(self.sizes)), self.sizes)

    def as_one_group(self) -> Sample:
        """The same models in the same order, all in one group."""
        return Sample(self.x, self.y, np.full(min(1, self.n), self.n, dtype=np.int64))


def sample_of(x: npt.ArrayLike, y: npt.ArrayLike) -> Sample:
    """Take all models as one group, in ascending order of x, those of equal x of y.

    Args:
        x: Shape (n,), finite.
        y: Shape (n,), finite.

    Raises:
        UsageError: x and y are not equally many finite numbers.
    """
    return grouped_sample(x, y, None)


def grouped_sample(x: npt.ArrayLike, y: npt.ArrayLike, groups: Sequence[Hashable] | None) -> Sample:
    """Sort models by their groups, and the groups by how many models they have and by what these are.

    Args:
        x: Shape (n,), finite.
        y: Shape (n,), finite.
        groups: A label for each model; None for one group.

    Raises:
        UsageError: x, y and groups are not equally many, or x or y is not finite.
    """
    x, y = _finite("x", x), _finite("y", y)
    labels = [None] * len(x) if groups is None else groups
    if not len(x) == len(y) == len(labels):
        many = f"x has {len(x)} numbers, y has {len(y)}"
        many += "" if groups is None else f", and there are {len(labels)} groups"
        raise UsageError(f"{many}: each model needs one of each")
    members = [indices[np.lexsort((y[indices], x[indices]))] for indices in group_indices(labels).values()]
    members.sort(key=lambda indices: (len(indices), x[indices].tolist(), y[indices].tolist()))
    order = np.concatenate([np.empty(0, dtype=np.int64), *members])
    return Sample(x[order], y[order], np.array([len(indices) for indices in members], dtype=np.int64))


def group_indices(groups: Sequence[Hashable]) -> dict[Hashable, Integers]:
    """Which models each group has, in the order in which the groups first appear."""
    found: dict[Hashable, list[int]] = {}
    for index, label in enumerate(groups):
        found.setdefault(label, []).append(index)
    return {label: np.array(indices, dtype=np.int64) for label, indices in found.items()}


def _finite(name: str, numbers: npt.ArrayLike) -> Floats:
    values = np.asarray(numbers, dtype=np.float64)
    if values.ndim != 1:
        raise UsageError(f"{name} has shape {values.shape}: one number for each model is needed")
    if not np.isfinite(values).all():
        at = int(np.flatnonzero(~np.isfinite(values))[0])
        raise UsageError(f"{name}[{at}] is {values[at]}: leave out models without a finite number")
    return values
