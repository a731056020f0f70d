"""How precisely the numbers of a tensor were stored."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ww_core.domain.identity import canonical_json

if TYPE_CHECKING:
    import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class Rounding:
    """How far a stored number may be from the one that was meant: within half a step, to either side.

    The step of a number w is ``epsilon * abs(w)`` or ``step``, whichever is more. Float formats have the first, which
    ends at the distance of their smallest numbers; whole numbers with a scale, as int8, have the second.

    Scales of channels or blocks become one step, the root of the mean of their squares over all numbers of the tensor.
    Rounding errors are independent and uniform, so that is what their Frobenius norm follows from, whatever the scales;
    the spectral norm follows from it as long as no channel has a much larger step than the others. A kernel slice has
    the channels of the whole kernel, and so its step; a group shares the tensor's, though its own channels may have
    another.

    Attributes:
        epsilon: Relative: the distance from 1 to the next number.
        step: Absolute: root mean square over the numbers of the tensor; unit of the weights.

    Raises:
        ValueError: One of them is negative or not finite.
    """

    epsilon: float = 0.0
    step: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what no distance can be."""
        for distance in (self.epsilon, self.step):
            if not 0.0 <= distance < math.inf:
                raise ValueError(f"epsilon and step are distances: one cannot be {distance!r}")

    @classmethod
    def of_steps(cls, steps: npt.ArrayLike, counts: npt.ArrayLike = 1) -> Rounding:
        """Return the rounding of a tensor whose channels or blocks have steps of their own.

        Args:
            steps: The distance of neighbouring numbers in each channel or block, any shape, not negative; unit of the
                weights.
            counts: How many numbers of the tensor each has, same shape; 1 if all have as many.

        Raises:
            ValueError: A step is negative or not finite, or there is none.
        """
        import numpy as np

        own = np.asarray(steps, dtype=np.float64)
        largest = float(own.max())
        if not (own.min() >= 0.0 and largest < math.inf):
            raise ValueError("steps are distances: they cannot be negative, NaN or infinite")
        if not largest:
            return cls()
        mean = np.average(np.square(own / largest), weights=np.broadcast_to(np.asarray(counts), own.shape))
        return cls(step=largest * math.sqrt(mean))

    @classmethod
    def parse(cls, text: str) -> Rounding:
        """Return the rounding of a ``text``; of an empty one that which says nothing."""
        return cls(*json.loads(text or "[]"))

    @property
    def text(self) -> str:
        """Both numbers as plain data, always the same for the same ones."""
        return canonical_json([self.epsilon, self.step])

    def with_at_least(self, other: Rounding) -> Rounding:
        """Return the coarser of two: numbers that were rounded to one are then held in the other."""
        return Rounding(max(self.epsilon, other.epsilon), max(self.step, other.step))


ROUNDINGS = {
    "float16": Rounding(2.0**-10, 2.0**-24),
    "bfloat16": Rounding(2.0**-7, 2.0**-133),
    "float32": Rounding(2.0**-23, 2.0**-149),
    "float64": Rounding(2.0**-52, 2.0**-1074),
}
"""That of each dtype; its step is the distance of the smallest numbers, the subnormal ones."""
