"""What an estimator is: how a number of a network, such as its accuracy, is learned from features of many networks."""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from ww_core.contracts.variant import Variant

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    import numpy.typing as npt


class Fitted(Protocol):
    """What was learned, as scikit-learn's regressors have it too."""

    def predict(self, features: npt.NDArray[np.float64], /) -> npt.NDArray[Any]:
        """Return the predictions, shape (n,), for features of shape (n, k)."""


@dataclass(frozen=True, slots=True)
class Between:
    """An option is searched between two numbers, both included: whole numbers where the option is one.

    Attributes:
        low: The lowest.
        high: The highest.
        log: Whether its logarithm is drawn evenly, and not the number itself.
    """

    low: float
    high: float
    log: bool = False

    def draw(self, rng: np.random.Generator, *, whole: bool) -> float | int:
        """Draw a number."""
        if whole and not self.log:
            return int(rng.integers(int(self.low), int(self.high) + 1))
        if not self.log:
            return float(rng.uniform(self.low, self.high))
        value = math.exp(rng.uniform(math.log(self.low), math.log(self.high)))
        value = min(max(value, self.low), self.high)  # exp of a log is an end only but for rounding
        return round(value) if whole else value


@dataclass(frozen=True, slots=True)
class Among:
    """An option is searched among some values.

    Attributes:
        values: The values; each is as likely as another.
    """

    values: tuple[Any, ...]

    def draw(self, rng: np.random.Generator, *, whole: bool) -> Any:  # noqa: ARG002 - as of Between
        """Draw a value."""
        return self.values[int(rng.integers(len(self.values)))]


class Estimator(Variant):
    """Learns a number from features. Subclass it as a frozen dataclass; fields are options: ``forest[trees=32]``.

    Whatever has scikit-learn's interface needs ``fit`` alone, of three lines. A predictor that is kept in a file is
    then learned again where it is loaded, from the features in the file. One that can be written down as arrays
    gives ``state`` and ``from_state`` too, and is loaded without what it was learned by.

    Attributes:
        name: Its name.
        version: Changes whenever what it learns does.
        description: One line for ``ww predictor estimators``.
        extra: The extra of ww that installs what it needs; empty if nothing is needed.
    """

    name: ClassVar[str]
    version: ClassVar[str]
    description: ClassVar[str]
    extra: ClassVar[str] = ""

    def check(self) -> None:
        """Try whether it can be had, before there is work for it.

        Raises:
            MissingExtraError: What it needs is not installed.
        """
        return

    def ranges(self, columns: int) -> Mapping[str, Between | Among]:  # noqa: ARG002 - some depend on it
        """Return where options are searched, by name, for features of so many columns; nothing where none are."""
        return {}

    @abstractmethod
    def fit(self, features: npt.NDArray[np.float64], targets: npt.NDArray[np.float64], seed: int) -> Fitted:
        """Learn from features of shape (n, k) and targets of shape (n,). The same input and seed give the same."""

    def state(self, fitted: Any) -> Mapping[str, npt.NDArray[Any]] | None:  # noqa: ARG002 - the default has none
        """Return what was learned as arrays of numbers, which tell all of it; None if it cannot be told so."""
        return None

    def from_state(self, state: Mapping[str, npt.NDArray[Any]], columns: int) -> Fitted:
        """Return what was learned, for features of so many columns. The arrays may be a stranger's.

        Raises:
            CorruptFileError: They contradict themselves.
        """
        raise NotImplementedError(f"{type(self).__name__} defines state, and must define from_state too")
