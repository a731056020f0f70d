"""Work for one layer, and what comes of it. Both are plain data: they may travel to another process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ww_core.domain.layer import Layer
from ww_core.domain.outcome import Outcome
from ww_core.domain.report import Failure
from ww_core.domain.spectrum import Spectrum
from ww_core.domain.subject import LayerSubject, MatrixSubject

if TYPE_CHECKING:
    from ww_core.contracts.extractor import MatrixPlan

Known = Mapping[str, Mapping[str, Outcome]]
"""Outcomes that are stored already, by qualified name of the metric and column."""


@dataclass(frozen=True, slots=True)
class MatrixTask:
    """A matrix of which something is missing.

    Attributes:
        plan: What its extractor promised of it.
        subject: The matrix.
        in_context: The same matrix in its layer, for metrics that depend on more of it than the weight.
        missing: Qualified names of the metrics to compute.
        known: What is stored.
        spectra: Those of its spectra that are stored and may be needed.
    """

    plan: MatrixPlan
    subject: MatrixSubject
    in_context: MatrixSubject
    missing: tuple[str, ...]
    known: Known
    spectra: tuple[Spectrum, ...] = ()


@dataclass(frozen=True, slots=True)
class LayerTask:
    """A layer of which something is missing.

    Attributes:
        layer: The layer.
        subject: Its content.
        stamps: Stamps of its tensors, by name, under which they were digested.
        missing: Qualified names of the layer metrics to compute.
        known: What is stored of the layer.
        matrices: Its matrices of which something is missing, by extractor and index.
        cost: Floating-point operations, roughly.
    """

    layer: Layer
    subject: LayerSubject
    stamps: Mapping[str, str]
    missing: tuple[str, ...]
    known: Known
    matrices: tuple[MatrixTask, ...]
    cost: float

    @property
    def nbytes(self) -> int:
        """Bytes of its tensors, at most."""
        return 8 * self.layer.size


@dataclass(frozen=True, slots=True, eq=False)
class MatrixResult:
    """What was computed of one matrix: spectra made, and outcomes by qualified name."""

    subject: MatrixSubject
    in_context: MatrixSubject
    spectra: tuple[Spectrum, ...]
    attempted: bool
    outcomes: Mapping[str, Mapping[str, Outcome]]


@dataclass(slots=True, eq=False)
class LayerResult:
    """What was computed of one layer and its matrices, and what was lost."""

    task: LayerTask
    outcomes: dict[str, Mapping[str, Outcome]] = field(default_factory=dict)
    matrices: list[MatrixResult] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
