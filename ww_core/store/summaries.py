"""Summaries: aggregates of columns over the rows of an analysis, derived from values."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, bindparam, select

from ww_core.domain.identity import digest_of
from ww_core.store import tables as t
from ww_core.store.records import CheckpointRef, StoredSummary
from ww_core.store.rows import clean, execute, upsert

if TYPE_CHECKING:
    from ww_core.domain.report import Aggregate


def record_summaries(
    connection: Connection,
    analysis_id: int,
    selection_id: int,
    summaries: Mapping[str, Aggregate],
    partial: Collection[str],
) -> None:
    """Store aggregates by column label, in place of what stood there. Arguments are those of `summary_rows`."""
    rows = summary_rows(connection, analysis_id, selection_id, summaries, partial)
    upsert(connection, t.summary, rows, update_columns=("value", "present", "missing", "partial"))


def summary_rows(
    connection: Connection,
    analysis_id: int,
    selection_id: int,
    summaries: Mapping[str, Aggregate],
    partial: Collection[str],
) -> list[dict[str, Any]]:
    """Return aggregates by column label as they are stored, in the order of their keys.

    Args:
        connection: An open transaction.
        analysis_id: The analysis.
        selection_id: Its selection, whose variants the labels belong to.
        summaries: Aggregates by label.
        partial: Labels of which something is missing that a complete run would hold.
    """
    shown = execute(connection, _SELECTION_VARIANTS, {"selection": selection_id})
    variants = {row.label: row.variant_id for row in shown}
    globs = json.loads(shown[0].layers) if shown else []
    rows = [
        {
            "analysis_id": analysis_id,
            "variant_id": variants[label],
            "layers": digest_of("layers", {"globs": globs}) if globs else "all",
            "aggregate": name,
            "value": number,
            "present": aggregate.count,
            "missing": aggregate.missing,
            "partial": label in partial,
        }
        for label, aggregate in summaries.items()
        for name, number in aggregate.numbers().items()
    ]
    return sorted(rows, key=lambda row: (row["variant_id"], row["aggregate"]))


def complete_summaries(connection: Connection, model: str, variant: str, aggregate: str) -> list[StoredSummary]:
    """List what a variant of a column comes to over each version of a model, in the order of recording.

    Args:
        connection: An open transaction.
        model: Name of the model.
        variant: Digest of the variant.
        aggregate: Name of the aggregate.
    """
    asked = {"model": clean(model), "variant": variant, "aggregate": aggregate}
    found = {
        CheckpointRef(digest, structure, model, version): value
        for digest, structure, version, value in execute(connection, _COMPLETE, asked)
    }
    return [StoredSummary(ref, value) for ref, value in found.items()]


_COMPLETE = (
    select(t.checkpoint.c.digest, t.structure.c.digest.label("structure"), t.label.c.name, t.summary.c.value)
    .select_from(t.model)
    .join(t.label, t.label.c.model_id == t.model.c.id)
    .join(t.structure, t.structure.c.id == t.label.c.structure_id)
    .join(t.checkpoint, t.checkpoint.c.id == t.structure.c.checkpoint_id)
    .join(t.in_force, t.in_force.c.label_id == t.label.c.id)
    .join(t.summary, t.summary.c.analysis_id == t.in_force.c.analysis_id)
    .join(t.variant, t.variant.c.id == t.summary.c.variant_id)
    .where(
        t.model.c.name == bindparam("model"),
        t.variant.c.digest == bindparam("variant"),
        t.summary.c.aggregate == bindparam("aggregate"),
        t.summary.c.layers == "all",
        t.summary.c.value.is_not(None),
        t.summary.c.partial.is_(False),
        t.checkpoint.c.provisional.is_(False),
    )
    .order_by(t.label.c.position)
)

_SELECTION_VARIANTS = (
    select(t.selection_variant.c.variant_id, t.selection_variant.c.label, t.selection.c.layers)
    .join(t.selection, t.selection.c.id == t.selection_variant.c.selection_id)
    .where(t.selection_variant.c.selection_id == bindparam("selection"))
)
