"""``ww blame``: in which version a layer came to be what it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ww_core.cli.changes import told_way
from ww_core.command import Output, options, say, store_location
from ww_core.command.examples import examples

if TYPE_CHECKING:
    from ww_core.domain.blame import Blame, ValueOrigin


@examples("ww blame net first")
def blame(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL", help="MODEL (its newest version) or MODEL@VERSION.", callback=options.not_empty
        ),
    ],
    layer: Annotated[str, typer.Argument(metavar="LAYER", help="Name of the layer.", callback=options.layer_name)],
    metrics: options.Columns = None,
    profile: options.Profile = "default",
    store: options.Store = None,
    as_json: options.AsJson = False,
    as_csv: options.AsCsv = False,
    raw: options.Raw = False,
) -> None:
    """Find the version in which LAYER of MODEL last changed.

    It also prints the version of the last change for each stored number of the layer. No weight is read.
    """
    from ww_core.use_cases.blame import blame as ask

    output = Output(as_json=as_json, as_csv=as_csv, raw=raw)
    answer = ask(
        model,
        layer,
        store=store_location(store),
        metrics=options.listed(metrics, "--metrics"),
        profile=profile,
    )
    if output.format == "json":
        output.json(answer.to_dict())
    elif output.format == "csv":
        output.csv(answer.rows())
        if not answer.columns:
            say(f"no row: {_no_number(answer)}")
    else:
        _print(answer, output)


def _print(answer: Blame, output: Output) -> None:
    after = f", after {answer.previous}" if answer.previous else ", the first version that has it"
    output.line(f"{answer.layer} of {answer.model}@{answer.at} got its weights in {answer.version}{after}")
    output.line()
    output.table([_row(own) for own in answer.columns], optional=["extractor"], if_any=["index"])
    if not answer.columns:
        output.line(_no_number(answer))


def _no_number(answer: Blame) -> str:
    return f"no value of it is stored under profile {answer.profile}"


def _row(own: ValueOrigin) -> dict[str, Any]:
    return {
        "column": own.column,
        "extractor": own.extractor,
        "index": own.index,
        "value": own.value,
        "version": own.version,
        "change": "" if own.before is None else told_way(own.before, own.value, own.verdict),
    }
