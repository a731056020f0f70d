"""Options that several commands share; what reads their texts, and the options of tables, are named here too."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

import typer

from ww_core.command.option_values import bytes_of as bytes_of
from ww_core.command.option_values import counts_of as counts_of
from ww_core.command.option_values import layer_name as layer_name
from ww_core.command.option_values import listed as listed
from ww_core.command.option_values import none_empty as none_empty
from ww_core.command.option_values import not_empty as not_empty
from ww_core.command.option_values import pairs as pairs
from ww_core.command.table_options import RowScope as RowScope
from ww_core.command.table_options import ShownColumns as ShownColumns
from ww_core.command.table_options import ShownScope as ShownScope
from ww_core.command.table_options import SortedBy as SortedBy

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
