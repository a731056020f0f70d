"""What the extractors will make of the layers, told from headers alone."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from ww_core.compute.cost import Cost, CostModel
from ww_core.contracts.extractor import MatrixPlan
from ww_core.domain.column import Scope
from ww_core.domain.report import Failure
from ww_core.domain.subject import LayerSubject, MatrixSubject
from ww_core.errors import NotApplicable, NoValue
from ww_core.plugins.isolation import all_but_interrupts, reason_of, sentence_of

if TYPE_CHECKING:
    from ww_core.compute.memory import Memory
    from ww_core.domain.layer import Layer
    from ww_core.plugins.selection import ExtractorVariant, Selection


MOST_MATRICES = 2**17
"""Matrices of one layer: each is a subject with a row for each of its values, and takes about a millisecond."""


@dataclass(frozen=True, slots=True, eq=False)
class PlannedMatrices:
    """What one extractor variant will make of a layer, with the subjects by index."""

    variant: ExtractorVariant
    plan: MatrixPlan
    subjects: tuple[MatrixSubject, ...]


@dataclass(slots=True, eq=False)
class PlannedLayer:
    """A selected layer: its content, its matrices by variant, and why a variant makes none.

    ``subject`` is None where a tensor could not be read. ``primary`` are the matrices that summaries and model metrics
    speak of: those of the first variant, so that nothing of another one gets into a mean; None where it makes none.
    """

    layer: Layer
    subject: LayerSubject | None
    matrices: list[PlannedMatrices] = field(default_factory=list)
    reasons: list[tuple[ExtractorVariant, str]] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    primary: PlannedMatrices | None = None

    def in_context(self, subject: MatrixSubject) -> MatrixSubject:
        """Return a matrix of this layer as it stands in it."""
        return replace(subject, context=self.subject.digest if self.subject else "")


def plan_layers(
    layers: Sequence[Layer], selection: Selection, contents: Mapping[str, LayerSubject], memory: Memory
) -> list[PlannedLayer]:
    """Plan every layer from its header and its content, by name; nothing is planned of what could not be read.

    Once all matrices together are more objects than memory has room for, no more are planned.
    """
    planned, costs, count = [], CostModel.of(selection.nodes), 0
    with_matrices = bool(selection.wanted(Scope.MATRIX))
    for layer in layers:
        subject = contents.get(layer.name)
        own = PlannedLayer(layer, subject)
        planned.append(own)
        if subject is None or not with_matrices:
            continue
        for place, variant in enumerate(selection.extractors[layer.kind]):
            plan = plan_of(layer, variant)
            if not isinstance(plan, NoPlan):
                total = Cost(costs.objects(count + plan.matrices), 0, 0)
                if excess := total.excess(memory):
                    plan = _failed(layer, variant, f"with {plan.matrices} more matrices, {excess}")
                else:
                    count += plan.matrices
            if isinstance(plan, NoPlan):
                own.reasons.append((variant, plan.reason))
                own.failures += [plan.failure] if plan.failure else []
            else:
                made = (_matrix_subject(layer, subject, variant, plan, index) for index in range(plan.matrices))
                own.matrices.append(PlannedMatrices(variant, plan, tuple(made)))
                if place == 0:
                    own.primary = own.matrices[0]
    return planned


@dataclass(frozen=True, slots=True)
class NoPlan:
    """Why a variant makes nothing of a layer, with the failure if it was an exception."""

    reason: str
    failure: Failure | None = None


def plan_of(layer: Layer, variant: ExtractorVariant) -> MatrixPlan | NoPlan:
    """Return what a variant will make of a layer, whatever its extractor raises."""
    try:
        return _checked(variant.extractor.plan(layer))
    except NoValue as missing:
        return NoPlan(reason_of(missing))
    except all_but_interrupts() as error:
        return _failed(layer, variant, sentence_of(error, variant.extractor))


def _failed(layer: Layer, variant: ExtractorVariant, sentence: str) -> NoPlan:
    reason = f"extractor {variant.label} failed: {sentence}"
    return NoPlan(reason, Failure("extract", variant.qualified, layer.name, sentence))


def _checked(plan: object) -> MatrixPlan:
    if not isinstance(plan, MatrixPlan):
        raise TypeError(f"plan must return a MatrixPlan, not {type(plan).__name__}")
    counts = (plan.matrices, plan.entries, plan.rows, plan.cols)
    if min(counts) < 1:
        raise NotApplicable("it makes no matrix of this layer")
    if plan.matrices > MOST_MATRICES:
        raise ValueError(f"it promises {plan.matrices} matrices of one layer, and {MOST_MATRICES} are the most")
    if plan.multiplicities is not None and (len(plan.multiplicities) != plan.entries or min(plan.multiplicities) < 1):
        raise ValueError(f"multiplicities must be {plan.entries} whole numbers from 1 on, one for each entry")
    if min(plan.making_bytes, plan.making_operations) < 0:
        raise ValueError("making_bytes and making_operations are counts from 0 on")
    if not 0.0 < plan.scale < math.inf:
        raise ValueError(f"scale must be a positive number, not {plan.scale!r}")
    if not 0.0 < plan.gain < math.inf:
        raise ValueError(f"gain must be a positive number, not {plan.gain!r}")
    return plan


def _matrix_subject(
    layer: Layer, content: LayerSubject, variant: ExtractorVariant, plan: MatrixPlan, index: int
) -> MatrixSubject:
    return MatrixSubject(
        tensor=content.weight,
        groups=layer.groups,
        split=layer.split,
        extractor=variant.identity,
        index=index,
        rows=plan.rows,
        cols=plan.cols,
        entries=plan.entries,
        rounding=content.rounding,
    )
