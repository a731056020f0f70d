"""What is said of arrays that were judged by themselves: values by column, and why there is none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ww_core.domain.outcome import State

if TYPE_CHECKING:
    from ww_core.domain.outcome import Outcome


@dataclass(frozen=True, slots=True, eq=False)
class Judgement:
    """Values of one matrix, or of several; ``judgement["alpha"]`` is ``judgement.values["alpha"]``.

    Attributes:
        values: By label of the column. Of one matrix a number, of a bool 0 or 1, or a text, as in a report; None where
            there is none. Of several an array with the shape of the stack: float64 with NaN where there is no number,
            or objects with None where there is no text.
        states: Why there is no value, by label of a column that lacks one. Of one matrix a text such as ``refused: 1 of
            4096 weights are NaN or infinite``. Of several an array of such texts, empty where there is a value.
    """

    values: Mapping[str, Any]
    states: Mapping[str, Any]

    def __getitem__(self, label: str) -> Any:
        """Return what ``values`` has of a column."""
        return self.values[label]

    @classmethod
    def of_one(cls, outcomes: Mapping[str, Outcome]) -> Judgement:
        """Return that of one matrix."""
        ok = State.OK
        return cls(
            values={label: number if text is None else text for label, (_, number, text, _) in outcomes.items()},
            states={label: outcome.explain() for label, outcome in outcomes.items() if outcome.state is not ok},
        )

    @classmethod
    def of_several(
        cls, rows: Sequence[Mapping[str, Outcome]], types: Mapping[str, str], shape: tuple[int, ...]
    ) -> Judgement:
        """Return that of a stack.

        Args:
            rows: Outcomes of its matrices, in C order.
            types: By label of the column, ``float``, ``int``, ``bool`` or ``text``.
            shape: Shape of the stack.
        """
        import numpy as np

        values, states = {}, {}
        for label, kind in types.items():
            outcomes = [row[label] for row in rows]
            given = [outcome.value for outcome in outcomes]
            values[label] = np.array(given, dtype=object if kind == "text" else np.float64).reshape(shape)
            if not all(outcome.is_ok for outcome in outcomes):
                texts = ["" if outcome.is_ok else outcome.explain() for outcome in outcomes]
                states[label] = np.array(texts, dtype=object).reshape(shape)
        return cls(values, states)
