"""Scores: numbers that somebody reported about a model, such as its error on a test set."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from numbers import Real
from typing import Any, NamedTuple, get_args

from ww_core.domain.column import Better
from ww_core.domain.name import LONGEST_NAME, check_name
from ww_core.errors import NotStoredError, UsageError


class Score(NamedTuple):
    """A number that somebody reports about a model.

    Attributes:
        model: Name of the model.
        name: What it is, such as ``top1_error``.
        dataset: What it was measured on; empty if nobody says.
        value: The number.
        source: The source: a paper, a page, a person.
        version: Version of the model; empty for its newest, and for a model without weights.
        better: ``lower``, ``higher`` or ``none``; empty for the one that the store has for scores of this name.
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

    @property
    def about(self) -> tuple[str, str, str, str, str]:
        """What it speaks of, of which there is one number: model, version, name, dataset and source."""
        return self.model, self.version, self.name, self.dataset, self.source

    def __str__(self) -> str:
        model = f"{self.model}@{self.version}" if self.version else self.model
        return f"{self.name} of {model}{f' on {self.dataset}' if self.dataset else ''} from {self.source}"


class ScoreError(UsageError):
    """A score cannot be stored beside others.

    Args:
        message: The sentence.
        score: The score.
        other: One given before it that stands in its way; None if it is a stored one.
    """

    def __init__(self, message: str, score: Score, other: Score | None = None) -> None:
        super().__init__(message)
        self.score = score
        self.other = other


class UnknownModelsError(NotStoredError):
    """Scores speak of models that are neither stored nor reported.

    Args:
        message: The sentence.
        names: Their names and versions; the version is empty for none.
    """

    def __init__(self, message: str, names: Sequence[tuple[str, str]]) -> None:
        super().__init__(message)
        self.names = tuple(names)


def check_score(score: Score) -> None:
    """Raise unless a score can be stored.

    Raises:
        UsageError: It cannot; the message says what of it.
    """
    if not isinstance(score, Score):
        raise UsageError(f"a score is made by ww.Score, {score!r} is none")
    check_name("the model", score.model)
    if score.version != "":
        check_name("the version", score.version)
    for what, text in {"the name of the score": score.name, "the source": score.source}.items():
        _check_text(what, text)
        if not text:
            raise UsageError(f"{what} is empty: give one")
    for what, text in {"the dataset": score.dataset, "the unit": score.unit}.items():
        _check_text(what, text)
    if score.better not in (*get_args(Better), ""):
        raise UsageError(f"the direction is {', '.join(get_args(Better))}, not {score.better!r}")
    _check_number("the value", score.value)
    for what, end in {"low": score.low, "high": score.high}.items():
        if end is not None:
            _check_number(what, end)
    if (score.low is None) != (score.high is None):
        raise UsageError("an interval has two ends: give low and high, or neither")
    if score.low is not None and score.high is not None:
        value, low, high = float(score.value), float(score.low), float(score.high)
        if low > high:
            raise UsageError(f"low {low!r} is above high {high!r}")
        if not low <= value <= high:
            raise UsageError(f"the value {value!r} is not between low {low!r} and high {high!r}")


def check_scores(scores: Iterable[Score]) -> None:
    """Raise unless scores can be stored together.

    Raises:
        UsageError: One cannot.
        ScoreError: Two speak of the same.
    """
    said: dict[tuple[str, ...], Score] = {}
    for score in scores:
        check_score(score)
        if score.about in said:
            raise ScoreError(f"{score} is given twice: give it once", score, said[score.about])
        said[score.about] = score


def _check_text(what: str, text: Any) -> None:
    if not isinstance(text, str):
        raise UsageError(f"{what} must be a text, not {text!r}")
    if len(text) > LONGEST_NAME:
        raise UsageError(f"{what} has {len(text)} characters: {LONGEST_NAME} are allowed")
    if text != text.strip() or not text.isprintable():
        raise UsageError(f"{what} {text!r} has control characters or blanks at its ends: leave them out")


def _check_number(what: str, number: Any) -> None:
    if isinstance(number, bool) or not isinstance(number, Real):  # NumPy's numbers are real ones too
        raise UsageError(f"{what} must be a number, not {number!r}")
    try:
        is_finite = math.isfinite(number)
    except OverflowError:
        is_finite = False
    if not is_finite:
        raise UsageError(f"{what} must be a finite number of 64 bits")
