"""What a store keeps of a zoo: a reported model for each checkpoint, with its hyperparameters and its results."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import ww_core as ww
from ww_core.loading.names import quoted
from ww_core.loading.tables import outcome_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import numpy.typing as npt

BETTER = {"test_accuracy": "higher", "train_accuracy": "higher", "test_loss": "lower", "train_loss": "lower"}
"""Which direction of a result is better."""

DATASET = "dataset"
"""The hyperparameter that names the data, as the published zoo has it."""

WEIGHTS = "weights_digest"
"""The column that says which weights a checkpoint has: the content address of the same network analysed."""


def table_name(name: str) -> str:
    """Return the source of a zoo's table, and of its scores: ``zoo NAME``."""
    return f"zoo {name}"


def reported_table(zoo: ww.Zoo, about: Mapping[str, Any]) -> ww.ReportedTable:
    """Return what a store keeps of a zoo: its checkpoints, members of the series of its name.

    Args:
        zoo: The checkpoints.
        about: What ``zoo.json`` says; empty for a published zoo.

    Raises:
        CorruptFileError: A hyperparameter cannot be stored, such as a text with control characters.
        UsageError: The weights of the zoo are not here.
    """
    if WEIGHTS in zoo.hyperparameters:
        raise ww.CorruptFileError(f"hyperparameter {WEIGHTS} has the name of a column of ww: give it another name")
    hyperparameters = {name: _outcomes(name, own) for name, own in zoo.hyperparameters.items()}
    hyperparameters[WEIGHTS] = [outcome_of(own, "text") for own in ww.zoo_digests(zoo)]
    columns = (*(_column(name, own) for name, own in zoo.hyperparameters.items()), _WEIGHTS)
    labels = list(zip(zoo.models, zoo.versions, strict=True))
    rows = tuple(
        ww.ReportedEntry(model, dict(zip(hyperparameters, own, strict=True)), version)
        for (model, version), own in zip(labels, zip(*hyperparameters.values(), strict=True), strict=True)
    )
    return ww.ReportedTable(
        source=table_name(zoo.name),
        provider="ww zoo",
        columns=columns,
        rows=rows,
        series={model: (zoo.name,) for model, _ in labels},
        scores=tuple(scores_of(zoo, about)),
    )


def scores_of(zoo: ww.Zoo, about: Mapping[str, Any]) -> Iterator[ww.Score]:
    """Yield what was measured of each checkpoint, as scores."""
    source = table_name(zoo.name)
    datasets = datasets_of(zoo, about)
    for name, own in zoo.results.items():
        for model, version, dataset, value in zip(zoo.models, zoo.versions, datasets, own.tolist(), strict=True):
            if math.isfinite(value):
                yield ww.Score(model, name, dataset, value, source, version, BETTER.get(name, "none"))


def datasets_of(zoo: ww.Zoo, about: Mapping[str, Any]) -> list[str]:
    """Return the name of the data of each checkpoint; empty where nothing says it."""
    told = zoo.hyperparameters.get(DATASET)
    if told is not None and told.dtype.kind == "O":
        return [str(own) for own in told.tolist()]
    data = about.get("data")
    name = data.get("name", "") if isinstance(data, dict) else ""
    return [name if isinstance(name, str) else ""] * len(zoo)


def imported_weights(store: ww.Store, name: str) -> list[tuple[str, str, str]]:
    """Return model, version and content address of the checkpoints of a zoo that was imported; none of another."""
    if not any(own.source == table_name(name) for own in store.reported_tables()):
        return []
    table = store.reported_table(table_name(name))
    models, versions = table.places["model"].tolist(), table.places["version"].tolist()
    digests = table.texts[WEIGHTS].tolist() if WEIGHTS in table.texts else [None] * len(models)
    told = zip(models, versions, digests, strict=True)
    return [(model, version, digest) for model, version, digest in told if digest is not None]


_WEIGHTS = ww.ReportedColumn(
    name=WEIGHTS,
    metric=f"zoo:{WEIGHTS}",
    version="1",
    definition="Content address of the weights of a checkpoint of a zoo.",
    type="text",
)


def _column(name: str, values: npt.NDArray[Any]) -> ww.ReportedColumn:
    return ww.ReportedColumn(
        name=name,
        metric=f"zoo:{name}",
        version="1",
        definition=f"Hyperparameter {name} that the networks of a zoo were trained with.",
        type="text" if values.dtype.kind == "O" else "float",
    )


def _outcomes(name: str, values: npt.NDArray[Any]) -> list[ww.Outcome]:
    """Return the values of a hyperparameter; there are few different ones, and each is made once.

    Raises:
        CorruptFileError: One cannot be stored.
    """
    known: dict[Any, ww.Outcome] = {}
    own = [None if value != value else value for value in values.tolist()]  # NaN: nothing was told
    for value in set(own):
        try:
            known[value] = outcome_of(value, "text" if values.dtype.kind == "O" else "float")
        except ValueError as error:
            raise ww.CorruptFileError(f"hyperparameter {quoted(name)}: {error}") from None
    return [known[value] for value in own]
