"""What an analysis answers: the same content from Python, as JSON and as tables."""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

from ww_core.domain.outcome import Outcome, State
from ww_core.errors import NotStoredError

if TYPE_CHECKING:
    import pandas as pd

    from ww_core.domain.control import ControlInfo
    from ww_core.domain.layer_spectrum import LayerSpectrum
    from ww_core.domain.run import LayerCoverage


@dataclass(frozen=True, slots=True)
class Skip:
    """Something that was not analysed, and why."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Failure:
    """Something that was lost to an exception or could not be loaded.

    Attributes:
        stage: Where: ``read``, ``extract``, ``input``, ``metric``, ``execute``, ``observer``.
        plugin: Name of the plugin.
        subject: Layer, matrix or object that it happened to.
        message: One sentence with the cause, which ends in the file and line of the plugin that raised it.
    """

    stage: str
    plugin: str
    subject: str
    message: str

    def __str__(self) -> str:
        return f"{self.subject} ({self.stage}, {self.plugin}): {self.message}"


@dataclass(frozen=True, slots=True)
class RunInfo:
    """The run that a report shows: ``done``, or ``interrupted``. ``computed`` and ``reused`` count spectra.

    ``control`` says which control of a network was analysed; None if it was the network itself.
    """

    id: int
    profile: str
    state: str
    computed: int
    reused: int
    seconds: float
    control: ControlInfo | None = None


@dataclass(frozen=True, slots=True)
class ReportColumn:
    """What a column of a report is: rows of two reports are joined by its variant, never by its name.

    Attributes:
        name: Label it is shown by.
        scope: What its rows speak of: ``matrix``, ``layer``, ``model``.
        metric: Permanent key of the metric, ``plugin:name``.
        version: Version of the metric.
        variant: Digest of the column of the metric's identity over the matrices of the chosen extractors.
        type: ``float``, ``int``, ``bool`` or ``text``.
        better: Which direction is better: ``lower``, ``higher``, ``none``.
        unit: Unit or log base; empty for none.
        identity: Digest of the metric's identity: key, version, parameters and the same of all it needs.
        column: Permanent key of the column in the metric.
        standard_error: Name of the column of this report that holds its standard error; empty for none.
        doubts: Of a column of yes or no, names of the columns whose numbers are not to be trusted where it holds, as
            ``"A,B"``; empty for none.
    """

    name: str
    scope: str
    metric: str
    version: str
    variant: str
    type: str
    better: str
    unit: str
    identity: str
    column: str
    standard_error: str = ""
    doubts: str = ""


@dataclass(frozen=True, slots=True)
class Coverage:
    """How much of the checkpoint was analysed.

    Attributes:
        parameters: Numbers in all tensors, skipped ones too.
        parameters_analyzed: Numbers in weights that have a spectrum.
        analyzed: Layers with a spectrum.
        refused: Layers that were analysed, and of which every value was refused, as of a weight that is NaN.
        statistics_only: Layers with metrics of the whole layer and no spectrum.
        skipped: Layers without either.
        failed: Layers of which an exception or an interruption left nothing.
        unread: Those of them that could not be read at all.
        reasons: Every layer or tensor without a spectrum, with the reason.
    """

    parameters: int
    parameters_analyzed: int
    analyzed: int
    refused: int
    statistics_only: int
    skipped: int
    failed: int
    unread: int
    reasons: tuple[Skip, ...]


@dataclass(frozen=True, slots=True)
class MatrixRow:
    """One matrix of one layer, with its metrics. N >= M are the sides of an entry.

    ``extractor`` is the label of the variant that made it, and ``extractor_identity`` tells it from others of the name.
    ``split`` is the rule by which the weight was cut. ``is_primary``: means and model metrics are about this matrix.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    groups: int
    split: str
    extractor: str
    extractor_identity: str
    index: int
    N: int
    M: int
    metrics: Mapping[str, Outcome]
    is_primary: bool = True

    @property
    def Q(self) -> float:  # noqa: N802 - the field's name
        """Aspect ratio N / M."""
        return self.N / self.M


@dataclass(frozen=True, slots=True)
class LayerRow:
    """Metrics of one whole layer."""

    name: str
    kind: str
    shape: tuple[int, ...]
    groups: int
    metrics: Mapping[str, Outcome]


