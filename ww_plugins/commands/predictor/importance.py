"""``ww predictor importance``: which features a predictor uses."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from ww_core.command import Output, Session, options, say, store_location
from ww_core.command.examples import examples
from ww_plugins.commands.predictor.evaluate import PredictorFile
from ww_plugins.commands.predictor.telling import begins_anew, finite, say_notes

SHOWN = 20
"""Features of the table and of the picture; JSON and CSV have all."""


class By(StrEnum):
    """What is permuted together."""

    FEATURE = "feature"
    LAYER = "layer"
    STATISTIC = "statistic"


@examples("ww predictor importance zoo.predictor --on other-zoo --by layer")
def importance(
    ctx: typer.Context,
    file: PredictorFile,
    on: Annotated[
        str,
        typer.Option("--on", metavar="ZOO", callback=options.not_empty, help="The zoo: a folder, or a name."),
    ],
    by: Annotated[
        By,
        typer.Option("--by", help="What is permuted together: a feature, a layer, or a statistic of all layers."),
    ] = By.FEATURE,
    networks: Annotated[int, typer.Option("--networks", min=2, metavar="N", help="Largest number of networks.")] = 1000,
    repeats: Annotated[int, typer.Option("--repeats", min=1, metavar="R", help="Number of permutations.")] = 5,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Random seed.")] = 0,
    plot: Annotated[
        Path | None,
        typer.Option("--plot", metavar="FILE", help="Draw the most important features into FILE: .png, .svg or .pdf."),
    ] = None,
    profile: options.Profile = "default",
    store: options.Store = None,
    as_json: options.AsJson = False,
    as_csv: options.AsCsv = False,
) -> None:
    """Show which features a predictor uses.

    Each feature is permuted among networks; the growth of the mean squared error is its importance. Training networks
    are left out. Features with the same information share their importance: permute them together.
    """
    from ww_core.command.picture import check_plot
    from ww_core.command.progress import counter
    from ww_plugins.predictors.file import read_predictor
    from ww_plugins.predictors.importance import importances
    from ww_plugins.zoos.finding import find_zoo

    answer = Output(as_json=as_json, as_csv=as_csv)
    if plot is not None:
        check_plot(plot)
    session: Session = ctx.obj
    registry = session.registry()
    predictor = read_predictor(file, registry)
    place = store_location(store)
    found = find_zoo(on, place)
    say_notes(found, predictor)
    with begins_anew(), counter(f"{by.value}s") as show:
        told = importances(
            predictor,
            found,
            by=by.value,
            most=networks,
            repeats=repeats,
            seed=seed,
            store=place,
            profile=profile,
            registry=registry,
            progress=show,
        )
    rows: list[dict[str, Any]] = [
        {
            by.value: own.name,
            "count": own.features,
            "importance": own.importance,
            "importance_std": finite(own.importance_std),
            "mse": told.mse,
            "networks": told.networks,
        }
        for own in told.groups
    ]
    if answer.format == "json":
        answer.json(rows)
    elif answer.format == "csv":
        answer.csv(rows)
    else:
        answer.line(
            f"on {told.networks} networks of {found.name}: mse {told.mse:.4g}; importance is its growth, "
            f"{f'the mean of {repeats} permutations' if repeats > 1 else 'by one permutation'}"
        )
        shown = (by.value, "count", "importance", "importance_std")
        answer.table([{name: row[name] for name in shown} for row in rows[:SHOWN]], optional=["count"])
    if answer.format == "table" and len(rows) > SHOWN:
        say(f"{len(rows) - SHOWN} more: --json and --csv have all")
    if plot is not None:
        from ww_plugins.commands.predictor.picture import draw_importances

        draw_importances(predictor, told, found.name, SHOWN, plot)
