"""``ww predictor invariance``: how much a prediction changes when weights are permuted or scaled."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from ww_core.command import Output, Session, options, store_location
from ww_core.command.examples import examples
from ww_plugins.commands.predictor.evaluate import PredictorFile
from ww_plugins.commands.predictor.telling import begins_anew, say_notes


@examples("ww predictor invariance zoo.predictor --on other-zoo")
def invariance(
    ctx: typer.Context,
    file: PredictorFile,
    on: Annotated[
        str,
        typer.Option(
            "--on", metavar="ZOO", callback=options.not_empty, help="The zoo, with its weights: a folder, or a name."
        ),
    ],
    networks: Annotated[int, typer.Option("--networks", min=1, metavar="N", help="Largest number of networks.")] = 1000,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Random seed.")] = 0,
    store: options.Store = None,
    as_json: options.AsJson = False,
    as_csv: options.AsCsv = False,
) -> None:
    """Measure how predictions change when weights change.

    Weights are permuted and scaled. Training networks are left out.
    """
    from ww_core.command.progress import counter
    from ww_plugins.predictors.file import read_predictor
    from ww_plugins.predictors.invariance import deviations
    from ww_plugins.zoos.finding import find_zoo

    answer = Output(as_json=as_json, as_csv=as_csv)
    session: Session = ctx.obj
    registry = session.registry()
    predictor = read_predictor(file, registry)
    found = find_zoo(on, store_location(store))
    say_notes(found, predictor)
    with begins_anew(), counter("changes") as show:
        told = deviations(predictor, found, most=networks, seed=seed, registry=registry, progress=show)
    rows = [asdict(own) for own in told]
    if answer.format == "json":
        answer.json(rows)
    elif answer.format == "csv":
        answer.csv(rows)
    else:
        answer.table(rows)
