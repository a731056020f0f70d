"""Describe a source: its layers and what an analysis would make of them, from headers alone."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from ww_core.compute.cost import CostModel
from ww_core.domain.globs import choose_layers
from ww_core.domain.layer import tied_by
from ww_core.domain.request import Request
from ww_core.planning.layers import NoPlan, plan_of
from ww_core.planning.records import skipped_tensors
from ww_core.planning.weights import parameters_of
from ww_core.plugins.discovery import load_plugins
from ww_core.plugins.selection import select
from ww_core.sources.asked_layers import asked_layers
from ww_core.sources.opening import close_checkpoint, find_source, open_checkpoint

if TYPE_CHECKING:
    from ww_core.domain.layer import Layer
    from ww_core.plugins.registry import Registry
    from ww_core.plugins.selection import ExtractorVariant


@dataclass(frozen=True, slots=True)
class MatrixDescription:
    """What one extractor would make of a layer; with a reason, nothing.

    ``matrices`` of ``entries`` (N x M) each; ``eigenvalues`` is the length of one spectrum, ``cost`` the floating-point
    operations of all matrices, roughly, and ``memory`` the bytes that one worker takes for them at once, at most.
    """

    extractor: str
    matrices: int = 0
    entries: int = 0
    N: int = 0
    M: int = 0
    eigenvalues: int = 0
    cost: int = 0
    memory: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class LayerDescription:
    """A layer. ``tied`` has the other names of its weight and its bias."""

    name: str
    kind: str
    dtype: str
    shape: tuple[int, ...]
    groups: int
    bias: bool
    tied: tuple[str, ...]
    matrices: tuple[MatrixDescription, ...]


@dataclass(frozen=True, slots=True)
class Description:
    """The layers of a source, and the tensors that are no layer's.

    ``parameters`` counts the numbers of all tensors, ``parameters_analyzed`` those in weights that get a spectrum.
    """

    source: str
    format: str
    parameters: int
    parameters_analyzed: int
    layers: tuple[LayerDescription, ...]
    skipped: tuple[tuple[str, str, tuple[int, ...], str], ...]
    warnings: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, as ``--json`` prints it."""
        return {
            "source": self.source,
            "format": self.format,
            "parameters": self.parameters,
            "parameters_analyzed": self.parameters_analyzed,
            "layers": [asdict(layer) for layer in self.layers],
            "skipped": [
                {"name": name, "dtype": dtype, "shape": list(shape), "reason": reason}
                for name, dtype, shape, reason in self.skipped
            ],
            "warnings": list(self.warnings),
        }

    def rows(self) -> list[dict[str, Any]]:
        """Return one flat dict per layer and extractor, then one per skipped tensor that is not tied to another."""
        rows = [
            {
                "layer": layer.name,
                "kind": layer.kind,
                "dtype": layer.dtype,
                "shape": "x".join(map(str, layer.shape)),
                "groups": layer.groups,
                "extractor": made.extractor,
                "matrices": made.matrices or None,
                "entries": made.entries or None,
                "N": made.N or None,
                "M": made.M or None,
                "eigenvalues": made.eigenvalues or None,
                "note": _note(made.reason, layer.tied if place == 0 else ()),
            }
            for layer in self.layers
            for place, made in enumerate(layer.matrices)
        ]
        others = _other_names((name, tied_by(reason)) for name, _, _, reason in self.skipped)
        rows += [
            {
                "layer": name,
                "dtype": dtype,
                "shape": "x".join(map(str, shape)),
                "note": _note(reason, others.get(name, ())),
            }
            for name, dtype, shape, reason in self.skipped
            if not tied_by(reason)
        ]
        return rows


def _note(reason: str, tied: Sequence[str]) -> str:
    shown = ", ".join(tied[:_NAMES_SHOWN]) + (
        f" and {len(tied) - _NAMES_SHOWN} more" if len(tied) > _NAMES_SHOWN else ""
    )
    return "; ".join(filter(None, (reason, f"tied: {shown}" if tied else "")))


_NAMES_SHOWN = 5


def _other_names(tied: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Return the other names of tensors, from pairs of one of them and the tensor that it is; empty for none."""
    names: dict[str, list[str]] = {}
    for name, tied_to in tied:
        if tied_to:
            names.setdefault(tied_to, []).append(name)
    return names


def describe(
    source: object,
    *,
    profile: str = "default",
    extractors: Sequence[str] = (),
    layers: Sequence[str] = (),
    groups: Mapping[str, int] | None = None,
    splits: Mapping[str, int] | None = None,
    include_buffers: bool = False,
    loader: str | None = None,
    layout: str | None = None,
    plugins: Sequence[object] = (),
    registry: Registry | None = None,
) -> Description:
    """Tell what is in a source and what an analysis would make of it, without reading a weight.

    Arguments are those of ``analyze``.

    Raises:
        UsageError: A name cannot be used.
        SourceError: The source cannot be read.
    """
    registry = registry or load_plugins(objects=plugins)
    request = Request(
        profile=profile,
        extractors=tuple(extractors),
        groups=tuple((groups or {}).items()),
        splits=tuple((splits or {}).items()),
        include_buffers=include_buffers,
    )
    selection = select(registry, request)
    found = find_source(source, registry)
    checkpoint, _ = open_checkpoint(found, registry, loader or "", layout or "")
    with ExitStack() as stack:
        stack.callback(close_checkpoint, checkpoint)
        chosen = choose_layers(asked_layers(checkpoint, request), layers)
        costs = CostModel.of(selection.nodes)
        skipped = [(t.name, t.dtype, t.shape, t.reason) for t in skipped_tensors(checkpoint)]
        others = _other_names((t.name, tied_by(t.reason)) for t in checkpoint.skipped)
        described = tuple(_described(layer, selection.extractors[layer.kind], costs, others) for layer in chosen)
        return Description(
            source=found.label,
            format=checkpoint.format,
            parameters=parameters_of(checkpoint),
            parameters_analyzed=sum(
                math.prod(own.shape) for own in described if any(made.matrices for made in own.matrices)
            ),
            layers=described,
            skipped=() if layers else tuple(skipped),
            warnings=checkpoint.warnings,
        )


def _described(
    layer: Layer, variants: Sequence[ExtractorVariant], costs: CostModel, others: Mapping[str, Sequence[str]]
) -> LayerDescription:
    return LayerDescription(
        name=layer.name,
        kind=str(layer.kind),
        dtype=layer.weight.dtype,
        shape=layer.shape,
        groups=layer.groups,
        bias=layer.bias is not None,
        tied=tuple(name for tensor in layer.tensors for name in others.get(tensor.name, ())),
        matrices=tuple(_made(layer, variant, costs) for variant in variants),
    )


def _made(layer: Layer, variant: ExtractorVariant, costs: CostModel) -> MatrixDescription:
    plan = plan_of(layer, variant)
    if isinstance(plan, NoPlan):
        return MatrixDescription(variant.label, reason=plan.reason)
    return MatrixDescription(
        extractor=variant.label,
        matrices=plan.matrices,
        entries=plan.entries,
        N=max(plan.rows, plan.cols),
        M=min(plan.rows, plan.cols),
        eigenvalues=plan.n_eigenvalues,
        cost=plan.operations,
        memory=costs.at_most(layer, plan),
    )
