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
    """How far a stored number may be from the one that was meant: half a step, to either side.

    Float formats have a relative step, which ends at the distance of their smallest numbers. Whole numbers with a
    scale, as int8, have an absolute one: of the tensor, or of each channel or block (``of_steps``). Of many steps two
    numbers are kept, because the expected norm of the errors follows from them: with independent errors it is at most
    ``(row_step * sqrt(cols) + col_step * sqrt(rows)) / sqrt(12)``, after S. Chevet (1978), and near it. A kernel slice
    has every channel, so the two are its own as well; a group has some of them, and gets a floor that is rather too
    high than too low.

    Attributes:
        epsilon: Relative: the distance from 1 to the next number.
        row_step: Absolute: the root of the mean square along a row of the weight (an output channel), of the row in
            which it is largest; unit of the weights.
        col_step: The same of a column (an input channel).

    Raises:
        ValueError: One of them is negative or not finite.
    """

    epsilon: float = 0.0
    row_step: float = 0.0
    col_step: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what no distance can be."""
        for distance in (self.epsilon, self.row_step, self.col_step):
            if not 0.0 <= distance < math.inf:
                raise ValueError(f"epsilon and steps are distances: one cannot be {distance!r}")

    @classmethod
    def of_steps(cls, steps: npt.ArrayLike) -> Rounding:
        """Return the rounding of a tensor with absolute steps: the distance of neighbouring numbers, its scale.

        Args:
            steps: One number for the tensor; or an array with the axes of the tensor in its canonical layout, of
                length 1 where the step does not change, else the count of channels or of equal blocks. (out, 1) is a
                step for each output channel of a matrix, and so is (out,); (out, in / 32) is one for each block of 32
                in a row.

        Raises:
            ValueError: A step is negative or not finite.
        """
        import numpy as np

        own = np.asarray(steps, dtype=np.float64)
        if not own.size:
            return cls()
        own = own.reshape(own.shape + (1,) * (2 - own.ndim))
        largest = float(own.max())
        if not (np.isfinite(own).all() and own.min() >= 0.0):
            raise ValueError("steps are distances: none can be negative, NaN or infinite")
        if not largest:
            return cls()
        squares = np.square(own / largest)
        by_row, by_col = (squares.mean(axis=tuple({*range(own.ndim)} - {axis})) for axis in (0, 1))
        return cls(0.0, largest * math.sqrt(by_row.max()), largest * math.sqrt(by_col.max()))

    @classmethod
    def parse(cls, text: str) -> Rounding:
        """Return the rounding of a ``text``; of an empty one that which says nothing."""
        return cls(*json.loads(text or "[]"))

    @property
    def text(self) -> str:
        """Its numbers as plain data, always the same for the same ones."""
        return canonical_json([self.epsilon, self.row_step, self.col_step])

    def with_at_least(self, other: Rounding) -> Rounding:
        """Return the coarser of two: numbers that were rounded to one are now held in the other."""
        return Rounding(
            max(self.epsilon, other.epsilon), max(self.row_step, other.row_step), max(self.col_step, other.col_step)
        )

    def times(self, gain: float) -> Rounding:
        """Return that of numbers whose errors are so many times as large."""
        return self if gain == 1.0 else Rounding(self.epsilon, self.row_step * gain, self.col_step * gain)

    def noise(self, rms: float, rows: int, cols: int) -> float:
        """Return the expected spectral norm of the errors of a (rows, cols) matrix whose root mean square is given."""
        relative = self.epsilon / math.sqrt(12.0) * rms * (math.sqrt(rows) + math.sqrt(cols))
        return max(relative, (self.row_step * math.sqrt(cols) + self.col_step * math.sqrt(rows)) / math.sqrt(12.0))


ROUNDINGS = {
    "float16": Rounding(2.0**-10, 2.0**-24, 2.0**-24),
    "bfloat16": Rounding(2.0**-7, 2.0**-133, 2.0**-133),
    "float32": Rounding(2.0**-23, 2.0**-149, 2.0**-149),
    "float64": Rounding(2.0**-52, 2.0**-1074, 2.0**-1074),
}
"""That of each dtype; its steps are the distance of the smallest numbers, the subnormal ones."""
