"""``ww zoo import``: a zoo, or a folder of checkpoints with a table of accuracies, into a store."""

from __future__ import annotations

import contextlib
import sys
import tempfile
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import ww_core as ww
from ww_core.command import Output, Session, options, say, store_location
from ww_core.command.examples import examples

if TYPE_CHECKING:
    from collections.abc import Iterator


class Epochs(StrEnum):
    """Which checkpoints of each network."""

    LAST = "last"
    ALL = "all"


EpochsOption = Annotated[
    Epochs, typer.Option("--epochs", help="Which checkpoints of each network become models of the store.")
]


@examples("ww zoo import zoo")
def import_zoo(
    ctx: typer.Context,
    path: Annotated[
        str,
        typer.Argument(
            metavar="PATH",
            help="A zoo's folder, a folder of checkpoints with a CSV of accuracies, or such a CSV.",
            callback=options.not_empty,
        ),
    ],
    name: Annotated[
        str | None,
        typer.Option(
            "--name",
            metavar="NAME",
            help="Name of the zoo.  [default: its own]",
            show_default=False,
            callback=options.not_empty,
        ),
    ] = None,
    epochs: EpochsOption = Epochs.LAST,
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace another zoo of this name, with its analyses.")
    ] = False,
    store: options.Store = None,
    as_json: options.AsJson = False,
) -> None:
    """Import a zoo into a store.

    Its files are copied or linked beside the store; its networks and results are stored.
    """
    from ww_plugins.zoos.finding import path_of
    from ww_plugins.zoos.importing import import_zoo as imported

    output = Output(as_json=as_json)
    session: Session = ctx.obj
    with _zoo_folder(path_of(path), session) as (folder, own_name), contextlib.redirect_stdout(sys.stderr):
        check_before_a_store_is_made(folder, name or own_name)
        with ww.open_store(store_location(store)) as opened:
            report = imported(folder, opened, name=name or own_name, epochs=epochs.value, replaces=replace)
    for note in report.notes:
        say(f"note: {note}")
    if output.format == "json":
        output.json(report.to_dict())
        return
    what = "imported" if report.is_new else "is there already, nothing was added"
    output.line(
        f"{report.name}: {what}: {_counted(report.networks, 'network')}, {_counted(report.checkpoints, 'checkpoint')}"
    )
    hyperparameters = _counted(len(report.hyperparameters), "hyperparameter")
    output.line(f"{hyperparameters} and {_counted(report.scores, 'score')} in {report.store}")
    output.line(f"weights in {report.folder}")


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


def check_before_a_store_is_made(folder: Path, name: str | None) -> None:
    """Raise if a folder holds no zoo, or one of a name that cannot be, before a store is made for it.

    Raises:
        SourceError: It holds none.
        CorruptFileError: What it says of itself is damaged.
        UsageError: The name, or without one its own, cannot be that of a zoo.
    """
    from ww_core.loading.files import FileSource
    from ww_plugins.zoos.folder import name_told, zoo_files
    from ww_plugins.zoos.importing import about_zoo
    from ww_plugins.zoos.places import check_zoo_name

    source = FileSource(folder)
    zoo_files(source)
    check_zoo_name(name or name_told(source, about_zoo(folder)))


@contextlib.contextmanager
def _zoo_folder(path: Path, session: Session) -> Iterator[tuple[Path, str | None]]:
    """Give the folder of a zoo, and the name that it has if not its own: one that is made of checkpoints goes again.

    Raises:
        SourceError: There is neither a zoo nor a table of checkpoints.
    """
    from ww_core.command.progress import counter
    from ww_plugins.zoos.checkpoints import find_table, zoo_of_checkpoints
    from ww_plugins.zoos.writing import write_zoo

    table = find_table(path)
    if table is None:
        yield path, None
        return
    with counter("checkpoints") as show, contextlib.redirect_stdout(sys.stderr):
        zoo, about = zoo_of_checkpoints(table, registry=session.registry(), progress=show)
    with tempfile.TemporaryDirectory(prefix="ww-zoo-") as folder:
        write_zoo(zoo, Path(folder), about)
        yield Path(folder), zoo.name
