"""What was asked, fully resolved, and what it covers of a checkpoint."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, bindparam, select

from ww_core.domain.answering import Shown
from ww_core.domain.identity import canonical_json, digest_of
from ww_core.store import tables as t
from ww_core.store.rows import (
    chunks,
    execute,
    insert_missing,
    keys_by_digest,
    record_by_digest,
    upsert,
)

if TYPE_CHECKING:
    from ww_core.store.keys import Keys
    from ww_core.store.records import CoverageRecord, SelectionRecord


def record_selection(connection: Connection, record: SelectionRecord, keys: Keys) -> int:
    """Store a selection and its variants, and return its key."""
    extractors = {role: list(identities) for role, identities in record.extractors.items()}
    row: dict[str, Any] = {
        "profile": record.profile,
        "experiment": record.experiment,
        "narrowed": record.narrowed,
        "extractors": canonical_json(extractors),
        "layers": canonical_json(list(record.layers)),
    }
    shown = [(column.label, column.headline, record.variant_of(column)) for column in record.columns]
    row["digest"] = selection_digest(shown, row)
    stored = keys_by_digest(connection, t.selection, [row["digest"]])
    if stored:
        return stored[row["digest"]]
    selection_id = record_by_digest(connection, t.selection, [row])[row["digest"]]
    extractors_of = {scope: canonical_json(record.primary_of(scope)) for scope in {own.scope for own in record.columns}}
    variants: list[dict[str, Any]] = [
        {
            "digest": variant,
            "column_id": keys.columns[column.identity, column.column],
            "extractors": extractors_of[column.scope],
        }
        for column, (_, _, variant) in zip(record.columns, shown, strict=True)
    ]
    variant_ids = record_by_digest(connection, t.variant, variants)
    rows = [
        {
            "selection_id": selection_id,
            "position": position,
            "variant_id": variant_ids[variant["digest"]],
            "label": column.label,
            "scope": column.scope,
            "headline": column.headline,
        }
        for position, (column, variant) in enumerate(zip(record.columns, variants, strict=True))
    ]
    insert_missing(connection, t.selection_variant, rows)
    return selection_id


def selection_digest(shown: Sequence[tuple[str, int | None, str]], row: Mapping[str, Any]) -> str:
    """Return the content address of a selection.

    Args:
        shown: Label, headline and variant of its columns, in order.
        row: Its other columns as they are stored.
    """
    told = ("profile", "experiment", "narrowed", "extractors", "layers")
    return digest_of("selection", {"shown": list(map(list, shown))} | {name: row[name] for name in told})


def record_analysis(connection: Connection, selection_id: int, coverage: Sequence[CoverageRecord], keys: Keys) -> int:
    """Store what a selection covers of the structure of ``keys``, and return the key of the pair."""
    pair = {"structure_id": keys.structure, "selection_id": selection_id}
    insert_missing(connection, t.analysis, [pair])
    ((analysis_id,),) = execute(connection, _ANALYSIS, pair)
    rows = [
        {
            "analysis_id": analysis_id,
            "position": position,
            "layer_id": keys.layers[record.layer.name],
            "extractor_id": keys.identities.get(record.extractor_identity),
            "extractor": record.extractor,
            "is_primary": record.is_primary,
            "state": record.state,
            "reason": record.reason,
            "matrices": record.matrices,
            "rows": record.rows,
            "cols": record.cols,
        }
        for position, record in enumerate(coverage)
    ]
    if any(record.state == "failed" for record in coverage):
        rows = _with_what_was_made(connection, analysis_id, rows)
    # Replaced, because what an extractor said by an exception it may say otherwise next time.
    upsert(connection, t.coverage, rows)
    return int(analysis_id)


def _with_what_was_made(
    connection: Connection, analysis_id: int, rows: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Put what an extractor made of a layer once in the place of its failure: its matrices are stored, and stay."""
    made = {
        (row.layer_id, row.extractor_id): row._asdict()
        for row in execute(connection, _COVERED, {"analysis": analysis_id})
        if row.state == "analyzed"
    }
    return [
        {**made.get((row["layer_id"], row["extractor_id"]), row), "position": row["position"]}
        if row["state"] == "failed"
        else row
        for row in rows
    ]


_COVERED = select(t.coverage).where(t.coverage.c.analysis_id == bindparam("analysis"))
_ANALYSIS = select(t.analysis.c.id).where(
    t.analysis.c.structure_id == bindparam("structure_id"), t.analysis.c.selection_id == bindparam("selection_id")
)


def labels_of_selections(connection: Connection, selections: Collection[str]) -> dict[str, set[str]]:
    """Return the labels of the columns and extractors that selections show, by digest of the selection."""
    labels: dict[str, set[str]] = defaultdict(set)
    for chunk in chunks(sorted(selections)):
        columns = (
            select(t.selection.c.digest, t.selection_variant.c.label)
            .join(t.selection_variant, t.selection_variant.c.selection_id == t.selection.c.id)
            .where(t.selection.c.digest.in_(chunk))
        )
        extractors = (
            select(t.selection.c.digest, t.coverage.c.extractor)
            .join(t.analysis, t.analysis.c.selection_id == t.selection.c.id)
            .join(t.coverage, t.coverage.c.analysis_id == t.analysis.c.id)
            .where(t.selection.c.digest.in_(chunk))
            .distinct()
        )
        for query in (columns, extractors):
            for selection, label in connection.execute(query):
                labels[selection].add(label)
    return labels


def variants_of_selections(connection: Connection, selections: Collection[str]) -> dict[str, set[Shown]]:
    """Return the variants that selections show, by digest of the selection."""
    shown: dict[str, set[Shown]] = defaultdict(set)
    for chunk in chunks(sorted(selections)):
        for selection, variant, *column in execute(connection, _VARIANTS, {"selections": chunk}):
            shown[selection].add(Shown(variant, tuple(column)))
    return shown


_VARIANTS = (
    select(
        t.selection.c.digest,
        t.variant.c.digest.label("variant"),
        t.identity.c.digest.label("identity"),
        t.metric_column.c.key,
        t.metric_column.c.type,
    )
    .join(t.selection_variant, t.selection_variant.c.selection_id == t.selection.c.id)
    .join(t.variant, t.variant.c.id == t.selection_variant.c.variant_id)
    .join(t.metric_column, t.metric_column.c.id == t.variant.c.column_id)
    .join(t.identity, t.identity.c.id == t.metric_column.c.identity_id)
    .where(t.selection.c.digest.in_(bindparam("selections", expanding=True)))
)
