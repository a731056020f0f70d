"""``ww diff``: checkpoints side by side with the first of them."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ww_core.cli.changes import told_change, told_way
from ww_core.command import Output, Session, arrow, cell, options, say, store_location, warn
from ww_core.command.examples import examples
from ww_core.command.marks import Marks

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ww_core.domain.difference import CheckpointDifference, Difference, LayerDifference, WholeLayerDifference
    from ww_core.domain.outcome import Outcome
    from ww_core.domain.report import RowScope

SHOWN = 3
"""Names that a line gives as examples; beyond that they are counted."""


@examples("ww diff net@1 net@2", "ww diff net other.safetensors --json")
def diff(
    ctx: typer.Context,
    first: Annotated[
        str, typer.Argument(metavar="FIRST", help="MODEL, MODEL@VERSION, a digest prefix; else a path, analysed now.")
    ],
    others: Annotated[list[str], typer.Argument(metavar="OTHER...", help="The same; each is compared with FIRST.")],
    profile: options.StoredProfile = None,
    metrics: options.Columns = None,
    layers: options.Layers = None,
    sort: Annotated[
        str,
        typer.Option(
            "--sort",
            metavar="ORDER",
            help="importance (change over its standard error), layer, or a column (its change).",
            callback=options.not_empty,
        ),
    ] = "importance",
    top: options.Top = 0,
    everything: Annotated[bool, typer.Option("--all", help="List unchanged layers too.")] = False,
    record: Annotated[bool, typer.Option("--record", help="Label analysed paths, as `ww analyze` does.")] = False,
    scope: options.ShownScope = None,
    store: options.Store = None,
    as_json: options.AsJson = False,
    as_csv: options.AsCsv = False,
    raw: options.Raw = False,
) -> None:
    """Compare checkpoints with FIRST, layer by layer.

    It shows which layers differ in content, and how their metrics differ. A change is better or worse by the direction
    of its column. Values are subtracted only if metric, version, parameters and extractor are the same; other values
    are shown with the reason. If a name is both a stored name and a path, the stored name is used. A path is analysed
    and gets no label.
    """
    from ww_core.command.progress import progress_observers
    from ww_core.use_cases.diff import diff_each

    output = Output(as_json=as_json, as_csv=as_csv, raw=raw)
    session: Session = ctx.obj
    # What a plugin prints while it computes must not stand in the data.
    with progress_observers() as observers, contextlib.redirect_stdout(sys.stderr):
        differences = diff_each(
            first,
            others,
            store=store_location(store),
            profile=profile,
            metrics=options.listed(metrics, "--metrics"),
            layers=options.listed(layers, "--layers"),
            sort=sort,
            top=top,
            record=record,
            registry=session.registry,
            observers=observers,
        )
    for warning in dict.fromkeys(warning for difference in differences for warning in difference.warnings):
        warn(f"warning: {warning}")
    if output.format == "json":
        told = [difference.to_dict() for difference in differences]
        output.json(told[0] if len(told) == 1 else {"differences": told})
    elif output.format == "csv":
        of = scope.rows if scope else "matrix"
        rows = [row for difference in differences for row in difference.rows(of, everything=everything)]
        output.csv(rows)
        if not rows:
            say(f"no row: no {of} with a metric differs")
    else:
        for place, difference in enumerate(differences):
            if place:
                output.line()
            _print(difference, scope.rows if scope else None, output, everything=everything)


def _print(difference: CheckpointDifference, scope: RowScope | None, output: Output, *, everything: bool) -> None:
    output.line(f"{difference.first_name} {arrow()} {difference.second_name}  profile {difference.profile}")
    output.line()
    if scope == "model":
        whole = difference.model_metrics
        _print_table([{}], [whole], whole.labels, output)
    for own in ("matrix", "layer") if scope is None else () if scope == "model" else (scope,):
        listed = difference.listed(own, everything=everything)
        labels = dict.fromkeys(label for each in listed for label in each.difference.labels)
        # Of all columns those of the headline are shown, and all of a scope that has none there, if it was asked for.
        shown = [label for label in difference.headline if label in labels]
        if shown or scope or (own == "matrix" and not _of_layers_only(difference)):
            _print_table(list(map(_place, listed)), [each.difference for each in listed], shown or list(labels), output)
    _print_summary(difference, output)


def _of_layers_only(difference: CheckpointDifference) -> bool:
    scopes = {difference.columns[label].scope for label in difference.headline if label in difference.columns}
    return "layer" in scopes and "matrix" not in scopes


def _print_table(
    places: Sequence[dict[str, Any]], differences: Sequence[Difference], shown: Sequence[str], output: Output
) -> None:
    if not (places and differences) or not (shown or places[0]):
        return
    columns = differences[0].columns
    marks = Marks(columns.values())
    rows = [place | _cells(own, shown, marks) for place, own in zip(places, differences, strict=True)]
    # The first column is what the table is read for, and what is no number says what it means. Marks stay, not flags.
    told = [label for label in shown[1:] if columns[label].type in {"bool", "text"}]
    numbers = [label for label in shown[1:] if label not in told]
    optional = [*marks.flags_of(shown), "extractor", *reversed(numbers), *reversed(told), "was"]
    output.table(rows, optional=list(dict.fromkeys(optional)), if_any=("was", "index"))
    for note in marks.footnotes():
        output.line(note)
    output.line()


def _place(own: LayerDifference | WholeLayerDifference) -> dict[str, Any]:
    place = own.place
    return {"layer": place.pop("layer"), "was": place.pop("first_name")} | place


def _cells(difference: Difference, labels: Sequence[str], marks: Marks) -> dict[str, str]:
    """Return a text for each column: what it was, what it is, and what that means."""
    changes, verdicts = difference.change, difference.verdict
    cells = {}
    for label in labels:
        sides = [_side(label, side, marks) for side in (difference.first_outcomes, difference.second_outcomes)]
        if label in difference.not_comparable and all(sides):
            cells[label] = f"{sides[0]}, {sides[1]} not comparable"
        elif sides[0] == sides[1]:
            cells[label] = sides[0]
        elif label in changes:
            cells[label] = f"{sides[0]} {arrow()} {sides[1]} ({told_change(changes[label], verdicts[label])})"
        else:
            cells[label] = f"{sides[0] or '-'} {arrow()} {sides[1] or '-'}"
    return cells


def _side(label: str, outcomes: Mapping[str, Outcome], marks: Marks) -> str:
    outcome = outcomes.get(label)
    if outcome is None:
        return ""
    if outcome.number is False:
        return "no"
    return cell(marks.marked(label, outcomes)) if outcome.is_ok else str(outcome.state).replace("_", " ")


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
            if own.change is None:
                way = f"{own.first:.4g} {arrow()} {own.second:.4g} (not comparable: {own.not_comparable})"
            else:
                way = told_way(own.first, own.second, own.verdict)
            output.line(f"mean {label}: {way}")
    whole = difference.model_metrics
    for label, text in _cells(whole, list(whole.change), Marks(())).items():
        output.line(f"model {label}: {text}")
    for reason, named in _reasons(difference).items():
        more = f" and {len(named) - SHOWN} more" if len(named) > SHOWN else ""
        output.line(f"not comparable: {', '.join(named[:SHOWN])}{more}: {reason}")


def _reasons(difference: CheckpointDifference) -> dict[str, list[str]]:
    """What is not comparable, columns or layers, by the reason."""
    reasons: dict[str, dict[str, None]] = {}
    for label, reason in difference.not_comparable.items():
        reasons.setdefault(reason, {})[label] = None
    for own in difference.layers:
        for reason in dict.fromkeys(own.difference.not_comparable.values()):
            if reason not in difference.not_comparable.values():
                reasons.setdefault(reason, {})[own.name] = None
    return {reason: list(named) for reason, named in reasons.items()}


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {status}" for status, count in counts.items() if count)
