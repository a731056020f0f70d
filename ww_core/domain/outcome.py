"""What became of a value: a number, a text, or a state with its reason."""

from __future__ import annotations

import math
from enum import StrEnum
from typing import Any, NamedTuple

from ww_core.domain.text import LONGEST_TEXT


class State(StrEnum):
    """State of a value. ``failed`` is never stored: an exception belongs to the run and is tried again."""

    OK = "ok"
    NAN = "nan"
    INF = "inf"
    NEGATIVE_INF = "-inf"
    NOT_APPLICABLE = "not_applicable"
    REFUSED = "refused"
    FAILED = "failed"


class Outcome(NamedTuple):
    """One column's value for one subject; a tuple, as there are very many and it is made in half the time.

    Attributes:
        state: What became of it.
        number: The value of a number or bool column; None unless the state is ok.
        text: The value of a text column; None unless the state is ok.
        reason: Why there is no value; empty if there is one.
    """

    state: State
    number: float | bool | None = None
    text: str | None = None
    reason: str = ""

    @classmethod
    def of(cls, value: Any) -> Outcome:
        """Wrap what a metric returned: a real number, a bool or a text.

        Raises:
            TypeError: It is none of these.
            ValueError: The text is too long.
            OverflowError: The number is beyond what a float holds.
        """
        if type(value) is float and math.isfinite(value):  # nearly all values are such
            return cls(State.OK, value)
        if isinstance(value, str):
            return cls(State.OK, text=_plain(value))
        if isinstance(value, complex) or not hasattr(value, "__float__") or getattr(value, "ndim", 0) != 0:
            raise TypeError(f"a metric returns a number, a bool or a text, not {type(value).__name__}")
        number = float(value)
        if math.isfinite(number):
            return cls(State.OK, number=number)
        if math.isnan(number):
            return cls(State.NAN, reason="the result is not a number")
        state = State.INF if number > 0 else State.NEGATIVE_INF
        return cls(state, reason=f"the result is {state}")

    @property
    def is_ok(self) -> bool:
        """Whether there is a value."""
        return self.state is State.OK

    @property
    def value(self) -> float | str | None:
        """The value, or None."""
        return self.text if self.text is not None else self.number

    def explain(self) -> str:
        """State and reason as one text: ``refused: ...``."""
        return f"{self.state}: {self.reason}" if self.reason else str(self.state)


def _plain(text: str) -> str:
    """Return a text as a plain ``str``: what a class of somebody's own makes of it is not asked."""
    cut = str.__getitem__(text, slice(LONGEST_TEXT + 1))
    if len(cut) > LONGEST_TEXT:
        raise ValueError(f"the text has {str.__len__(text):,} characters: {LONGEST_TEXT:,} are allowed")
    return cut
