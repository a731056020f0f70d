"""What the texts of options mean: refused where they are empty, split, and read as pairs, counts and sizes."""

from __future__ import annotations

import re

import typer

from ww_core.domain.text import unescaped
from ww_core.errors import UsageError


def not_empty(ctx: typer.Context, param: typer.CallbackParam, value: str | None) -> str | None:
    """Refuse an empty text, as an unset shell variable makes it: it must not count as not given.

    Raises:
        UsageError: It is empty, and was given.
    """
    source = ctx.get_parameter_source(str(param.name))
    if value == "" and source is not None and source.name != "DEFAULT":
        name = param.opts[0] if param.opts[0].startswith("-") else str(param.metavar).strip("[]").partition("[")[0]
        raise UsageError(f"{name} is empty: give one, or leave it out")
    return value


def none_empty(ctx: typer.Context, param: typer.CallbackParam, values: list[str] | None) -> list[str] | None:
    """Refuse an empty text among those of a repeatable option, whose values are not split at commas.

    Raises:
        UsageError: One is empty.
    """
    for value in values or ():
        not_empty(ctx, param, value)
    return values


def layer_name(ctx: typer.Context, param: typer.CallbackParam, value: str) -> str:
    r"""Return the name of a layer that was given as ww shows it, with ``\x1b`` for what cannot be printed.

    Raises:
        UsageError: It is empty.
    """
    return unescaped(not_empty(ctx, param, value) or "")


def listed(texts: list[str] | None, option: str) -> tuple[str, ...]:
    """Split a repeatable option at commas outside of brackets.

    Raises:
        UsageError: It was given and is empty, as an unset shell variable makes it: that must not mean everything.
    """
    parts: list[str] = []
    for text in texts or ():
        depth, part = 0, ""
        for letter in text:
            depth += (letter == "[") - (letter == "]")
            if letter == "," and depth == 0:
                parts.append(part)
                part = ""
            else:
                part += letter
        parts.append(part)
    if not all(part.strip() for part in parts):
        raise UsageError(f"{option} is empty: name something, or leave it out")
    return tuple(part.strip() for part in parts)


def pairs(texts: list[str] | None, option: str, form: str) -> dict[str, str]:
    """Read repeatable options of the form KEY=VALUE.

    Raises:
        UsageError: One has no ``=`` or no key.
    """
    found = {}
    for text in texts or ():
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise UsageError(f"{option} {text!r} is not of the form {form}")
        found[key.strip()] = value.strip()
    return found


def bytes_of(text: str | None, option: str) -> int:
    """Read a size, as ``16GiB``, ``500 MB``, ``2G`` or a count of bytes; 0 if none is given.

    Raises:
        UsageError: It is no size.
    """
    if text is None:
        return 0
    found = _SIZE.fullmatch(text.strip())
    nbytes = 0
    if found:
        number, letter, unit = found.groups()
        base = 1000 if unit.upper() == "B" and letter else 1024
        nbytes = int(float(number) * base ** " KMGT".index(letter.upper() or " "))
    if not nbytes:
        raise UsageError(f"{option} {text!r} is not a size: give one as 16GiB, 500MB or a count of bytes")
    return nbytes


_SIZE = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,9})?) *([KMGT]?)(i?B|)", re.ASCII | re.IGNORECASE)


def counts_of(texts: list[str] | None, option: str) -> dict[str, int]:
    """Read ``--groups`` or ``--split``.

    Raises:
        UsageError: One is not of the form GLOB=N.
    """
    found = {}
    for key, value in pairs(texts, option, "GLOB=N").items():
        if not value.isdecimal():
            raise UsageError(f"{option} {key}={value}: {value!r} is not a whole number")
        found[key] = int(value)
    return found