@dataclass(frozen=True, slots=True)
class Aggregate:
    """A column over the rows of its scope that have a value, how many they are, and how many have none."""

    mean: float | None
    median: float | None
    min: float | None
    max: float | None
    count: int
    missing: int

    @classmethod
    def of(cls, outcomes: Sequence[Outcome]) -> Aggregate:
        """Aggregate the numbers of a column; what has no value is counted."""
        numbers = [float(outcome.number) for outcome in outcomes if outcome.number is not None]
        return cls.over(numbers, missing=len(outcomes) - len(numbers))

    @classmethod
    def over(cls, numbers: Sequence[float], missing: int = 0) -> Aggregate:
        """Aggregate numbers, beside which so many have no value."""
        ordered, count = sorted(numbers), len(numbers)
        return cls(
            # Divided before they are added, so that no sum overflows.
            mean=math.fsum(number / count for number in ordered) if ordered else None,
            median=ordered[count // 2] / 2 + ordered[(count - 1) // 2] / 2 if ordered else None,
            min=ordered[0] if ordered else None,
            max=ordered[-1] if ordered else None,
            count=count,
            missing=missing,
        )

    def numbers(self) -> dict[str, float | None]:
        """The aggregates by name, without the counts."""
        return {"mean": self.mean, "median": self.median, "min": self.min, "max": self.max}


RowScope = Literal["matrix", "layer", "model"]
"""What the rows of a table speak of."""

PLACES: Mapping[RowScope, tuple[str, ...]] = {
    "matrix": ("layer", "kind", "shape", "groups", "extractor", "index", "N", "M", "Q"),
    "layer": ("layer", "kind", "shape", "groups"),
    "model": ("model", "version", "digest"),
}
"""What a row says of its place, before its metrics."""


class ReportStore(Protocol):
    """What reads there where a report is stored, by the number of its run."""

    def spectrum(self, run: int, layer: str, extractor: str | None) -> LayerSpectrum:
        """Return the spectra of a layer; of None, by the extractor that summaries speak of."""
        ...

    def layer_coverage(self, run: int) -> list[LayerCoverage]:
        """List what the run made of each layer by each extractor."""
        ...


@dataclass(frozen=True, slots=True)
class AnalysisReport:
    """All that one analysis says. ``to_dict`` is what ``--json`` prints; ``headline`` names its tables' columns.

    ``chosen_layers`` are the globs that chose layers, none for all; ``provisional`` tells that some tensor could not be
    read, so that the digest is not that of all the weights; ``store`` is where it is stored, and ``stored`` what reads
    spectra and coverage there.
    """

    source: str
    model: str
    version: str
    digest: str
    run: RunInfo
    coverage: Coverage
    columns: tuple[ReportColumn, ...]
    layers: tuple[MatrixRow, ...]
    layer_metrics: tuple[LayerRow, ...]
    model_metrics: Mapping[str, Outcome]
    summary: Mapping[str, Aggregate]
    headline: tuple[str, ...]
    failures: tuple[Failure, ...] = ()
    warnings: tuple[str, ...] = ()
    chosen_layers: tuple[str, ...] = ()
    provisional: bool = False
    store: str = ""
    stored: ReportStore | None = field(default=None, repr=False, compare=False)

    def __repr__(self) -> str:
        """Say in at most 15 lines what was analysed, with the means of the headline; for a notebook."""
        from ww_core.domain.report_in_short import lines_of

        return lines_of(self)

    def flat(self, prefix: str = "ww") -> dict[str, float]:
        """Return the finite numbers by names such as ``ww/conv2/alpha``: what loggers of a training take.

        No two numbers have one name, because no label of a column has a slash:

        - ``ww/LAYER/COLUMN`` is a number of a layer, or of its matrix by the extractor that summaries speak of;
        - ``ww/LAYER/COLUMN[3]`` is one of its matrix 3, where that extractor makes several;
        - ``ww/COLUMN`` is the number of the whole model: of a column of layers or matrices the mean, as in ``summary``.

        Args:
            prefix: What all names begin with, before a slash; empty for neither.
        """
        from ww_core.domain.report_in_short import numbers_of

        return numbers_of(self, prefix)

    def to_dict(self) -> dict[str, Any]:
        """Return plain dicts, lists, numbers and texts. What is not a finite number is None; its state says why."""
        cover = self.coverage
        model_metrics, model_states = _values_and_states(self.model_metrics)
        return {
            "source": self.source,
            "store": self.store,
            "model": self.model,
            "version": self.version,
            "digest": self.digest,
            "provisional": self.provisional,
            "run": dataclasses.asdict(self.run),
            "coverage": {
                "parameters": cover.parameters,
                "parameters_analyzed": cover.parameters_analyzed,
                "refused": cover.refused,
                "layers": {
                    "analyzed": cover.analyzed,
                    "statistics_only": cover.statistics_only,
                    "skipped": cover.skipped,
                    "failed": cover.failed,
                    "unread": cover.unread,
                },
                "skipped": [{"name": skip.name, "reason": skip.reason} for skip in cover.reasons],
            },
            "chosen_layers": list(self.chosen_layers),
            "columns": [dataclasses.asdict(column) for column in self.columns],
            "headline": list(self.headline),
            "layers": [_matrix_row(row) for row in self.layers],
            "layer_metrics": [_layer_row(row) for row in self.layer_metrics],
            "model_metrics": model_metrics,
            "model_states": model_states,
            "summary": {name: dataclasses.asdict(aggregate) for name, aggregate in self.summary.items()},
            "failures": [dataclasses.asdict(failure) for failure in self.failures],
            "warnings": list(self.warnings),
        }

    @classmethod
    def from_dict(cls, content: object) -> AnalysisReport:
        """Return the report of which `to_dict` made this content, as JSON keeps it; it has no store to ask.

        Raises:
            CorruptFileError: It is no such content; the message names the field.
        """
        from ww_core.domain.report_content import report_from

        return report_from(content)

    def incomplete_columns(self) -> set[str]:
        """Return the labels of columns of which something is missing that a complete analysis would hold.

        That is all of them where a layer could not be read, because it is missing from every column; else those of
        which an exception or an interruption took a value.
        """
        if self.coverage.unread:
            return set(self.summary)
        every_row = [
            *(row.metrics for row in self.layers),
            *(row.metrics for row in self.layer_metrics),
            self.model_metrics,
        ]
        return {label for row in every_row for label, outcome in row.items() if outcome.state is State.FAILED}

    def partial_columns(self) -> set[str]:
        """Return the labels of columns that are not all there: `incomplete_columns`, or all if the run did not end."""
        if self.run.state != "done" or self.coverage.unread:
            return {column.name for column in self.columns}
        return self.incomplete_columns()

    def labels(self, scope: RowScope) -> list[str]:
        """Return the labels of the columns of a scope, in order."""
        return [column.name for column in self.columns if column.scope == scope]

    def rows(self, scope: RowScope = "matrix") -> list[dict[str, Any]]:
        """Return one flat dict per matrix, layer or model: its place, then its metrics. What has no value is None.

        There is none where no metric of the scope was selected.
        """
        if not self.labels(scope):
            return []
        rows: Mapping[RowScope, Sequence[tuple[tuple[Any, ...], Mapping[str, Outcome]]]] = {
            "matrix": [
                ((*_place(row), row.extractor, row.index, row.N, row.M, row.Q), row.metrics) for row in self.layers
            ],
            "layer": [(_place(row), row.metrics) for row in self.layer_metrics],
            "model": [((self.model, self.version, self.digest), self.model_metrics)],
        }
        return [
            dict(zip(PLACES[scope], place, strict=True)) | {name: outcome.value for name, outcome in metrics.items()}
            for place, metrics in rows[scope]
        ]

    def why_no_rows(self, scope: RowScope) -> str:
        """Say why there is no row of a scope, and what to do; empty if there are rows."""
        if self.rows(scope):
            return ""
        others = [other for other in PLACES if self.labels(other)]
        if not self.labels(scope) and others:
            return (
                f"no metric of scope {scope} was selected, and so there is no row: choose --scope {' or '.join(others)}"
            )
        return f"nothing was analysed in scope {scope}, and so there is no row: `coverage` says why"

    def to_pandas(self, scope: RowScope = "matrix") -> pd.DataFrame:
        """Return ``rows(scope)`` as a data frame; where there is none, a warning says why. Needs the extra ``pandas``.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        from ww_core.domain.frames import data_frame

        if sentence := self.why_no_rows(scope):
            warnings.warn(sentence, stacklevel=2)
        return data_frame(self.rows(scope), [*PLACES[scope], *self.labels(scope)])

    def spectrum(self, layer: str, extractor: str | None = None) -> LayerSpectrum:
        """Return the spectra of a layer that this analysis made or found, from where it is stored.

        Args:
            layer: Name of the layer.
            extractor: Label of the extractor variant; None for the one that summaries speak of.

        Raises:
            UnknownNameError: There is no such layer, or it was not analysed by this extractor.
            NotStoredError: There are no spectra: the layer has none, or they were not kept.
            StoreError: The store is gone, or cannot be read.
        """
        return self._store().spectrum(self.run.id, layer, extractor)

    def layer_coverage(self) -> list[LayerCoverage]:
        """List what the run of this report made of each layer by each extractor, from where it is stored.

        Returns:
            One for each layer and extractor, in the order of the layers.

        Raises:
            NotStoredError: The run is gone, or the report came without its store, as from another process.
            StoreError: The store is gone, or cannot be read.
        """
        return self._store().layer_coverage(self.run.id)

    def _store(self) -> ReportStore:
        if self.stored is None:
            raise NotStoredError("this report has no open store: open the store that it names, and use that")
        return self.stored


def _place(row: MatrixRow | LayerRow) -> tuple[Any, ...]:
    return row.name, row.kind, "x".join(map(str, row.shape)), row.groups


def _matrix_row(row: MatrixRow) -> dict[str, Any]:
    metrics, states = _values_and_states(row.metrics)
    return {
        "name": row.name,
        "kind": row.kind,
        "shape": list(row.shape),
        "groups": row.groups,
        "split": row.split,
        "extractor": row.extractor,
        "extractor_identity": row.extractor_identity,
        "index": row.index,
        "is_primary": row.is_primary,
        "N": row.N,
        "M": row.M,
        "Q": row.Q,
        "metrics": metrics,
        "states": states,
    }


def _layer_row(row: LayerRow) -> dict[str, Any]:
    metrics, states = _values_and_states(row.metrics)
    return {
        "name": row.name,
        "kind": row.kind,
        "shape": list(row.shape),
        "groups": row.groups,
        "metrics": metrics,
        "states": states,
    }


def _values_and_states(outcomes: Mapping[str, Outcome]) -> tuple[dict[str, Any], dict[str, str]]:
    values = {name: outcome.value for name, outcome in outcomes.items()}
    return values, {name: outcome.explain() for name, outcome in outcomes.items() if not outcome.is_ok}
