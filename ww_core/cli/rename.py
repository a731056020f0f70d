"""``ww rename``: give another name."""

from __future__ import annotations

from typing import Annotated

import typer

from ww_core.command import Output, options, store_location
from ww_core.command.examples import examples


@examples("ww rename net resnet", "ww rename resnet@2 resnet@second")
def rename(
    old: Annotated[str, typer.Argument(metavar="OLD", help="MODEL or MODEL@VERSION.")],
    new: Annotated[
        str, typer.Argument(metavar="NEW", help="The same form; another model's version is recorded as its newest.")
    ],
    store: options.Store = None,
    as_json: options.AsJson = False,
) -> None:
    """Give a model or a version another name.

    A version may also move to another model. The controls of a network move with it; a control alone can be renamed
    too.
    """
    from ww_core.store.store import open_existing_store

    output = Output(as_json=as_json)
    with open_existing_store(store_location(store)) as opened:
        renamed = opened.rename(old, new)
    if output.format == "json":
        output.json(renamed._asdict())
        return
    of = "" if "@" in new else f"  ({renamed.versions} version{'s' if renamed.versions != 1 else ''})"
    output.line(f"{renamed.old} > {renamed.new}{of}")
    if renamed.controls:
        output.line(f"its controls: {', '.join(renamed.controls)}")
