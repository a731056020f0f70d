"""What columns come to over many models, and which models and rows are meant."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, NamedTuple

from ww_core.domain.control import MARK
from ww_core.domain.expressions.arithmetic import Summary, evaluate, holds, summaries_of
from ww_core.domain.globs import matches
from ww_core.errors import NotApplicable, NoValue, UnknownNameError, UsageError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from ww_core.domain.expressions.arithmetic import Comparison, Expression

    Numbers = npt.NDArray[np.float64]
    Counts = npt.NDArray[np.int64]

Over = Literal["matrices", "layers"]
"""What a mean is taken over: all matrices, or layers, each of which counts once with the mean of its matrices."""


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """Which models are meant.

    Attributes:
        models: Globs of names; empty for all.
        without: Globs of names that are left out.
        series: Names of series of which a model must be a member; empty for any.
    """

    models: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    series: tuple[str, ...] = ()

    def check(self, names: Iterable[str], series: Iterable[str]) -> None:
        """Raise unless every glob fits a name and every series is there.

        Raises:
            UnknownNameError: One does not.
        """
        known, families = list(names), set(series)
        for own in self.series:
            if own not in families:
                raise UnknownNameError("series", own, families, "ww series list")
        for glob in (*self.models, *self.without):
            if not any(matches(name, glob) for name in known):
                raise UnknownNameError("model", glob, known, "ww show")

    def names_control(self, model: str) -> bool:
        """Whether a control is meant though a network would be, too: by its name, or by a glob with its mark."""
        return any(glob == model or (MARK in glob and matches(model, glob)) for glob in self.models)

    def keeps(self, model: str, series: Sequence[str]) -> bool:
        """Whether a model is meant."""
        return (
            (not self.models or any(matches(model, glob) for glob in self.models))
            and not any(matches(model, glob) for glob in self.without)
            and (not self.series or not set(self.series).isdisjoint(series))
        )


@dataclass(frozen=True, slots=True)
class RowChoice:
    """Which rows of a model a column is taken over.

    Attributes:
        layers: Globs of names of layers; empty for all.
        without: Globs of names of layers that are left out.
        leave_out: Label of a bool column: rows of which it holds are left out; empty for none.
        min_m: Smallest M, the smaller side of a matrix, that counts.
        over: What means are taken over.
    """

    layers: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    leave_out: str = ""
    min_m: int = 0
    over: Over = "matrices"

    @property
    def is_everything(self) -> bool:
        """Whether all rows count, each once."""
        return self == EVERY_ROW

    def check(self, layers: Collection[str]) -> None:
        """Raise unless every glob fits the name of a layer.

        Raises:
            UnknownNameError: One does not.
        """
        for glob in (*self.layers, *self.without):
            if not any(matches(name, glob) for name in layers):
                raise UnknownNameError("layer", glob, layers, "ww show MODEL")

    def keeps(self, layer: str) -> bool:
        """Whether the rows of a layer count, by its name."""
        return (not self.layers or any(matches(layer, glob) for glob in self.layers)) and not any(
            matches(layer, glob) for glob in self.without
        )


EVERY_MODEL = ModelChoice()
EVERY_ROW = RowChoice()


class ModelColumn(NamedTuple):
    """A column that models are asked for.

    Attributes:
        name: Label it is shown by.
        metric: Key of the metric or definition.
        metric_version: Its version.
        better: ``lower``, ``higher`` or ``none``.
        unit: Unit or log base.
        caveat: Why its plain mean does not rank models; empty if it does.
    """

    name: str
    metric: str
    metric_version: str
    better: str
    unit: str
    caveat: str


class ModelRow(NamedTuple):
    """A version of a model, stored or reported.

    Attributes:
        model: Name of the model.
        version: Its version; empty for none.
        digest: Content address of the checkpoint; empty for what has no weights here.
        series: Names of its series.
    """

    model: str
    version: str
    digest: str
    series: tuple[str, ...]

    @property
    def name(self) -> str:
        """``MODEL@VERSION``, or ``MODEL`` for no version."""
        return f"{self.model}@{self.version}" if self.version else self.model


@dataclass(frozen=True, slots=True, eq=False)
class Standing:
    """What one summary of a column comes to over each model. All arrays have one entry per model.

    Attributes:
        column: The column, as most of the models have it.
        values: Float64; NaN where there is none.
        present: How many values it is taken over.
        missing: How many of them are not there.
        reasons: Why there is no value; empty where there is one.
    """

    column: ModelColumn
    values: Numbers
    present: Counts
    missing: Counts
    reasons: tuple[str, ...]

    def at(self, places: Sequence[int]) -> Standing:
        """Return some of the models."""
        chosen = list(places)
        reasons = tuple(self.reasons[place] for place in chosen)
        return Standing(self.column, self.values[chosen], self.present[chosen], self.missing[chosen], reasons)


@dataclass(frozen=True, slots=True, eq=False)
class ModelValues:
    """What columns come to over models.

    Attributes:
        origin: Where the values are from: ``profile default``, or the table or provider that reports them.
        is_reported: Whether others report them.
        rows: The models, by name, versions in their order.
        standings: By summary, such as the mean of ``alpha``, what it comes to over each model.
    """

    origin: str
    is_reported: bool
    rows: tuple[ModelRow, ...]
    standings: Mapping[Summary, Standing]

    def __len__(self) -> int:
        return len(self.rows)

    def where(self, comparison: Comparison) -> ModelValues:
        """Return the models for which a comparison holds; one with no value on a side is left out."""
        kept = []
        for at, value_of in enumerate(self._lookups()):
            try:
                if holds(comparison, value_of):
                    kept.append(at)
            except NoValue:
                continue
        return self.at(kept)

    def at(self, places: Sequence[int]) -> ModelValues:
        """Return some of the models."""
        rows = tuple(self.rows[place] for place in places)
        return replace(self, rows=rows, standings={own: of.at(places) for own, of in self.standings.items()})

    def values_of(self, expression: Expression) -> tuple[Numbers, tuple[str, ...]]:
        """Return what an expression comes to over each model, NaN where it has no value, and why not."""
        import numpy as np

        if isinstance(expression, Summary):
            standing = self.standings[expression]
            return standing.values, standing.reasons
        values, reasons = np.full(len(self), np.nan), [""] * len(self)
        for at, value_of in enumerate(self._lookups()):
            try:
                values[at] = evaluate(expression, value_of)
            except NoValue as error:
                reasons[at] = str(error)
        return values, tuple(reasons)

    def caveat_of(self, expression: Expression) -> str:
        """Say why models are not ranked by an expression, if it is the plain mean of such a column; else empty."""
        column = self.column_of(expression)
        if column is None or not column.caveat or not isinstance(expression, Summary) or expression.aggregate != "mean":
            return ""
        return f"{column.name}: {column.caveat}"

    def column_of(self, expression: Expression) -> ModelColumn | None:
        """Return the column that an expression is, without arithmetic; None if it is more than that."""
        return self.standings[expression].column if isinstance(expression, Summary) else None

    def _lookups(self) -> Iterator[Callable[[Summary], float]]:
        for at in range(len(self)):

            def value_of(summary: Summary, at: int = at) -> float:
                standing = self.standings[summary]
                if standing.reasons[at]:
                    raise NotApplicable(f"{summary}: {standing.reasons[at]}")
                return float(standing.values[at])

            yield value_of


def summaries_asked(*expressions: Expression | Comparison) -> tuple[Summary, ...]:
    """Return the summaries that expressions name, each once.

    Raises:
        UsageError: One names no column.
    """
    found: dict[Summary, None] = {}
    for expression in expressions:
        own = list(summaries_of(expression))
        if not own:
            raise UsageError(f"{str(expression)!r} names no column")
        found |= dict.fromkeys(own)
    return tuple(found)
