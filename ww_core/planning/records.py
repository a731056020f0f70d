"""What the store is told of a run: what was asked, what is covered, what it is made by."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from ww_core.domain.column import Scope
from ww_core.domain.identity import NUMERICS_VERSION, spectrum_identity
from ww_core.domain.layer import OF_NO_LAYER, LayerKind, SkippedTensor
from ww_core.planning.layers import PlannedLayer
from ww_core.store.records import ColumnRecord, CoverageRecord, IdentityRecord, Maker, SelectionRecord

if TYPE_CHECKING:
    from ww_core.contracts.loader import Checkpoint
    from ww_core.domain.layer import Layer
    from ww_core.domain.request import Request
    from ww_core.plugins.registry import Registry
    from ww_core.plugins.selection import ExtractorVariant, Selection


def coverage_of(
    planned: Sequence[PlannedLayer], unselected: Iterable[Layer], selection: Selection
) -> list[CoverageRecord]:
    """Say of every layer what is done with it: nothing stays without a reason."""
    without = "statistics" if selection.wanted(Scope.LAYER) else "skipped"
    records = []
    for own in planned:
        layer = own.layer
        if own.subject is None:
            records.append(CoverageRecord(layer, "failed", "it could not be read"))
            continue
        failed = {failure.plugin for failure in own.failures}
        records += [
            CoverageRecord(
                layer=layer,
                state="analyzed",
                extractor=made.variant.label,
                extractor_identity=made.variant.identity,
                is_primary=made is own.primary,
                matrices=made.plan.matrices,
                rows=made.plan.rows,
                cols=made.plan.cols,
            )
            for made in own.matrices
        ]
        records += [
            CoverageRecord(
                layer=layer,
                state="failed" if variant.qualified in failed else without,
                reason=reason,
                extractor=variant.label,
                extractor_identity=variant.identity,
            )
            for variant, reason in own.reasons
        ]
        if not own.matrices and not own.reasons:
            records.append(CoverageRecord(layer, without, "no metric of a matrix is selected"))
    records += [CoverageRecord(layer, "skipped", "not selected") for layer in unselected]
    return records


def skipped_tensors(checkpoint: Checkpoint) -> list[SkippedTensor]:
    """Return the tensors that belong to no layer, with their reasons."""
    buffers = [SkippedTensor(spec.name, spec.dtype, spec.shape, OF_NO_LAYER) for spec in checkpoint.buffers]
    return [*checkpoint.skipped, *buffers]


def selection_record(selection: Selection, request: Request) -> SelectionRecord:
    """Return what was asked, as it is stored."""
    headline = {label: place for place, label in enumerate(selection.headline())}
    return SelectionRecord(
        profile=selection.profile_key,
        experiment=selection.experiment,
        narrowed=bool(request.metrics or request.layers),
        layers=sorted(request.layers),
        extractors={role: [own.identity for own in variants] for role, variants in _roles(selection).items()},
        columns=[
            ColumnRecord(
                label=column.label,
                scope=str(column.scope),
                identity=selection.nodes[column.qualified].identity,
                column=column.column.key,
                type=column.column.type,
                headline=headline.get(column.label),
            )
            for column in selection.columns
        ],
    )


def _roles(selection: Selection) -> dict[str, Sequence[ExtractorVariant]]:
    """Extractor variants by role: convolutions, all other kinds, and single kinds that differ from these.

    A kind that a later version adds then changes no variant of today.
    """
    roles: dict[str, Sequence[ExtractorVariant]] = {
        "convolution": selection.extractors[LayerKind.CONV2D],
        "other": selection.extractors[LayerKind.DENSE],
    }
    for kind, variants in selection.extractors.items():
        usual = roles["convolution" if kind.is_convolution else "other"]
        if [variant.identity for variant in variants] != [variant.identity for variant in usual]:
            roles[str(kind)] = variants
    return roles


@functools.lru_cache(maxsize=2)  # run after run asks for the same; each of these keeps a registry of plugins
def identity_records(selection: Selection, registry: Registry) -> Sequence[IdentityRecord]:
    """Return the identities of a selection: quantities, metrics, extractors, spectra."""
    makers = {own.name: Maker(own.name, own.distribution, own.version) for own in registry.plugins}
    through = _plugins_behind(selection)
    records = [
        IdentityRecord(
            digest=node.identity,
            kind="metric" if node.quantity.is_metric else "quantity",
            key=node.key,
            name=node.qualified,
            version=node.quantity.version,
            parameters=node.parameters,
            needs=node.need_identities,
            source_digest=node.quantity.source_digest,
            columns=node.quantity.columns if node.quantity.is_metric else (),
            maker=makers[plugin_of(node.qualified)],
            through=tuple(makers[own] for own in sorted(through[node.qualified] - {plugin_of(node.qualified)})),
        )
        for node in selection.nodes.values()
    ]
    variants = {v.identity: v for by_kind in selection.extractors.values() for v in by_kind}
    records += [
        IdentityRecord(
            digest=variant.identity,
            kind="extractor",
            key=variant.key,
            name=variant.qualified,
            version=variant.extractor.version,
            parameters=variant.extractor.values,
            needs={},
            source_digest="",
            maker=makers[plugin_of(variant.qualified)],
        )
        for variant in variants.values()
    ]
    records += [
        IdentityRecord(
            spectrum_identity(kind),
            "spectrum",
            f"ww:{kind.resolution}",
            f"ww:{kind.resolution}",
            NUMERICS_VERSION,
            kind.parameters,
            {},
            "",
        )
        for kind in selection.spectra
    ]
    return records


def plugin_of(qualified: str) -> str:
    """Return the name of the plugin that a qualified name begins with."""
    return qualified.partition(":")[0]


def _plugins_behind(selection: Selection) -> dict[str, set[str]]:
    """Names of the plugins of quantities and of all that these need, by qualified name."""
    behind: dict[str, set[str]] = {}
    for node in selection.nodes.values():  # each after its needs
        needs = (behind[need.quantity] for need in node.needs if need.quantity)
        behind[node.qualified] = {plugin_of(node.qualified)}.union(*needs)
    return behind
