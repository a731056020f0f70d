"""Public: marks beside numbers that are not to be trusted, as ``8.143*``, and what the marks mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ww_core.command import Marked
from ww_core.domain.doubts import flags_by_label

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ww_core.domain.outcome import Outcome
    from ww_core.domain.report import ReportColumn

SIGNS = "*+^~"


class Marks:
    """The marks of one table: each flag of its columns has a sign of its own.

    Args:
        columns: The columns of a report, those that are not shown too: their flags mark what is shown.
    """

    def __init__(self, columns: Iterable[ReportColumn]) -> None:
        self._flags = flags_by_label(columns)
        flags = list(dict.fromkeys(flag for own in self._flags.values() for flag in own))
        self._signs = {flag: SIGNS[at % len(SIGNS)] * (1 + at // len(SIGNS)) for at, flag in enumerate(flags)}
        self._used: dict[str, None] = {}

    @property
    def flags(self) -> list[str]:
        """Labels of the flags that cast doubt on some column."""
        return list(self._signs)

    def flags_of(self, labels: Iterable[str]) -> list[str]:
        """Labels of the flags of these columns: where there is no room for theirs, their marks tell the same."""
        return list(dict.fromkeys(flag for label in labels for flag in self._flags.get(label, ())))

    def of(self, label: str, row: Mapping[str, Outcome]) -> str:
        """Return the signs of the flags that hold in a row and cast doubt on a column; often none."""
        held = [flag for flag in self._flags.get(label, ()) if flag in row and row[flag].number is True]
        self._used |= dict.fromkeys(held)
        return "".join(self._signs[flag] for flag in held)

    def marked(self, label: str, row: Mapping[str, Outcome]) -> Any:
        """Return the value of a column in a row, with its marks if it has any."""
        value, signs = row[label].value, self.of(label, row)
        return Marked(value, signs) if signs and value is not None else value

    def footnotes(self) -> list[str]:
        """Say what each sign means that was used."""
        meaning = "this number is not to be trusted; `ww metrics` says why"
        return [f"{self._signs[flag]} {flag}: {meaning}" for flag in self._used]
