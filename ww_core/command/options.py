"""Options that several commands share."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

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


Store = Annotated[
    str | None,
    typer.Option(
        "--store",
        metavar="PATH|URL",
        envvar="WW_STORE",
        show_envvar=True,
        callback=not_empty,
        help="The store: a SQLite file or a postgresql:// URL.  [default: one file in the user's data directory]",
        show_default=False,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
AsCsv = Annotated[bool, typer.Option("--csv", help="Print CSV.")]
Raw = Annotated[
    bool, typer.Option("--raw", help="Do not escape texts in CSV: a terminal or a spreadsheet may run them.")
]
Layers = Annotated[
    list[str] | None,
    typer.Option("--layers", metavar="GLOB", help="Only layers whose names match; repeatable, or separated by commas."),
]
Extractor = Annotated[
    list[str] | None,
    typer.Option(
        "--extractor",
        metavar="A,B",
        help="Extractors for convolutions, as slice or stack; means and model metrics use the first.",
    ),
]
Groups = Annotated[
    list[str] | None,
    typer.Option("--groups", metavar="GLOB=N", help="Groups of a grouped convolution; repeatable."),
]
Splits = Annotated[
    list[str] | None,
    typer.Option(
        "--split",
        metavar="GLOB=N",
        help="Matrices of fused weights, N equal blocks of rows, as the 4 gates of an LSTM; repeatable.",
    ),
]
IncludeBuffers = Annotated[bool, typer.Option("--include-buffers", help="Analyse buffers too, each as a layer.")]
Metrics = Annotated[
    list[str] | None,
    typer.Option("--metrics", metavar="A,B", help="Only these metrics or columns."),
]
Columns = Annotated[
    list[str] | None,
    typer.Option("--metrics", metavar="A,B", help="Only these columns."),
]
Top = Annotated[
    int, typer.Option("--top", min=0, metavar="N", help="Only the first N rows.  [default: all]", show_default=False)
]
LeaveOut = Annotated[
    str,
    typer.Option(
        "--leave-out",
        metavar="COLUMN",
        help="Leave out matrices for which this column is yes in any version, as short_tail.",
        show_default=False,
        callback=not_empty,
    ),
]
OfThis = Annotated[
    str | None,
    typer.Argument(metavar="NAME", help="Show all about this one.", show_default=False, callback=not_empty),
]
Series = Annotated[
    list[str] | None,
    typer.Option("--series", metavar="A,B", help="Only models of these series.", show_default=False),
]
Models = Annotated[
    list[str] | None,
    typer.Option("--models", metavar="GLOB", help="Only models whose names match; repeatable, or separated by commas."),
]
WithoutModels = Annotated[
    list[str] | None,
    typer.Option("--without", metavar="GLOB", help="Leave models out whose names match."),
]
WithoutLayers = Annotated[
    list[str] | None,
    typer.Option("--without-layers", metavar="GLOB", help="Leave layers out whose names match, as *embed*."),
]
MinM = Annotated[
    int,
    typer.Option(
        "--min-m",
        min=0,
        metavar="M",
        help="Only matrices whose smaller side is at least M.  [default: all]",
        show_default=False,
    ),
]
LeaveOutRows = Annotated[
    str,
    typer.Option(
        "--leave-out",
        metavar="COLUMN",
        help="Leave out matrices for which this column is yes, as short_tail.",
        show_default=False,
        callback=not_empty,
    ),
]
Reported = Annotated[
    str,
    typer.Option(
        "--reported",
        metavar="TABLE",
        help="Use the values of this imported table or provider instead of those computed here.",
        show_default=False,
        callback=not_empty,
    ),
]
OwnProfile = Annotated[
    str,
    typer.Option(
        "--profile",
        metavar="NAME",
        help="The profile of the values computed here.  [default: default]",
        show_default=False,
        callback=not_empty,
    ),
]
Where = Annotated[
    list[str] | None,
    typer.Option(
        "--where", metavar="CONDITION", help="Only models that meet this condition, as 'max(alpha) < 8'; repeatable."
    ),
]
Dataset = Annotated[
    str,
    typer.Option(
        "--dataset",
        metavar="NAME",
        help="Only scores on this dataset.",
        show_default=False,
        callback=not_empty,
    ),
]
ScoreSource = Annotated[
    str,
    typer.Option(
        "--source",
        metavar="NAME",
        help="Only scores that this source reports.",
        show_default=False,
        callback=not_empty,
    ),
]
Bootstrap = Annotated[
    int | None,
    typer.Option(
        "--bootstrap",
        min=0,
        max=100_000,
        metavar="N",
        help="Resamples behind the intervals; 0 for none.  [default: 1000, fewer with more than 2,000 models]",
        show_default=False,
    ),
]


class MeanOver(StrEnum):
    """What a mean is taken over."""

    MATRICES = "matrices"
    LAYERS = "layers"

    @property
    def rows(self) -> Literal["matrices", "layers"]:
        """The choice in the words of a question."""
        return self.value


Over = Annotated[
    MeanOver,
    typer.Option("--mean-over", help="Take means over all matrices, or over layers (each layer counts once)."),
]
Plot = Annotated[
    Path | None,
    typer.Option("--plot", metavar="FILE", help="Also draw it: .png, .svg or .pdf.", show_default=False),
]
Name = Annotated[
    str | None,
    typer.Option(
        "--name",
        help="Model name.  [default: the name of the file or its folder]",
        show_default=False,
        callback=not_empty,
    ),
]
Version = Annotated[
    str | None,
    typer.Option(
        "--version",
        help="Its label.  [default: this checkpoint's label, N of checkpoint-N, else the next number]",
        show_default=False,
        callback=not_empty,
    ),
]
Jobs = Annotated[int, typer.Option("--jobs", min=0, help="Workers.  [default: one per core]", show_default=False)]
Memory = Annotated[
    str | None,
    typer.Option(
        "--memory",
        metavar="SIZE",
        help="Memory limit, as 16GiB; a layer that needs more is refused.  [default: half of the available memory]",
        show_default=False,
        callback=not_empty,
    ),
]
Device = Annotated[
    str,
    typer.Option(
        "--device", metavar="NAME", help="Device for the spectra: cpu, cuda, cuda:1, torch.", callback=not_empty
    ),
]
Loader = Annotated[
    str | None,
    typer.Option(
        "--loader",
        metavar="NAME",
        help="The format, if it is not recognised; with options, as pytorch[weights=ema].",
        callback=not_empty,
    ),
]
Profile = Annotated[str, typer.Option("--profile", metavar="NAME", help="The profile.", callback=not_empty)]
StoredProfile = Annotated[
    str | None,
    typer.Option(
        "--profile",
        metavar="NAME",
        help="Only analyses under this profile.  [default: the newest run's]",
        show_default=False,
        callback=not_empty,
    ),
]


class RowScope(StrEnum):
    """What the rows of a table speak of."""

    MATRIX = "matrix"
    LAYER = "layer"
    MODEL = "model"

    @property
    def rows(self) -> Literal["matrix", "layer", "model"]:
        """The scope in the words of a report."""
        return self.value


ShownScope = Annotated[
    RowScope | None,
    typer.Option(
        "--scope",
        help="Rows of matrices, whole layers or the model.  [default: tables of all; CSV of matrices]",
        show_default=False,
    ),
]
ShownColumns = Annotated[
    list[str] | None,
    typer.Option(
        "--columns", metavar="A,B", help="Only these columns of tables and CSV, in this order, after the layer's name."
    ),
]
SortedBy = Annotated[
    str,
    typer.Option(
        "--sort",
        metavar="[-]COLUMN",
        help="Sort rows by a column, from small to large; -COLUMN from large to small.",
        show_default=False,
        callback=not_empty,
    ),
]


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
