"""``ww forget``: take names away."""

from __future__ import annotations

from typing import Annotated

import typer

from ww_core.command import Output, options, store_location
from ww_core.command.examples import examples


@examples("ww forget net@1")
def forget(
    names: Annotated[list[str], typer.Argument(metavar="MODEL", help="MODEL, for all its versions, or MODEL@VERSION.")],
    store: options.Store = None,
    as_json: options.AsJson = False,
) -> None:
    """Remove versions from the store by name.

    Their results stay until `ww db gc`.
    """
    from ww_core.cli.report import DIGEST_SHOWN
    from ww_core.store.store import open_existing_store

    output = Output(as_json=as_json)
    with open_existing_store(store_location(store)) as opened:
        forgotten = opened.forget(*names)
    if output.format == "json":
        output.json([{"model": own.model, "version": own.version, "digest": own.digest} for own in forgotten])
        return
    for own in forgotten:
        output.line(f"forgotten: {own.model}@{own.version}  digest {own.digest[:DIGEST_SHOWN]}")
    output.line("their results are kept until `ww db gc` frees the space")
