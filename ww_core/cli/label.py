"""``ww label``: a version's place among the others."""

from __future__ import annotations

from typing import Annotated

import typer

from ww_core.command import Output, options, store_location
from ww_core.command.examples import examples


@examples("ww label net@2 --step 2000")
def label(
    name: Annotated[str, typer.Argument(metavar="MODEL@VERSION", help="The version.", callback=options.not_empty)],
    step: Annotated[
        int | None,
        typer.Option("--step", metavar="N", min=0, help="Its place in the order, such as the training step."),
    ] = None,
    no_step: Annotated[bool, typer.Option("--no-step", help="Remove its place.")] = False,
    store: options.Store = None,
    as_json: options.AsJson = False,
) -> None:
    """Give a version its place among the versions of its model.

    If all versions of a model have a step, they are ordered by it, else by the time of recording. MODEL alone means the
    last version.
    """
    from ww_core.errors import UsageError
    from ww_core.store.store import open_existing_store

    output = Output(as_json=as_json)
    if (step is None) != no_step:
        raise UsageError("give --step N, or --no-step to remove it")
    with open_existing_store(store_location(store)) as opened:
        opened.set_step(name, step)
        model = name.partition("@")[0]
        order = [version.version for version in opened.versions() if version.model == model]
    if output.format == "json":
        output.json({"name": name, "step": step, "order": order})
        return
    output.line(f"{name}: step {'none' if step is None else step}; the order is {', '.join(order)}")
