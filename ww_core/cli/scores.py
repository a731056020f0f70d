"""``ww scores``: numbers that somebody reports about models."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ww_core.command import Output, options, say, store_location
from ww_core.command.examples import examples
from ww_core.errors import UsageError

if TYPE_CHECKING:
    from ww_core.domain.columnar import StoredScore
    from ww_core.store.records import ScoreCounts

app = typer.Typer(
    help="Reported numbers of models, such as test accuracies.", no_args_is_help=True, rich_markup_mode=None
)


class Direction(StrEnum):
    """Which direction of a score is better."""

    LOWER = "lower"
    HIGHER = "higher"
    NONE = "none"


Models = Annotated[
    list[str] | None,
    typer.Argument(metavar="[MODEL]...", help="MODEL, MODEL@VERSION or a digest prefix.", show_default=False),
]
Names = Annotated[list[str] | None, typer.Option("--name", metavar="NAME", help="Only this score; repeatable.")]
Datasets = Annotated[
    list[str] | None, typer.Option("--dataset", metavar="NAME", help="Only scores on this dataset; repeatable.")
]
Sources = Annotated[
    list[str] | None, typer.Option("--source", metavar="S", help="Only scores from this source; repeatable.")
]
Better = Annotated[
    Direction | None,
    typer.Option(
        "--direction",
        help="The better direction.  [default: that of the stored scores of this name]",
        show_default=False,
    ),
]
Correct = Annotated[bool, typer.Option("--correct", help="Replace a different stored number; the old one is kept.")]
WithoutWeights = Annotated[
    bool,
    typer.Option("--without-weights", help="Keep scores of names that are not stored, too."),
]


@app.callback()
def _group() -> None:
    """Keep and list reported numbers of models."""


@app.command("add", context_settings={"ignore_unknown_options": True})  # for VALUE may be negative
@examples("ww scores add net top1_error 24.3 --source paper --direction lower")
def add(
    model: Annotated[
        str,
        typer.Argument(metavar="MODEL[@VERSION]", help="The model; its newest version.", callback=options.not_empty),
    ],
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Name of the score, as top1_error.", callback=options.not_empty)
    ],
    value: Annotated[float, typer.Argument(metavar="VALUE", help="The number.")],
    source: Annotated[str, typer.Option("--source", metavar="S", help="The source: a paper, a page, a person.")],
    dataset: Annotated[str, typer.Option("--dataset", metavar="NAME", help="The dataset.")] = "",
    direction: Better = None,
    unit: Annotated[str, typer.Option("--unit", metavar="U", help="Its unit, as %.")] = "",
    low: Annotated[float | None, typer.Option("--low", metavar="L", help="Lower end of its interval.")] = None,
    high: Annotated[float | None, typer.Option("--high", metavar="H", help="Upper end of its interval.")] = None,
    correct: Correct = False,
    without_weights: WithoutWeights = False,
    store: options.Store = None,
    as_json: options.AsJson = False,
) -> None:
    """Store a reported number of a model.

    A negative VALUE is given as it is: -0.5.
    """
    from ww_core.domain.score import Score
    from ww_core.use_cases.scores import add_score

    output = Output(as_json=as_json)
    label, at, version = model.partition("@")
    if at and not version:
        raise UsageError(f"{model!r} names no version: write MODEL@VERSION, or MODEL for the newest one")
    score = Score(label, name, dataset, value, source, version, direction or "", unit, low, high)
    counts = add_score(score, store=store_location(store), correct=correct, without_weights=without_weights)
    _print_counts(counts, output, str(score))


@app.command("import")
@examples("ww scores import scores.csv")
def import_file(
    file: Annotated[
        str,
        typer.Argument(metavar="FILE", help="CSV, TSV, JSON or JSON lines, also by gzip.", callback=options.not_empty),
    ],
    source: Annotated[
        str, typer.Option("--source", metavar="S", help="The source, if FILE has none.", show_default=False)
    ] = "",
    dataset: Annotated[
        str,
        typer.Option("--dataset", metavar="NAME", help="The dataset, if FILE has none.", show_default=False),
    ] = "",
    direction: Better = None,
    correct: Correct = False,
    without_weights: WithoutWeights = False,
    store: options.Store = None,
    as_json: options.AsJson = False,
) -> None:
    """Store the scores of FILE, all or none.

    Its columns, in any order, are model, version, dataset, name, value, unit, direction, source, low and high; model,
    name and value are required. `ww scores list --csv` prints a file of this form.
    """
    from ww_core.use_cases.scores import import_scores

    output = Output(as_json=as_json)
    counts = import_scores(
        file,
        store=store_location(store),
        source=source,
        dataset=dataset,
        direction=direction or "",
        correct=correct,
        without_weights=without_weights,
    )
    _print_counts(counts, output, file)


@app.command("list")
@examples("ww scores list", "ww scores list net --csv")
def list_scores(
    models: Models = None,
    name: Names = None,
    dataset: Datasets = None,
    source: Sources = None,
    every: Annotated[bool, typer.Option("--all", help="Also replaced scores, with the time.")] = False,
    replaced: Annotated[bool, typer.Option("--replaced", help="Only replaced scores, with the time.")] = False,
    store: options.Store = None,
    as_json: options.AsJson = False,
    as_csv: options.AsCsv = False,
    raw: options.Raw = False,
) -> None:
    """List the scores of all models or of the named ones."""
    from ww_core.store.store import open_store

    output = Output(as_json=as_json, as_csv=as_csv, raw=raw)
    if every and replaced:
        raise UsageError("--all and --replaced exclude each other: give one")
    with open_store(store_location(store), mode="read") as opened:
        found = opened.scores(models or (), names=name or (), datasets=dataset or (), sources=source or ())
    rows = [] if replaced else [_row(own) for own in found]
    if every or replaced:
        rows = [row | {"stored_at": None, "replaced_at": None} for row in rows] + [
            _row(own.score) | {"stored_at": own.stored_at, "replaced_at": own.replaced_at} for own in found.replaced
        ]
        rows.sort(key=_place)
    _print(rows, output)
    if output.format != "json" and not rows:
        say("no score was corrected" if replaced and len(found) else "no stored score matches")
    elif output.format == "table" and found.replaced and not (every or replaced):
        output.line()
        output.line(f"corrected: {len(found.replaced)} (--all shows what was replaced)")


@app.command("remove")
@examples("ww scores remove net --name top1_error")
def remove(
    models: Models = None,
    name: Names = None,
    dataset: Datasets = None,
    source: Sources = None,
    store: options.Store = None,
    as_json: options.AsJson = False,
    as_csv: options.AsCsv = False,
    raw: options.Raw = False,
) -> None:
    """Remove scores, and list what was removed.

    Their replaced numbers are removed too. A score belongs to weights: it is removed under every name of these weights.
    """
    from ww_core.store.store import open_existing_store

    output = Output(as_json=as_json, as_csv=as_csv, raw=raw)
    with open_existing_store(store_location(store)) as opened:
        removed = opened.remove_scores(models or (), names=name or (), datasets=dataset or (), sources=source or ())
    _print([_row(own) for own in removed], output)
    if output.format == "table":
        count = len({own._replace(model=None, version=None) if own.digest else own for own in removed})
        output.line(f"removed: {count} score{'' if count == 1 else 's'}")


def _row(score: StoredScore) -> dict[str, Any]:
    """Return a score as a row of the file that ``ww scores import`` reads."""
    return {
        "model": score.model or score.digest,
        "version": score.version,
        "dataset": score.dataset,
        "name": score.name,
        "value": score.value,
        "unit": score.unit,
        "direction": score.better,
        "source": score.source,
        "low": score.low,
        "high": score.high,
    }


def _place(row: dict[str, Any]) -> tuple[str, ...]:
    """Put what a correction replaced before what replaced it."""
    told = (row["model"], row["version"] or "", row["name"], row["dataset"], row["source"])
    return *told, row["replaced_at"] or "~"


def _print(rows: list[dict[str, Any]], output: Output) -> None:
    if output.format == "json":
        output.json(rows)
    elif output.format == "csv":
        output.csv(rows)
    else:
        optional = ("stored_at", "unit", "source", "dataset", "direction")
        output.table(rows, optional=optional, if_any=("version", "unit", "low", "high"))


def _print_counts(counts: ScoreCounts, output: Output, what: str) -> None:
    if output.format == "json":
        output.json(counts._asdict())
        return
    told = {"added": counts.added, "corrected": counts.corrected, "known already": counts.known}
    output.line(f"{what}: {', '.join(f'{count} {text}' for text, count in told.items() if count)}")
