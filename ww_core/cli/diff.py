"""``ww diff``: two checkpoints side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ww_core.cli import options
from ww_core.command import Output, store_location

if TYPE_CHECKING:
    from ww_core.domain.difference import Difference, LayerChange


def diff(
    first: Annotated[str, typer.Argument(metavar="FIRST", help="MODEL, MODEL@VERSION or a digest prefix.")],
    second: Annotated[str, typer.Argument(metavar="SECOND", help="The same.")],
    profile: Annotated[str, typer.Option("--profile", metavar="NAME", help="[default: the newest run's]")] = "",
    everything: Annotated[bool, typer.Option("--all", help="List unchanged layers too.")] = False,
    store: options.Store = "",
    as_json: options.AsJson = False,
    as_csv: options.AsCsv = False,
) -> None:
    """Compare two stored checkpoints: which layers differ in content, and how their metrics differ."""
    from ww_core.analysis.diff import diff as compare

    output = Output(as_json=as_json, as_csv=as_csv)
    difference = compare(first, second, store=store_location(store), profile=profile)
    if output.format == "json":
        output.json(difference.to_dict())
        return
    listed = [change for change in difference.layers if everything or change.change != "same"]
    if output.format == "csv":
        labels = list(dict.fromkeys(label for change in listed for label in [*change.second, *change.first]))
        output.csv([_row(change, labels) for change in listed])
        return
    output.line(f"{difference.first_name} > {difference.second_name}  profile {difference.profile}")
    output.line()
    pairs = [column for label in reversed(difference.headline) for column in (f"> {label}", label)]
    optional = ["extractor", *(column for column in pairs if not column.endswith("alpha"))]
    output.table([_row(change, difference.headline) for change in listed], optional=optional)
    if listed:
        output.line()
    _print_summary(difference, output)


def _row(change: LayerChange, labels: list[str] | tuple[str, ...]) -> dict[str, Any]:
    row: dict[str, Any] = {
        "layer": change.name,
        "change": change.change,
        "extractor": change.extractor,
        "index": change.index,
    }
    for label in labels:
        row[label] = change.first.get(label)
        row[f"> {label}"] = change.second.get(label)
    return row


def _print_summary(difference: Difference, output: Output) -> None:
    counts = ", ".join(f"{count} {change}" for change, count in difference.counts.items() if count)
    output.line(f"layers: {counts}")
    for label, (first, second) in difference.summary.items():
        if first is not None and second is not None and label in difference.headline:
            output.line(f"mean {label}: {first:.4g} > {second:.4g} ({second - first:+.4g})")
