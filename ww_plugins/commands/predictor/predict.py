"""``ww predictor predict``: what the weights of a network suggest."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import ww_core as ww
from ww_core.command import Output, Session, options, say, store_location, warn
from ww_core.command.examples import examples
from ww_plugins.commands.predictor.evaluate import Confidence, PredictorFile
from ww_plugins.commands.predictor.telling import finite, say_notes

if TYPE_CHECKING:
    from ww_plugins.predictors.predicting import Estimate
    from ww_plugins.predictors.predictor import Predictor


@examples("ww predictor predict zoo.predictor net.safetensors")
def predict(
    ctx: typer.Context,
    file: PredictorFile,
    networks: Annotated[list[str], typer.Argument(metavar="MODEL...", help="Files of networks, in any format.")],
    confidence: Confidence = 0.9,
    rate: Annotated[
        float,
        typer.Option("--rate", metavar="SHARE", help="Rate of false alarms for networks like those of the zoo."),
    ] = 0.01,
    family: Annotated[
        str,
        typer.Option("--family", metavar="NAME", callback=options.not_empty, help="The family of the networks."),
    ] = "",
    loader: options.Loader = None,
    other_layers: Annotated[
        bool,
        typer.Option(
            "--other-layers",
            help="Accept networks with other layers that give the same features, such as those of the last layer.",
        ),
    ] = False,
    last_layer: Annotated[
        str | None,
        typer.Option(
            "--last-layer",
            metavar="NAME",
            callback=options.not_empty,
            help="With --other-layers: name of the last layer.  [default: the last one in the file]",
            show_default=False,
        ),
    ] = None,
    record: Annotated[
        str | None,
        typer.Option(
            "--record",
            metavar="MODEL[@VERSION]",
            callback=options.not_empty,
            help="Store the prediction as a score of this model; for one network only.",
        ),
    ] = None,
    store: options.Store = None,
    as_json: options.AsJson = False,
    as_csv: options.AsCsv = False,
) -> None:
    """Predict a number of networks from their weights.

    It gives an interval with the confidence, and warns if a network is unlike the training networks.
    """
    from ww_plugins.predictors.file import SHOWN, digest_of_predictor, read_predictor
    from ww_plugins.predictors.intervals import networks_needed
    from ww_plugins.predictors.predicting import estimated
    from ww_plugins.predictors.reading import any_network_of, network_of

    answer = Output(as_json=as_json, as_csv=as_csv)
    networks_needed(confidence)  # it raises if that is none
    if record is not None and len(networks) > 1:
        raise ww.UsageError(f"--record {record} takes one network, and {len(networks)} are given")
    if last_layer is not None and not other_layers:
        raise ww.UsageError(f"--last-layer {last_layer} needs --other-layers: add it")
    session: Session = ctx.obj
    registry = session.registry()
    if record is not None:
        _check_stored(record, store_location(store))
    predictor = read_predictor(file, registry)
    source = f"predictor:{digest_of_predictor(predictor)[:SHOWN]}"
    estimates: list[Estimate] = []
    for name in networks:
        if other_layers:
            network = any_network_of(name, registry, last=last_layer, loader=loader)
        else:
            network = network_of(name, predictor, registry, loader=loader)
        say_notes(network, predictor)
        told = estimated(predictor, network, confidence=confidence, rate=rate, family=family, registry=registry)
        estimates.append(replace(told, network=name))
    for estimate in estimates:
        for note in filter(None, (*estimate.reach.reasons, estimate.reach.note, estimate.interval.note)):
            warn(f"warning: {estimate.network}: {note}")
    rows = [_row(own, predictor, source) for own in estimates]
    if answer.format == "json":
        answer.json([row | _more(own) for row, own in zip(rows, estimates, strict=True)])
    elif answer.format == "csv":
        answer.csv(rows)
    else:
        answer.table(rows)
    if record is not None:
        _record(estimates[0], predictor, source, record, store_location(store))


def _row(estimate: Estimate, predictor: Predictor, source: str) -> dict[str, Any]:
    return {
        "network": estimate.network,
        "target": predictor.target,
        "value": estimate.value,
        "low": finite(estimate.interval.low),
        "high": finite(estimate.interval.high),
        "confidence": estimate.interval.confidence,
        "inside": estimate.reach.inside,
        "p_value": estimate.reach.p_value,
        "source": source,
    }


def _more(estimate: Estimate) -> dict[str, Any]:
    return {
        "nearest": [
            {"network": own.network, "distance": finite(own.distance), "result": own.target}
            for own in estimate.reach.nearest
        ],
        "reasons": list(estimate.reach.reasons),
    }


def _check_stored(name: str, place: str | Path) -> None:
    """Raise before anything is predicted if the store has no such model.

    Raises:
        NotStoredError: It has none, or there is no store.
        StoreError: It cannot be read.
    """
    try:
        with ww.open_store(place, mode="read") as store:
            store.scores([name])  # of models without weights, too
    except ww.NotStoredError as error:
        raise ww.NotStoredError(f"--record {name}: {error}; `ww analyze` stores a model") from None
    except ww.NotAStoreError as error:  # it says what makes one
        raise ww.NotAStoreError(f"--record {name}: {error}") from None


def _record(estimate: Estimate, predictor: Predictor, source: str, name: str, place: str | Path) -> None:
    """Store an estimate as a score.

    Raises:
        UsageError: The network is unlike those that the predictor learned from.
        WWError: The store has no such model, or cannot be written.
    """
    if not estimate.reach.inside:
        raise ww.UsageError(f"{estimate.network} is unlike the training networks: its prediction is not stored")
    model, _, version = name.partition("@")
    own = estimate.interval
    with ww.open_store(place) as store:
        score = ww.Score(
            model=model,
            name=predictor.target,
            dataset=predictor.data,
            value=estimate.value,
            source=source,
            version=version,
            better="higher" if predictor.target.endswith("accuracy") else "lower",
            low=finite(own.low),
            high=finite(own.high),
        )
        store.add_scores([score], correct=True)
    say(f"{name}: stored as a score from {source}")
