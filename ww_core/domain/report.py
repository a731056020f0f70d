"""What an analysis answers: the same content from Python, as JSON and as tables."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ww_core.domain.outcome import Outcome, State

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd


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
        message: One sentence with the cause.
    """

    stage: str
    plugin: str
    subject: str
    message: str


@dataclass(frozen=True, slots=True)
class RunInfo:
    """The run that a report shows: ``done``, or ``interrupted``. ``computed`` and ``reused`` count spectra."""

    id: int
    profile: str
    state: str
    computed: int
    reused: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Coverage:
    """How much of the checkpoint was analysed.

    Attributes:
        parameters: Numbers in all tensors, skipped ones too.
        parameters_analyzed: Numbers in weights that have a spectrum.
        analyzed: Layers with a spectrum.
        statistics_only: Layers with metrics of the whole layer and no spectrum.
        skipped: Layers without either.
        failed: Layers of which an exception or an interruption left nothing.
        reasons: Every layer or tensor without a spectrum, with the reason.
    """

    parameters: int
    parameters_analyzed: int
    analyzed: int
    statistics_only: int
    skipped: int
    failed: int
    reasons: tuple[Skip, ...]


@dataclass(frozen=True, slots=True)
class MatrixRow:
    """One matrix of one layer, with its metrics. N >= M are the sides of an entry."""

    name: str
    kind: str
    shape: tuple[int, ...]
    groups: int
    extractor: str
    index: int
    N: int
    M: int
    metrics: Mapping[str, Outcome]

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
    """A column over the matrices that have a value, how many they are, and how many have none."""

    mean: float | None
    median: float | None
    min: float | None
    max: float | None
    count: int
    missing: int

    def numbers(self) -> dict[str, float | None]:
        """The aggregates by name, without the counts."""
        return {"mean": self.mean, "median": self.median, "min": self.min, "max": self.max}


@dataclass(frozen=True, slots=True)
class AnalysisReport:
    """All that one analysis says. ``to_dict`` is what ``--json`` prints; ``headline`` names its table's columns."""

    source: str
    model: str
    version: str
    digest: str
    run: RunInfo
    coverage: Coverage
    layers: tuple[MatrixRow, ...]
    layer_metrics: tuple[LayerRow, ...]
    model_metrics: Mapping[str, Outcome]
    summary: Mapping[str, Aggregate]
    headline: tuple[str, ...]
    failures: tuple[Failure, ...] = ()
    warnings: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return plain dicts, lists, numbers and texts. What is not a finite number is None; its state says why."""
        cover = self.coverage
        model_metrics, model_states = _values_and_states(self.model_metrics)
        return {
            "source": self.source,
            "model": self.model,
            "version": self.version,
            "digest": self.digest,
            "run": dataclasses.asdict(self.run),
            "coverage": {
                "parameters": cover.parameters,
                "parameters_analyzed": cover.parameters_analyzed,
                "layers": {
                    "analyzed": cover.analyzed,
                    "statistics_only": cover.statistics_only,
                    "skipped": cover.skipped,
                    "failed": cover.failed,
                },
                "skipped": [{"name": skip.name, "reason": skip.reason} for skip in cover.reasons],
            },
            "layers": [_matrix_row(row) for row in self.layers],
            "layer_metrics": [_layer_row(row) for row in self.layer_metrics],
            "model_metrics": model_metrics,
            "model_states": model_states,
            "summary": {name: dataclasses.asdict(aggregate) for name, aggregate in self.summary.items()},
            "failures": [dataclasses.asdict(failure) for failure in self.failures],
            "warnings": list(self.warnings),
        }

    def incomplete_columns(self, *, provisional: bool) -> set[str]:
        """Return the labels of columns of which something is missing that a complete analysis would hold.

        That is all of them for a checkpoint that is ``provisional``, because a layer that could not be read is missing
        from every column; else those of which an exception or an interruption took a value.
        """
        if provisional:
            return set(self.summary)
        return {label for row in self.layers for label, own in row.metrics.items() if own.state is State.FAILED}

    def rows(self) -> list[dict[str, Any]]:
        """Return one flat dict per matrix: its place, then its metrics. What has no value is None."""
        return [
            {
                "layer": row.name,
                "kind": row.kind,
                "shape": "x".join(map(str, row.shape)),
                "groups": row.groups,
                "extractor": row.extractor,
                "index": row.index,
                "N": row.N,
                "M": row.M,
                "Q": row.Q,
                **{name: outcome.value for name, outcome in row.metrics.items()},
            }
            for row in self.layers
        ]

    def to_pandas(self) -> pd.DataFrame:
        """Return ``rows()`` as a data frame. Needs the extra ``pandas``.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        try:
            import pandas as pd
        except ImportError:
            from ww_core.errors import MissingExtraError

            raise MissingExtraError("pandas is not installed: pip install 'ww-core[pandas]'") from None
        return pd.DataFrame(self.rows())


def _matrix_row(row: MatrixRow) -> dict[str, Any]:
    metrics, states = _values_and_states(row.metrics)
    return {
        "name": row.name,
        "kind": row.kind,
        "shape": list(row.shape),
        "groups": row.groups,
        "extractor": row.extractor,
        "index": row.index,
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
