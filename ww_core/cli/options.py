"""Options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

from ww_core.errors import UsageError

Store = Annotated[
    str,
    typer.Option(
        "--store",
        metavar="PATH|URL",
        envvar="WW_STORE",
        show_envvar=True,
        help="The store: a SQLite file or a postgresql:// URL.  [default: one file in the user's data directory]",
        show_default=False,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
AsCsv = Annotated[bool, typer.Option("--csv", help="Print CSV.")]
Layers = Annotated[
    list[str] | None,
    typer.Option("--layers", metavar="GLOB", help="Only layers whose names match; repeatable, or separated by commas."),
]
Extractor = Annotated[
    list[str] | None,
    typer.Option(
        "--extractor",
        metavar="A,B",
        help="Extractors for convolutions, as slice or stack; summaries speak of the first.",
    ),
]
Groups = Annotated[
    list[str] | None,
    typer.Option("--groups", metavar="GLOB=N", help="Groups of a grouped convolution; repeatable."),
]
Metrics = Annotated[
    list[str] | None,
    typer.Option("--metrics", metavar="A,B", help="Only these metrics or columns."),
]
Name = Annotated[str, typer.Option("--name", help="Model name.  [default: stem of the source]")]
Version = Annotated[str, typer.Option("--version", help="Its label.  [default: kept, or next integer]")]
Jobs = Annotated[int, typer.Option("--jobs", min=0, help="Workers.  [default: one per core]", show_default=False)]
Device = Annotated[
    str, typer.Option("--device", metavar="NAME", help="Where spectra are made: cpu, cuda, cuda:1, torch.")
]
Loader = Annotated[str, typer.Option("--loader", metavar="NAME", help="The format, where it is not recognised.")]
Profile = Annotated[str, typer.Option("--profile", metavar="NAME", help="The profile.")]


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


def groups_of(texts: list[str] | None) -> dict[str, int]:
    """Read ``--groups``.

    Raises:
        UsageError: One is not of the form GLOB=N.
    """
    found = {}
    for key, value in pairs(texts, "--groups", "GLOB=N").items():
        if not value.isdecimal():
            raise UsageError(f"--groups {key}={value}: {value!r} is not a whole number")
        found[key] = int(value)
    return found
