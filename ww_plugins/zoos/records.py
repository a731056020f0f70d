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
    """
    hyperparameters = {name: _outcomes(name, own) for name, own in zoo.hyperparameters.items()}
    columns = tuple(_column(name, own) for name, own in zoo.hyperparameters.items())
    labels = list(zip(zoo.models, zoo.versions, strict=True))
    rows = tuple(
        ww.ReportedEntry(model, dict(zip(hyperparameters, own, strict=True)), version)
        for (model, version), own in zip(
            labels, zip(*hyperparameters.values(), strict=True) if hyperparameters else [()] * len(labels), strict=True
        )
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
