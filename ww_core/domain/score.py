"""Scores: numbers that somebody reported about a model, such as its error on a test set."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, NamedTuple, get_args

from ww_core.domain.column import Better
from ww_core.domain.name import LONGEST_NAME, check_name
from ww_core.errors import UsageError


class Score(NamedTuple):
    """A number that somebody reports about a model.

    Attributes:
        model: Name of the model.
        name: What it is, such as ``top1_error``.
        dataset: What it was measured on; empty if nobody says.
        value: The number.
        source: Who says so: a paper, a page, a person.
        version: Version of the model; empty for its newest, and for a model without weights.
        better: ``lower``, ``higher`` or ``none``.
        unit: Its unit, such as ``%``; empty for none.
        low: Lower end of the interval reported with it; None for none.
        high: Upper end of the interval.
    """

    model: str
    name: str
    dataset: str
    value: float
    source: str
    version: str = ""
    better: str = "none"
    unit: str = ""
    low: float | None = None
    high: float | None = None

    def __str__(self) -> str:
        model = f"{self.model}@{self.version}" if self.version else self.model
        return f"{self.name} of {model}{f' on {self.dataset}' if self.dataset else ''} from {self.source}"


def check_score(score: Score) -> None:
    """Raise unless a score can be stored.

    Raises:
        UsageError: It cannot; the message says what of it.
    """
    check_name("the model", score.model)
    if score.version:
        check_name("the version", score.version)
    for what, text in {"the name of the score": score.name, "the source": score.source}.items():
        _check_text(what, text)
        if not text.strip():
            raise UsageError(f"{what} is empty: give one")
    for what, text in {"the dataset": score.dataset, "the unit": score.unit}.items():
        _check_text(what, text)
    if score.better not in get_args(Better):
        raise UsageError(f"the direction is {', '.join(get_args(Better))}, not {score.better!r}")
    _check_number("the value", score.value)
    for what, end in {"low": score.low, "high": score.high}.items():
        if end is not None:
            _check_number(what, end)
    if (score.low is None) != (score.high is None):
        raise UsageError("an interval has two ends: give low and high, or neither")
    if score.low is not None and score.high is not None and not score.low <= score.value <= score.high:
        raise UsageError(f"the value {score.value:g} is not between low {score.low:g} and high {score.high:g}")


def check_scores(scores: Iterable[Score]) -> None:
    """Raise unless scores can be stored together.

    Raises:
        UsageError: One cannot, or two say something of the same.
    """
    said: set[tuple[str, ...]] = set()
    for score in scores:
        check_score(score)
        what = (score.model, score.version, score.name, score.dataset, score.source)
        if what in said:
            raise UsageError(f"{score} is given twice: give it once")
        said.add(what)


def _check_text(what: str, text: Any) -> None:
    if not isinstance(text, str):
        raise UsageError(f"{what} must be a text, not {text!r}")
    if len(text) > LONGEST_NAME:
        raise UsageError(f"{what} has {len(text)} characters: {LONGEST_NAME} are allowed")
    if not text.isprintable():
        raise UsageError(f"{what} {text!r} has control characters: leave them out")


def _check_number(what: str, number: Any) -> None:
    if isinstance(number, bool) or not isinstance(number, (int, float)) or not math.isfinite(number):
        raise UsageError(f"{what} must be a finite number, not {number!r}")
