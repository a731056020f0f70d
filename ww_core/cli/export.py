"""``ww export``: values as a table, or everything as a folder for another store."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ww_core.command import Output, options, store_location
from ww_core.command.examples import examples
from ww_core.errors import UsageError

if TYPE_CHECKING:
    from ww_core.domain.report import RowScope


@examples("ww export -o values.csv", "ww export net -o results/")
def export(
    target: Annotated[
        str,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE|FOLDER|-",
            help="A table (.csv, .json, .parquet), a folder, or - for stdout.",
            callback=options.not_empty,
            show_default=False,
        ),
    ],
    models: Annotated[
        list[str] | None,
        typer.Argument(metavar="[MODEL[@VERSION]]...", help="What to export.  [default: all]", show_default=False),
    ] = None,
    metrics: options.Columns = None,
    scope: Annotated[
        options.RowScope | None,
        typer.Option("--scope", help="Only rows of matrices, of whole layers or of the model.", show_default=False),
    ] = None,
    profile: Annotated[
        str | None,
        typer.Option(
            "--profile",
            metavar="NAME",
            help="The profile.  [default: default]",
            show_default=False,
            callback=options.not_empty,
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file or export.")] = False,
    store: options.Store = None,
    as_json: options.AsJson = False,
    as_csv: options.AsCsv = False,
    raw: options.Raw = False,
) -> None:
    """Write what is stored to a table, or to a folder.

    A table has the profile's own values, a row for each version, place and column. A folder has everything that is
    stored about the named models, or about all: `ww import FOLDER` imports it. The name of a folder has no suffix, or
    ends in a slash.
    """
    from ww_core.store.new_files import place_of
    from ww_core.use_cases import export as use_case

    output = Output(as_json=as_json, as_csv=as_csv)
    names, location = tuple(models or ()), store_location(store)
    if not all(names):
        raise UsageError("MODEL is empty: give one, or leave it out")
    labels = options.listed(metrics, "--metrics")
    rows: RowScope | None = scope.rows if scope else None
    if target == "-":
        use_case.print_values(
            output.text,
            "json" if as_json else "csv",
            names,
            store=location,
            profile=profile or "default",
            metrics=labels,
            scope=rows,
            raw=raw,
        )
    elif _is_folder(target):
        place_of(target)  # of an address nothing is repeated below
        if labels or rows or profile or raw:
            raise UsageError(
                f"{target} is a folder, and a folder gets everything: leave out --metrics, --scope, --profile, --raw"
            )
        folder = use_case.export_folder(target, names, store=location, replace=force)
        told: Told = {"folder": target, "digest": folder.digest, "rows": folder.rows, "bytes": folder.bytes}
        _print(told, f"{target}: {folder.rows:,} rows, {folder.bytes:,} bytes, digest {folder.digest[:12]}", output)
    else:
        table = use_case.export(
            target,
            names,
            store=location,
            profile=profile or "default",
            metrics=labels,
            scope=rows,
            replace=force,
            raw=raw,
        )
        told = {"file": target, "rows": table.rows, "bytes": table.bytes}
        _print(told, f"{target}: {table.rows:,} rows, {table.bytes:,} bytes", output)


Told = dict[str, str | int]


def _is_folder(target: str) -> bool:
    """Whether a name is that of a folder. A suffix that no table has is more likely a slip than a folder's name."""
    is_there = os.path.isdir(target)  # noqa: PTH112 - a name that is too long for the system is no folder either
    return target.endswith(("/", "\\")) or not Path(target).suffix or is_there


def _print(told: Told, line: str, output: Output) -> None:
    if output.format == "json":
        output.json(told)
    elif output.format == "csv":
        output.csv([told])
    else:
        output.line(line)
