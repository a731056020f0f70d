"""``ww import``: a table of results that others made."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from ww_core.command import Output, Session, options, say, store_location
from ww_core.command.examples import examples
from ww_core.errors import UsageError

if TYPE_CHECKING:
    from ww_core.use_cases.import_table import ImportReport


@examples("ww import results/", "ww import report.json --source paper --series vision")
def import_table(
    ctx: typer.Context,
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE|FOLDER",
            help="A CSV, TSV, JSON or Parquet file, or a folder that `ww export` wrote.",
            callback=options.not_empty,
        ),
    ],
    mapping: Annotated[
        str | None,
        typer.Option(
            "--mapping",
            metavar="FILE.toml",
            help="File that maps the columns of the table.",
            callback=options.not_empty,
            show_default=False,
        ),
    ] = None,
    importer: Annotated[
        str | None,
        typer.Option(
            "--importer",
            metavar="NAME",
            help="The format, if it is not recognised; with options, as weightwatcher[version=0.2.7].",
            callback=options.not_empty,
        ),
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(
            "--source",
            metavar="NAME",
            help="Name of the table.  [default: the name of the file]",
            show_default=False,
            callback=options.not_empty,
        ),
    ] = None,
    provider: Annotated[
        str | None,
        typer.Option(
            "--provider",
            metavar="NAME",
            help="Who computed it: a program with its version, or a paper.  [default: from the table]",
            show_default=False,
            callback=options.not_empty,
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            metavar="NAME",
            help="The model, if the table names none.  [default: the name of the file]",
            show_default=False,
            callback=options.not_empty,
        ),
    ] = None,
    version: Annotated[
        str | None,
        typer.Option(
            "--version",
            metavar="LABEL",
            help="Version of the models, if the table has none.",
            show_default=False,
            callback=options.not_empty,
        ),
    ] = None,
    series: Annotated[
        list[str] | None,
        typer.Option("--series", metavar="NAME", help="Series that the models become members of; repeatable."),
    ] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Replace another table of the same source.")] = False,
    rename: Annotated[
        list[str] | None,
        typer.Option(
            "--rename",
            metavar="OLD=NEW",
            help="Another name for a model or a version of a FOLDER, as net@1=net@old; repeatable.",
        ),
    ] = None,
    store: options.Store = None,
    as_json: options.AsJson = False,
) -> None:
    """Import a table of results, or all of another store.

    A table of others has its own definitions of columns. Its values are kept separate from those that ww computes. A
    FOLDER comes from `ww export`: the import adds what this store lacks. If any part cannot be stored, nothing is
    stored.
    """
    output = Output(as_json=as_json)
    if os.path.isdir(file):  # noqa: PTH112 - a name that is too long for the system is no folder either
        from ww_core.cli.import_folder import import_folder

        given = (mapping, importer, source, provider, model, version, series, replace or None)
        if any(option is not None for option in given):
            raise UsageError(f"{file} is a folder: folders take only the options --rename and --store")
        import_folder(file, rename, store, output)
        return
    if rename:
        raise UsageError("--rename is for folders that `ww export` wrote")
    from ww_core.use_cases.import_table import import_table as run

    session: Session = ctx.obj
    registry = session.registry()
    with contextlib.redirect_stdout(sys.stderr):  # what a plugin prints is no data of ours
        report = run(
            file,
            store=store_location(store),
            importer=importer,
            mapping=mapping,
            source=source,
            provider=provider,
            model=model,
            version=version,
            series=series or (),
            replace=replace,
            registry=registry,
        )
    if output.format == "json":
        output.json(report.to_dict())
        return
    output.line(_told(report))
    for note in report.notes:
        say(f"note: {note}")


def _told(report: ImportReport) -> str:
    if not report.is_new:
        return f"{report.source}: stored already, nothing is added"
    counts = [
        _counted(report.models, "model"),
        _counted(report.rows, "row"),
        _counted(len(report.columns), "column"),
        _counted(report.values, "value"),
        *([_counted(report.scores, "score")] if report.scores else []),
    ]
    return f"{report.source}: {', '.join(counts)} of {report.provider}"


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"
