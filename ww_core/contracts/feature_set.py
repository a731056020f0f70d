"""What a feature set is: the numbers that a predictor sees of each network of a zoo."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar

from ww_core.contracts.variant import Variant

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from ww_core.domain.zoo import Zoo


PLUS = "+"
"""What stands between feature sets where people put some together."""


class FeatureSet(Variant):
    """Numbers of each checkpoint of a zoo, made for all of them at once.

    Subclass it as a frozen dataclass; fields are options: ``weights[layer=4]``.

    Attributes:
        name: Its name.
        version: Changes whenever the meaning of a number does.
        description: One line for ``ww zoo feature-sets``.
    """

    name: ClassVar[str]
    version: ClassVar[str]
    description: ClassVar[str]

    @abstractmethod
    def names(self, zoo: Zoo) -> tuple[str, ...]:
        """Return the names of the features, in order; told from the zoo's tensors and hyperparameters, not its rows.

        Raises:
            UsageError: The zoo has not what they are made of.
        """

    @abstractmethod
    def features(self, zoo: Zoo) -> npt.NDArray[np.float64]:
        """Return the features, shape (len(zoo), len(names)); NaN where a checkpoint has no such number.

        Raises:
            UsageError: As of ``names``.
        """
