"""What reading the headers of one source may take, so that a small file cannot cost much time and memory.

Every limit is a sum over the whole source. A number that a file states costs nothing until something is read, joined or
made because of it: whoever does that takes it from the budget first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NoReturn

from ww_core.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Mapping

Resource = Literal["tensors", "names", "text", "instructions", "values", "visits", "decoded"]

LIMITS: Mapping[Resource, int] = {
    "tensors": 50_000,
    "names": 8_000_000,
    "text": 32_000_000,
    "instructions": 2_000_000,
    "values": 1_000_000,
    "visits": 4_000_000,
    "decoded": 64_000_000,
}
"""What one file may take."""

FILES = 10
"""The files of one source may take together what so many of them may take alone."""

WORDS: Mapping[Resource, str] = {
    "tensors": "tensors",
    "names": "characters in the names of tensors, modules and functions",
    "text": "bytes besides the numbers of its tensors",
    "instructions": "instructions in its pickles",
    "values": "values in its JSON",
    "visits": "things in its lists and dicts, counted as often as they are held",
    "decoded": "bytes of numbers that are not stored as they are",
}
"""What messages call them."""


class Budget:
    """What may still be taken in reading the headers of a source.

    ============ =====================================================================================================
    tensors      tensors that are listed
    names        characters of their names, and of whatever else is named
    text         bytes of headers, pickles and JSON that are read: all but the numbers of tensors
    instructions instructions of pickles
    values       values and keys of JSON
    visits       entries of containers that are gone through, each time that they are
    decoded      bytes of tensors that are kept in memory, because the file does not hold them as they are
    ============ =====================================================================================================

    Attributes:
        label: The source, for messages.
        depth: Levels of containers within containers that are looked into.
    """

    depth = 64

    def __init__(
        self, label: str, limits: Mapping[Resource, int] = LIMITS, left_for_all: dict[Resource, int] | None = None
    ) -> None:
        self.label = label
        self._limits = limits
        self._left = dict(limits)
        self._left_for_all = left_for_all or {what: FILES * limit for what, limit in limits.items()}

    def take(self, what: Resource, count: int = 1) -> None:
        """Take something, before memory or time is spent on it.

        Raises:
            SourceError: So much is not left; the message names the source, the limit and what to do.
        """
        self._left[what] -= count
        self._left_for_all[what] -= count
        if self._left[what] < 0:
            self._refuse(what, self._limits[what], "save the weights alone, in several files if they are so many")
        if self._left_for_all[what] < 0:
            self._refuse(
                what, FILES * self._limits[what], "they are too many in all files of the model: name one of them"
            )

    def taken(self, what: Resource) -> int:
        """Return how much of something was taken for this file."""
        return self._limits[what] - self._left[what]

    def _refuse(self, what: Resource, limit: int, advice: str) -> NoReturn:
        raise SourceError(f"{self.label}: it has more than {limit:,} {WORDS[what]}: {advice}")

    def part(self, label: str) -> Budget:
        """Return the budget of one more file of the same source."""
        return Budget(label, self._limits, self._left_for_all)
