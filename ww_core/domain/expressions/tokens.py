"""From a text that a person wrote to tokens, one at a time, and errors that point at the fault."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum, auto
from typing import NoReturn

from ww_core.domain.text import printable
from ww_core.errors import UsageError

LONGEST_TEXT = 1000
"""Characters that a text may have."""

SHOWN = 60
"""Characters of a text that a message shows on each side of the fault."""

ESCAPES = {"n": "\n", "r": "\r", "t": "\t"}
"""What a letter after a backslash stands for in quotes; every other character stands for itself."""


class TokenKind(Enum):
    """What a token is."""

    NUMBER = auto()
    NAME = auto()
    QUOTED = auto()
    SIGN = auto()
    END = auto()


@dataclass(frozen=True, slots=True)
class Token:
    """A token and where it stands.

    Attributes:
        kind: What it is.
        text: What it says: the name without its quotes, the digits of a number, the sign itself.
        start: Position of its first character.
        end: Position after its last one.
    """

    kind: TokenKind
    text: str
    start: int
    end: int


class Tokens:
    """Reads a text token by token.

    Args:
        text: The text.
        what: What a message calls it, such as ``"rule"``.

    Attributes:
        text: The text.
        next: The token that comes next; one of kind ``END`` after the last.
        taken: Position after the token that was taken last.
    """

    def __init__(self, text: str, what: str) -> None:
        self.text = text
        self.taken = 0
        self._what = what
        if not isinstance(text, str):
            raise UsageError(f"a {what} is a text, not {text!r}")
        if len(text) > LONGEST_TEXT:
            raise UsageError(f"a {what} has {len(text)} characters: {LONGEST_TEXT} are allowed")
        if not text.strip():
            raise UsageError(f"a {what} is empty")
        self.next = self._scanned(0)

    def take(self) -> Token:
        """Take the next token."""
        token = self.next
        self.go_on(token.end)
        return token

    def go_on(self, position: int) -> None:
        """Go on reading at a position."""
        self.taken = position
        self.next = self._scanned(position)

    def sees(self, *texts: str) -> bool:
        """Whether the next token is one of these signs or bare words."""
        return self.next.kind in {TokenKind.SIGN, TokenKind.NAME} and self.next.text in texts

    def take_if(self, *texts: str) -> str:
        """Take the next token if it is one of these signs or words, and return it; else return an empty text."""
        return self.take().text if self.sees(*texts) else ""

    def expect(self, *texts: str) -> str:
        """Take the next token, which must be one of these signs or words.

        Raises:
            UsageError: It is something else.
        """
        if not self.sees(*texts):
            self.fail(f"{_either(texts)} is expected")
        return self.take().text

    def number(self) -> float:
        """Take the next token, which must be a number.

        Raises:
            UsageError: It is something else, or is beyond what a number can be.
        """
        if self.next.kind is not TokenKind.NUMBER:
            self.fail("a number is expected")
        value = float(self.next.text)
        if value == float("inf"):
            self.fail_at(self.next.start, f"{self.next.text} is too large for a number")
        self.take()
        return value

    def end(self, *expected: str) -> None:
        """Check that nothing follows.

        Args:
            expected: What else might have stood here, for the message.

        Raises:
            UsageError: Something does.
        """
        if self.next.kind is not TokenKind.END:
            self.fail(f"{_either((*expected, 'the end'))} is expected")

    def fail(self, sentence: str) -> NoReturn:
        """Say what is wrong with the next token.

        Raises:
            UsageError: Always.
        """
        found = "the end" if self.next.kind is TokenKind.END else repr(self.text[self.next.start : self.next.end])
        self.fail_at(self.next.start, f"{sentence}, not {found}")

    def fail_at(self, position: int, sentence: str) -> NoReturn:
        """Say what is wrong at a position; a note under the sentence shows the place.

        Raises:
            UsageError: Always.
        """
        before = ("... " if position > SHOWN else "") + printable(self.text[max(0, position - SHOWN) : position])
        after = printable(self.text[position : position + SHOWN])
        error = UsageError(f"{self._what} {_shortened(self.text)!r}, character {position + 1}: {sentence}")
        error.add_note(f"    {before}{after}\n    {' ' * len(before)}^")
        raise error

    def quoted_end(self, start: int) -> int:
        """Return the position after the quoted text that starts at a position.

        Raises:
            UsageError: Its second quote is missing.
        """
        match = _QUOTED.match(self.text, start)
        if match is None:
            self.fail_at(start, f"the second {self.text[start]} is missing")
        return match.end()

    def _scanned(self, position: int) -> Token:
        start = _BLANKS.match(self.text, position).end()  # type: ignore[union-attr]  # nothing is a match too
        if start == len(self.text):
            return Token(TokenKind.END, "", start, start)
        if self.text[start] in QUOTES:
            end = self.quoted_end(start)
            return Token(TokenKind.QUOTED, unquoted(self.text[start:end]), start, end)
        for kind, pattern in _PATTERNS.items():
            if match := pattern.match(self.text, start):
                return Token(kind, match[0], start, match.end())
        return self.fail_at(
            start, f"{self.text[start]!r} has no meaning here; a name with such a character stands in quotes"
        )


QUOTES = "'\""
_BLANKS = re.compile(r"\s*")
_QUOTED = re.compile(r"""(?P<quote>['"])(?:\\.|(?!(?P=quote))[^\\])*(?P=quote)""", re.DOTALL)
_NAME = re.compile(r"[^\W\d]\w*(?:\[[^]\[\n'\"]*\])?")
_PATTERNS = {
    TokenKind.NUMBER: re.compile(r"(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"),
    TokenKind.NAME: _NAME,
    TokenKind.SIGN: re.compile(r"<=|>=|[-+*/()<>:%,.]"),
}


def unquoted(text: str) -> str:
    """Return what stands between quotes."""
    return re.sub(r"\\(.)", lambda match: ESCAPES.get(match[1], match[1]), text[1:-1], flags=re.DOTALL)


def quoted(text: str) -> str:
    """Return a text in quotes."""
    letters = {ord(own): f"\\{letter}" for letter, own in ESCAPES.items()} | {ord(own): f"\\{own}" for own in "\\'"}
    return f"'{text.translate(letters)}'"


def name_text(name: str) -> str:
    """Return a name as it is written: in quotes if it holds what would be read otherwise."""
    return name if _NAME.fullmatch(name) else quoted(name)


def number_text(value: float) -> str:
    """Return a number as it is written, without a sign that says nothing."""
    return repr(value).removesuffix(".0")


def _shortened(text: str) -> str:
    return text if len(text) <= 2 * SHOWN else text[: 2 * SHOWN] + "..."


def _either(texts: tuple[str, ...]) -> str:
    shown = [text if " " in text else repr(text) for text in texts]
    return " or ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)
