"""``ww diff``: two checkpoints side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ww_core.command import Output, options, store_location

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ww_core.domain.difference import CheckpointDifference, Difference, LayerDifference, WholeLayerDifference

SHOWN = 3
"""Names that a line gives as examples; beyond that they are counted."""


def diff(
    first: Annotated[str, typer.Argument(metavar="FIRST", help="MODEL, MODEL@VERSION or a digest prefix.")],
    second: Annotated[str, typer.Argument(metavar="SECOND", help="The same.")],
    profile: options.StoredProfile = None,
    everything: Annotated[bool, typer.Option("--all", help="List unchanged layers too.")] = False,
    scope: options.Scope = options.RowScope.MATRIX,
    store: options.Store = None,
    as_json: options.AsJson = False,
    as_csv: options.AsCsv = False,
) -> None:
    """Compare two stored checkpoints: which layers differ in content, and how their metrics differ.

    Values are subtracted only where metric, version, parameters and extractor are the same; what cannot be compared is
    shown with the reason.
    """
    from ww_core.command import say
    from ww_core.use_cases.diff import diff as compare

    output = Output(as_json=as_json, as_csv=as_csv)
    difference = compare(first, second, store=store_location(store), profile=profile)
    if output.format == "json":
        output.json(difference.to_dict())
        return
    rows = _rows(difference, scope, everything=everything)
    if output.format == "csv":
        output.csv(rows)
        if not rows:
            say(f"no row: no {scope.value} differs that has a metric")
        return
    output.line(f"{difference.first_name} > {difference.second_name}  profile {difference.profile}")
    output.line()
    _print_rows(rows, difference.headline, output)
    _print_summary(difference, output)


def _rows(difference: CheckpointDifference, scope: options.RowScope, *, everything: bool) -> list[dict[str, Any]]:
    """Return a flat dict for each matrix, layer or model: values of both sides, and what may not be compared."""
    if scope is options.RowScope.MODEL:
        own = difference.model_metrics
        return [_values([*dict.fromkeys([*own.second, *own.first])], own)] if own.second or own.first else []
    every: Sequence[LayerDifference | WholeLayerDifference]
    every = difference.layers if scope is options.RowScope.MATRIX else difference.layer_metrics
    listed = [own for own in every if everything or own.status != "same"]
    labels = dict.fromkeys(label for own in listed for label in [*own.difference.second, *own.difference.first])
    return [_place(own) | _values([*labels], own.difference) for own in listed]


def _print_rows(rows: Sequence[Mapping[str, Any]], headline: Sequence[str], output: Output) -> None:
    """Print the columns of the headline; all of them where none of these is there."""
    if not rows:
        return
    labels = [name.removeprefix("> ") for name in rows[0] if name.startswith("> ")]
    shown = [label for label in headline if label in labels] or labels
    places = [name for name in ("layer", "status", "extractor", "index") if name in rows[0]]
    pairs = [name for label in shown for name in (label, f"> {label}")]
    # The first column of the headline is what the table is read for.
    optional = ["extractor", *(name for label in reversed(shown[1:]) for name in (f"> {label}", label))]
    output.table([{name: row.get(name) for name in (*places, *pairs)} for row in rows], optional=optional)
    output.line()


def _place(own: LayerDifference | WholeLayerDifference) -> dict[str, Any]:
    place: dict[str, Any] = {"layer": own.name, "status": own.status}
    extractor = getattr(own, "extractor", None)
    return place if extractor is None else place | {"extractor": extractor, "index": getattr(own, "index", None)}


def _values(labels: Sequence[str], difference: Difference) -> dict[str, Any]:
    first, second = difference.first, difference.second
    row: dict[str, Any] = {}
    for label in labels:
        row[label] = first.get(label)
        row[f"> {label}"] = second.get(label)
    reasons = [f"{label}: {reason}" for label, reason in difference.not_comparable.items()]
    return row | {"not_comparable": "; ".join(reasons)}


def _print_summary(difference: CheckpointDifference, output: Output) -> None:
    output.line(f"layers: {_counts(difference.counts) or 'none'}")
    tensors = difference.tensor_counts
    if any(count for status, count in tensors.items() if status != "same"):
        output.line(f"other tensors: {_counts(tensors)}")
        for status in dict.fromkeys(own.status for own in difference.tensors):
            named = [f"{own.name} ({own.reason})" for own in difference.tensors if own.status == status]
            more = f" and {len(named) - SHOWN} more" if len(named) > SHOWN else ""
            output.line(f"  {status}: {', '.join(named[:SHOWN])}{more}")
    for label, own in difference.summary.items():
        if own.first is not None and own.second is not None and label in difference.headline:
            change = f"({own.change:+.4g})" if own.change is not None else f"(not comparable: {own.not_comparable})"
            output.line(f"mean {label}: {own.first:.4g} > {own.second:.4g} {change}")
    whole = difference.model_metrics
    for label, moved in whole.change.items():
        output.line(f"model {label}: {whole.first[label]:.4g} > {whole.second[label]:.4g} ({moved:+.4g})")
    reasons: dict[str, list[str]] = {}
    for label, reason in difference.not_comparable.items():
        reasons.setdefault(reason, []).append(label)
    for own_layer in difference.layers:
        for reason in dict.fromkeys(own_layer.difference.not_comparable.values()):
            if reason not in difference.not_comparable.values():
                reasons.setdefault(reason, []).append(own_layer.name)
    for reason, named in reasons.items():
        named = list(dict.fromkeys(named))
        more = f" and {len(named) - SHOWN} more" if len(named) > SHOWN else ""
        output.line(f"not comparable: {', '.join(named[:SHOWN])}{more}: {reason}")


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {status}" for status, count in counts.items() if count)
