"""Names of models, versions and series: what they may look like."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ww_core.errors import UsageError

LONGEST_NAME = 200
"""Characters of the name of a model, version or series."""


def check_name(what: str, name: object) -> None:
    """Raise unless ``name`` can be the name of a model, version or series.

    Args:
        what: What the message calls it, such as ``"--name"``.
        name: The name.

    Raises:
        UsageError: It cannot; the message says why.
    """
    if not isinstance(name, str):
        raise UsageError(f"{what} must be a text, not {name!r}")
    if not name:
        raise UsageError(f"{what} is empty: give a name, or leave it out")
    if len(name) > LONGEST_NAME:
        raise UsageError(f"{what} has {len(name)} characters: {LONGEST_NAME} are allowed")
    if name != name.strip() or "@" in name or not name.isprintable():
        raise UsageError(
            f"{what} {name!r} cannot be used: '@', blanks at the ends and control characters are not allowed"
        )


def check_text(what: str, text: object) -> None:
    """Raise unless something that must be given is a text that is not empty.

    Raises:
        UsageError: It is not; the message begins with ``what``.
    """
    if not isinstance(text, str):
        raise UsageError(f"{what} must be a text, not {text!r}")
    if not text:
        raise UsageError(f"{what} is empty: name one")


def texts_of(texts: Sequence[str], what: str) -> tuple[str, ...]:
    """Return names that a person gave, one or several, as a tuple.

    Raises:
        UsageError: One is empty, or these are no texts.
    """
    if not isinstance(texts, Iterable):
        raise UsageError(f"{what} must be texts, not {texts!r}")
    found = (texts,) if isinstance(texts, str) else tuple(map(str, texts))
    if not all(text.strip() for text in found):
        raise UsageError(f"{what} must be texts that are not empty: name something, or leave it out")
    return found
