"""``ww zoo export``: a zoo as a folder of the published format."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ww_core.command import Output, options, say, store_location
from ww_core.command.examples import examples
from ww_plugins.commands.zoo.show import ZooName


@examples("ww zoo export zoo -o folder")
def export(
    zoo: ZooName,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FOLDER", help="A new folder.")],
    published: Annotated[
        bool, typer.Option("--published", help="Only the three files of the published zoo, without zoo.json.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Overwrite another zoo.")] = False,
    store: options.Store = None,
    as_json: options.AsJson = False,
) -> None:
    """Write a zoo as a folder of the published format.

    Its files are weights.npy, metrics.csv.gz, layout.csv, and zoo.json.
    """
    from ww_plugins.zoos.exporting import export_zoo
    from ww_plugins.zoos.finding import find_zoo, zoo_folder
    from ww_plugins.zoos.importing import about_zoo

    out = Output(as_json=as_json)
    place = store_location(store)
    found = find_zoo(zoo, place)
    folder = zoo_folder(zoo, place)
    about = about_zoo(folder) if isinstance(folder, Path) else {}
    nbytes = export_zoo(found, output, about, published=published, replaces=force)
    for note in found.notes:
        say(f"note: {note}")
    if out.format == "json":
        out.json({"name": found.name, "folder": str(output), "checkpoints": len(found), "bytes": nbytes})
    else:
        out.line(f"{found.name}: {len(found):,} checkpoints in {output}, {nbytes:,} bytes")
