"""Which reported score belongs to which model."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

from ww_core.domain.text import shortened
from ww_core.errors import NotStoredError, UnknownNameError, UsageError

if TYPE_CHECKING:
    from ww_core.domain.columnar import StoredScore
    from ww_core.domain.model_values import ModelRow
    from ww_core.errors import WWError

Reading = Literal["reported", "error", "accuracy"]
"""How a score is read: as it is reported, or as an error or an accuracy, where it may be the complement."""


class ScoredModel(NamedTuple):
    """A model with a score.

    Attributes:
        at: Position of the model among those that were asked for.
        dataset: What the score was measured on.
        value: The score, as it is read.
    """

    at: int
    dataset: str
    value: float


class ScoreColumn(NamedTuple):
    """What the scores of models are.

    Attributes:
        name: Name of the score; of its complement ``100 - NAME`` or ``1 - NAME``.
        better: ``lower``, ``higher`` or ``none``, as it is read.
        unit: Its unit.
        sources: Who says so.
    """

    name: str
    better: str
    unit: str
    sources: tuple[str, ...]


def scores_by_model(models: Sequence[ModelRow], scores: Iterable[StoredScore]) -> Mapping[int, list[StoredScore]]:
    """Return the scores of models by the position of the model, of those that have any.

    A score of a checkpoint belongs to every model that stands on it, another one to the model of its name and version.
    """
    places: dict[str | tuple[str, str], list[int]] = defaultdict(list)
    for at, own in enumerate(models):
        places[own.digest or (own.model, own.version)].append(at)
    found: dict[int, list[StoredScore]] = defaultdict(list)
    for score in scores:
        for at in places.get(score.digest or (score.model or "", score.version or ""), ()):
            found[at].append(score)
    return dict(sorted(found.items()))


def told_datasets(datasets: Sequence[str]) -> str:
    """Return the names of datasets as a sentence has them; a score may have none."""
    return shortened([own or "no dataset" for own in datasets])


def why_no_score(known: Sequence[StoredScore], name: str, dataset: str, source: str) -> WWError:
    """Say why no model has a score of this name, on this dataset, by this source; what is empty was not named.

    Args:
        known: All scores that the models have.
        name: Name of the score.
        dataset: The dataset.
        source: Who says so.
    """
    if not known:
        return NotStoredError("none of these models has a score: `ww scores add` stores one")
    left = list(known)
    for what, told, field in (("score", name, "name"), ("dataset", dataset, "dataset"), ("source", source, "source")):
        names = {getattr(own, field) for own in left}
        if told and told not in names:
            named = names - {""}  # a score may have no dataset
            return UnknownNameError(f"{what}{f' of {name}' if name and what != 'score' else ''}", told, named)
        left = [own for own in left if told in {"", getattr(own, field)}]
    return NotStoredError("none of these models has such a score: `ww scores list` lists what there is")


def scored_models(
    models: Sequence[ModelRow], scores: Mapping[int, Sequence[StoredScore]], name: str, reading: Reading = "reported"
) -> tuple[ScoreColumn, list[ScoredModel]]:
    """Find the scores of models, at most one for each dataset.

    Args:
        models: The models.
        scores: Scores by the position of their model; those of the right dataset and source are chosen already,
            where these were named.
        name: Name of the score, which one model has at least.
        reading: How it is read.

    Raises:
        UsageError: A model has several on one dataset, they differ in unit or direction, or they cannot be so read.
    """
    if reading not in get_args(Reading):
        raise UnknownNameError("reading of a score", reading, get_args(Reading))
    found: dict[tuple[int, str], StoredScore] = {}
    for at, own in scores.items():
        for score in own:
            if score.name == name and found.setdefault((at, score.dataset), score) is not score:
                several = [other for other in own if (other.name, other.dataset) == (name, score.dataset)]
                several.sort(key=lambda other: other.source)
                said = shortened([f"{other.value:g} by {other.source}" for other in several], most=4)
                where = f" on {score.dataset}" if score.dataset else ""
                raise UsageError(f"{name} of {models[at].name}{where} is reported as {said}: name one by --source")
    chosen = found.values()
    kinds = sorted({(score.better, score.unit) for score in chosen})
    if len(kinds) > 1:
        told = " and ".join(f"better {better}{f' in {unit}' if unit else ''}" for better, unit in kinds)
        raise UsageError(f"scores of {name} differ in what they are ({told}): name one kind by --source or --dataset")
    ((better, unit),) = kinds
    sources = tuple(sorted({score.source for score in chosen}))
    read_as, turned = _read(name, better, reading)
    whole = "100" if unit == "%" else "1"
    column = ScoreColumn(f"{whole} - {name}" if turned else name, read_as, unit, sources)
    return column, [
        ScoredModel(at, dataset, _complement(score) if turned else score.value)
        for (at, dataset), score in sorted(found.items(), key=itemgetter(0))
    ]


def _read(name: str, better: str, reading: Reading) -> tuple[str, bool]:
    """Return the direction of a score as it is read, and whether it is the complement of what was reported.

    Raises:
        UsageError: It has no direction.
    """
    if reading == "reported":
        return better, False
    if better == "none":
        raise UsageError(f"{name} has no direction: it can be read as it is reported only")
    wanted = "lower" if reading == "error" else "higher"
    return wanted, better != wanted


def _complement(score: StoredScore) -> float:
    """Return the accuracy of an error, or the error of an accuracy.

    Raises:
        UsageError: It is neither a percentage nor a fraction.
    """
    whole = 100.0 if score.unit == "%" else 1.0
    if score.unit not in {"", "%"} or not 0 <= score.value <= whole:
        raise UsageError(
            f"{score.name} of {score.model} is {score.value:g}{f' {score.unit}' if score.unit else ''}: only a "
            "percentage (unit %) or a fraction (no unit) can be read as error or accuracy"
        )
    return whole - score.value
