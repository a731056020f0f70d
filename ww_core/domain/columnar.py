"""Values of many versions, column by column: what programs that learn from a store take."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from ww_core.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd


@dataclass(frozen=True, slots=True, eq=False)
class ValueTable:
    """Values of some columns, one row for each place of each version. All arrays have one entry per row.

    Models come by name, versions in their order, places as in a report.

    Attributes:
        places: Texts and numbers that say what a row speaks of: ``model``, ``version``, ``digest``, and by the scope
            ``layer``, ``extractor`` and ``matrix_index``.
        numbers: Columns of numbers by label, float64; of a bool 0 or 1; NaN where there is no number: ``states`` says
            why.
        texts: Columns of texts by label; None where there is none.
        variants: By label, the digest of the variant, which tells one version of a metric from another; None where the
            analysis lacks the column.
        states: By label: ``ok``, ``nan``, ``inf``, ``-inf``, ``not_applicable``, ``refused``, and ``missing`` for what
            is not stored.
    """

    places: Mapping[str, npt.NDArray[Any]]
    numbers: Mapping[str, npt.NDArray[np.float64]]
    texts: Mapping[str, npt.NDArray[Any]]
    variants: Mapping[str, npt.NDArray[Any]]
    states: Mapping[str, npt.NDArray[Any]]

    def __len__(self) -> int:
        return len(self.places["model"])

    def to_pandas(self) -> pd.DataFrame:
        """Return places and columns as a data frame. Needs the extra ``pandas``.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        from ww_core.domain.frames import data_frame

        both = {
            label: [number if text is None else text for number, text in zip(self.numbers[label], own, strict=True)]
            for label, own in self.texts.items()
            if label in self.numbers
        }
        return data_frame({**self.places, **self.numbers, **self.texts, **both})

    def mixed(self) -> list[str]:
        """Return the labels under which not all rows have the same variant, so that they must not be compared."""
        return [label for label, own in self.variants.items() if len(set(own) - {None}) > 1]


@dataclass(frozen=True, slots=True, eq=False)
class FeatureTable:
    """One row of numbers for each version, such as a predictor learns from.

    Attributes:
        models: Names of the models, shape (n,).
        versions: Their versions, shape (n,).
        digests: Content addresses of the checkpoints, shape (n,).
        names: Names of the features: the label of a column, after the layer and, where a layer has several matrices,
            extractor and index: ``conv1.alpha``, ``conv1.slice[3].alpha``. Shape (m,).
        values: Shape (n, m), float64; NaN where a version has no such number.
    """

    models: npt.NDArray[Any]
    versions: npt.NDArray[Any]
    digests: npt.NDArray[Any]
    names: tuple[str, ...]
    values: npt.NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.models)

    def to_pandas(self) -> pd.DataFrame:
        """Return a data frame with a column for each feature. Needs the extra ``pandas``.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        from ww_core.domain.frames import data_frame

        own = {"model": self.models, "version": self.versions, "digest": self.digests}
        return data_frame(own | {name: self.values[:, place] for place, name in enumerate(self.names)})


class StoredScore(NamedTuple):
    """A number that somebody reported about a version of a model, or about a reported one.

    Attributes:
        model: Name of the model; None for weights whose names are gone.
        version: Its version; None for none.
        digest: Content address of the checkpoint; None for what has no weights here.
        name: What was reported, such as ``top1_error``.
        dataset: The dataset.
        value: The number.
        low: Lower end of the interval reported with it; None for none.
        high: Upper end of the interval.
        unit: Its unit.
        better: ``lower``, ``higher`` or ``none``.
        source: Who says so.
    """

    model: str | None
    version: str | None
    digest: str | None
    name: str
    dataset: str
    value: float
    low: float | None
    high: float | None
    unit: str
    better: str
    source: str


class ReplacedScore(NamedTuple):
    """What a score was before it was corrected.

    Attributes:
        score: The score as it was.
        stored_at: When it had been stored.
        replaced_at: When it was corrected.
    """

    score: StoredScore
    stored_at: str
    replaced_at: str


@dataclass(frozen=True, slots=True)
class ScoreTable:
    """Reported scores, by model, version and name.

    Attributes:
        scores: The scores as they are.
        replaced: What those that were corrected had been, the oldest first.
    """

    scores: tuple[StoredScore, ...]
    replaced: tuple[ReplacedScore, ...] = ()

    def __len__(self) -> int:
        return len(self.scores)

    def __iter__(self) -> Iterator[StoredScore]:
        return iter(self.scores)

    def to_pandas(self) -> pd.DataFrame:
        """Return a data frame with a row for each score. Needs the extra ``pandas``.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        from ww_core.domain.frames import data_frame

        return data_frame([own._asdict() for own in self.scores], StoredScore._fields)


def features_of(table: ValueTable) -> FeatureTable:
    """Lay the numbers of each version side by side.

    Raises:
        UsageError: The rows of a column are not of one variant: what is not comparable makes no feature.
    """
    import numpy as np

    if mixed := table.mixed():
        raise UsageError(
            f"{', '.join(mixed)}: not all versions have the same variant of it: `ww backfill` brings older ones up to "
            "date, or choose models whose variants are one"
        )
    places = table.places
    versions, row_of = _numbered(zip(places["model"], places["version"], places["digest"], strict=True))
    parts = [places[name] for name in ("layer", "extractor", "matrix_index") if name in places]
    found, place_of = _numbered(zip(*parts, strict=True) if parts else [()] * len(table))
    layers = _names(found)
    labels = list(table.numbers)
    values = np.full((len(versions), len(found), len(labels)), np.nan)
    for column, label in enumerate(labels):
        values[row_of, place_of, column] = table.numbers[label]
    models, names, digests = (np.array([own[at] for own in versions], dtype=object) for at in range(3))
    features = tuple(f"{layer}{label}" for layer in layers for label in labels)
    return FeatureTable(models, names, digests, features, values.reshape(len(versions), len(features)))


def _numbered(items: Any) -> tuple[list[Any], list[int]]:
    """Return the different items in their order, and for each item the place of its like."""
    number: dict[Any, int] = {}
    places = [number.setdefault(item, len(number)) for item in items]
    return list(number), places


def _names(places: Sequence[tuple[Any, ...]]) -> list[str]:
    """Name places by their layers, and as fully as it takes to tell them apart."""
    several = Counter(place[0] for place in places if place)
    short = [f"{place[0]}." if place else "" for place in places]
    names = [_full(place) if place and several[place[0]] > 1 else own for place, own in zip(places, short, strict=True)]
    clashes = Counter(names)
    return [_full(place) if clashes[own] > 1 else own for place, own in zip(places, names, strict=True)]


def _full(place: tuple[Any, ...]) -> str:
    return f"{place[0]}.{place[1]}[{place[2]}]." if len(place) > 1 else f"{place[0]}."
