"""What columns come to over models that were analysed here, by their summaries or over some of their rows."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import (
    Boolean,
    ColumnElement,
    Connection,
    Integer,
    Text,
    and_,
    bindparam,
    or_,
    select,
    text,
    type_coerce,
)

from ww_core.domain.control import TRANSFORM
from ww_core.domain.model_values import ModelColumn, ModelRow, ModelValues, Standing
from ww_core.domain.report import Aggregate
from ww_core.errors import NotStoredError, UnknownNameError, UsageError
from ww_core.store import tables as t
from ww_core.store.columnar import stored_numbers, subjects_by_place
from ww_core.store.rows import chunks, clean, execute

if TYPE_CHECKING:
    from ww_core.domain.expressions.arithmetic import Summary
    from ww_core.domain.model_values import ModelChoice, RowChoice

SCANNED = 2000
"""Analyses of which summaries are looked up one by one; of more, those of all are read."""


def computed_values(
    connection: Connection,
    asked: Collection[Summary],
    profile: str,
    models: ModelChoice,
    rows: RowChoice,
    *,
    every_version: bool,
) -> ModelValues:
    """Return what columns come to over stored models, by their analyses in force.

    Args:
        connection: An open transaction.
        asked: The columns, and what they shall come to.
        profile: Name of the profile.
        models: Which models are meant.
        rows: Which rows of them count.
        every_version: Whether all versions are meant, and not the newest of each model only.

    Raises:
        UnknownNameError: No analysis has such a column, or nothing fits a name of ``models``.
        NotStoredError: No model is stored, or none was analysed under the profile.
    """
    labels = _versions(connection, profile, models, every_version=every_version)
    if all(own.analysis_id is None for own in labels):
        raise NotStoredError(f"no complete analysis under profile {profile!r} is stored: `ww analyze` makes one")
    selections = Counter(own.selection_id for own in labels if own.selection_id is not None)
    columns = _columns(connection, selections)
    standings = {}
    for summary in asked:
        chosen = _most_used(summary, columns, selections)
        found = (
            _summaries(connection, chosen.variant, summary.aggregate, labels)
            if rows.is_everything
            else _over_rows(connection, chosen, summary, labels, rows)
        )
        standings[summary] = _standing(summary, chosen, columns, labels, found)
    own_rows = tuple(ModelRow(own.model, own.version, own.digest, own.series) for own in labels)
    return ModelValues(f"profile {profile}", is_reported=False, rows=own_rows, standings=standings)


class _Version(NamedTuple):
    """A version of a model with the keys of its analysis in force, None where it has none."""

    model: str
    version: str
    series: tuple[str, ...]
    digest: str
    provisional: bool
    analysis_id: int | None
    selection_id: int | None
    model_subject_id: int | None


class _ColumnOf(NamedTuple):
    """A column of a selection."""

    told: ModelColumn
    key: int
    variant: int
    scope: str
    type: str


class Found(NamedTuple):
    """What a summary comes to over an analysis."""

    value: float | None
    present: int
    missing: int
    partial: bool = False
    reason: str = ""


_NOTHING = Found(None, 0, 0)


def _versions(connection: Connection, profile: str, models: ModelChoice, *, every_version: bool) -> list[_Version]:
    """List the versions that are meant, models by name, versions in their order.

    Raises:
        UnknownNameError: Nothing fits a name.
        NotStoredError: No model is stored.
    """
    asked = {"profile": clean(profile)}
    by_model: dict[str, list[Any]] = defaultdict(list)
    rows = execute(connection, _STANDS, asked) if every_version else execute(connection, _LABELS, {})
    for row in {own.id: own for own in rows}.values():  # where two analyses are in force, the last one counts
        by_model[row.model].append(row)
    if not by_model:
        raise NotStoredError("no model is stored here: `ww analyze` makes one")
    members = series_of(connection, reported=False)
    models.check(by_model, {own for series in members.values() for own in series})
    controls = {row.name for row in execute(connection, _CONTROLS, {"transform": TRANSFORM})}
    left_out = {model for model in controls if not models.names_control(model)}
    labels: list[Any] = []
    for model in sorted(by_model.keys() - left_out):
        if models.keeps(model, members.get(model, ())):
            own = by_model[model]
            has_steps = all(row.step is not None for row in own)
            own.sort(key=lambda row: (row.step if has_steps else 0, row.position))
            labels += own if every_version else own[-1:]
    if not labels:
        unless = "; controls are ranked where --models names them" if left_out else ""
        raise NotStoredError(f"no stored model is left by these names and series{unless}")
    if not every_version:
        stands = _stands(connection, asked, [row.id for row in labels])
        labels = [stands[row.id] for row in labels]
    return [
        _Version(
            row.model,
            row.version,
            members.get(row.model, ()),
            row.digest,
            row.provisional,
            row.analysis_id,
            row.selection_id,
            row.model_subject_id,
        )
        for row in labels
    ]


def _stands(connection: Connection, asked: Mapping[str, str], labels: Sequence[int]) -> dict[int, Any]:
    """Return labels with what they stand on, and with their analyses in force, by their keys."""
    if len(labels) > SCANNED:
        rows = execute(connection, _STANDS, asked)
    else:
        parts = ({**asked, "labels": chunk} for chunk in chunks(labels))
        rows = [row for part in parts for row in execute(connection, _SOME_STANDS, part)]
    return {row.id: row for row in rows}


def series_of(connection: Connection, *, reported: bool) -> dict[str, tuple[str, ...]]:
    """Return the names of the series of models, by name of the model."""
    members: dict[str, set[str]] = defaultdict(set)
    for row in connection.execute(_MEMBERS):
        if row.is_reported == reported:
            members[row.model].add(row.series)
    return {model: tuple(sorted(own)) for model, own in members.items()}


def _truth(column: ColumnElement[bool]) -> ColumnElement[int]:
    """Return a column of yes or no as its database has it: 0 and 1 are as good here, and cost no call for each row."""
    return type_coerce(column, Integer).label(str(column.key))


_MEMBERS = text("SELECT series, model, is_reported FROM v_series").columns(series=Text, model=Text, is_reported=Boolean)
_LABELS = select(
    t.label.c.id, t.model.c.name.label("model"), t.label.c.name.label("version"), t.label.c.step, t.label.c.position
).join(t.model, t.model.c.id == t.label.c.model_id)
_CONTROLS = (
    select(t.model.c.name)
    .distinct()
    .join(t.label, t.label.c.model_id == t.model.c.id)
    # As sets: SQLite would go through all labels, to find that there is no control.
    .where(
        t.label.c.structure_id.in_(
            select(t.structure.c.id).where(
                t.structure.c.checkpoint_id.in_(
                    select(t.derivation.c.checkpoint_id).where(t.derivation.c.transform == bindparam("transform"))
                )
            )
        )
    )
)
_STANDS = (
    select(
        *_LABELS.selected_columns,
        t.checkpoint.c.digest,
        _truth(t.checkpoint.c.provisional),
        t.analysis.c.id.label("analysis_id"),
        t.analysis.c.selection_id,
        t.analysis.c.model_subject_id,
    )
    .select_from(t.label)
    .join(t.model, t.model.c.id == t.label.c.model_id)
    .join(t.structure, t.structure.c.id == t.label.c.structure_id)
    .join(t.checkpoint, t.checkpoint.c.id == t.structure.c.checkpoint_id)
    .outerjoin(
        t.in_force,
        and_(
            t.in_force.c.label_id == t.label.c.id,
            or_(t.in_force.c.name == bindparam("profile"), t.in_force.c.profile == bindparam("profile")),
        ),
    )
    .outerjoin(t.analysis, t.analysis.c.id == t.in_force.c.analysis_id)
)
_SOME_STANDS = _STANDS.where(t.label.c.id.in_(bindparam("labels", expanding=True)))


def _columns(connection: Connection, selections: Iterable[int]) -> dict[int, dict[str, _ColumnOf]]:
    """Return the columns of selections by label."""
    found: dict[int, dict[str, _ColumnOf]] = defaultdict(dict)
    for chunk in chunks(sorted(selections)):
        for row in execute(connection, _COLUMNS, {"selections": chunk}):
            told = ModelColumn(row.label, row.metric, row.version, row.better, row.unit, row.caveat or "")
            found[row.selection_id][row.label] = _ColumnOf(told, row.column_id, row.variant_id, row.scope, row.type)
    return found


_COLUMNS = (
    select(
        t.selection_variant.c.selection_id,
        t.selection_variant.c.label,
        t.selection_variant.c.scope,
        t.variant.c.id.label("variant_id"),
        t.variant.c.column_id,
        t.metric_column.c.type,
        t.metric_column.c.better,
        t.metric_column.c.unit,
        t.identity.c.key.label("metric"),
        t.identity.c.version,
        t.column_caveat.c.caveat,
    )
    .select_from(t.selection_variant)
    .join(t.variant, t.variant.c.id == t.selection_variant.c.variant_id)
    .join(t.metric_column, t.metric_column.c.id == t.variant.c.column_id)
    .join(t.identity, t.identity.c.id == t.metric_column.c.identity_id)
    .outerjoin(t.column_caveat, t.column_caveat.c.column_id == t.metric_column.c.id)
    .where(t.selection_variant.c.selection_id.in_(bindparam("selections", expanding=True)))
)


def _most_used(
    summary: Summary, columns: Mapping[int, Mapping[str, _ColumnOf]], selections: Mapping[int, int]
) -> _ColumnOf:
    """Return the column of a label that most analyses have; of equally many the one that was made last.

    Raises:
        UnknownNameError: None has it.
        UsageError: It holds texts.
    """
    counts: Counter[_ColumnOf] = Counter()
    for selection, own in columns.items():
        if summary.column in own:
            counts[own[summary.column]] += selections[selection]
    if not counts:
        raise UnknownNameError(
            "column", summary.column, {label for own in columns.values() for label in own}, "ww metrics"
        )
    chosen = max(counts, key=lambda own: (counts[own], own.variant))
    if chosen.type == "text":
        raise UsageError(f"column {summary.column!r} holds texts: models are compared by numbers")
    return chosen


def _summaries(connection: Connection, variant: int, aggregate: str, labels: Sequence[_Version]) -> dict[int, Found]:
    """Return what is summed up of a variant, by analysis."""
    analyses = sorted({own.analysis_id for own in labels if own.analysis_id is not None})
    asked = {"variant": variant, "aggregate": aggregate}
    if len(analyses) > SCANNED:
        rows = execute(connection, _SUMMARIES, asked)
    else:
        parts = ({**asked, "analyses": chunk} for chunk in chunks(analyses))
        rows = [row for part in parts for row in execute(connection, _SOME_SUMMARIES, part)]
    return {analysis: Found(*found) for analysis, *found in rows}


_summary = t.summary.c
_SUMMARIES = select(
    _summary.analysis_id, _summary.value, _summary.present, _summary.missing, _truth(_summary.partial)
).where(
    _summary.variant_id == bindparam("variant"),
    _summary.aggregate == bindparam("aggregate"),
    _summary.layers == "all",
)
_SOME_SUMMARIES = _SUMMARIES.where(_summary.analysis_id.in_(bindparam("analyses", expanding=True)))


def _over_rows(
    connection: Connection, column: _ColumnOf, summary: Summary, labels: Sequence[_Version], rows: RowChoice
) -> dict[int, Found]:
    """Sum up a column over some rows of each analysis.

    Raises:
        UsageError: The column speaks of whole models, or of layers where matrices are chosen.
        UnknownNameError: No analysis has the flag of ``rows``.
    """
    if column.scope == "model":
        raise UsageError(f"column {summary.column!r} describes whole models: layers cannot be selected for it")
    if column.scope == "layer" and rows.min_m:
        raise UsageError(f"column {summary.column!r} describes whole layers, and M is the smaller side of a matrix")
    analyses = {own.analysis_id: own.model_subject_id for own in labels if own.analysis_id is not None}
    flags = _flag_columns(connection, rows.leave_out, column, summary, labels) if rows.leave_out else {}
    places = subjects_by_place(connection, analyses, column.scope)
    subjects = {subject for own in places.values() for keys in own.values() for subject in keys}
    numbers = stored_numbers(connection, subjects, sorted({column.key, *flags.values()}))
    smaller = _smaller_sides(connection, subjects) if rows.min_m else {}
    layers = {place[0] for own in places.values() for place in own}
    rows.check(layers)
    chosen = {layer for layer in layers if rows.keeps(layer)}
    whole = _summaries(connection, column.variant, summary.aggregate, labels)
    selection_of = {own.analysis_id: own.selection_id for own in labels}
    found = {}
    for analysis, own in places.items():
        flag = flags.get(selection_of[analysis] or 0)
        if rows.leave_out and flag is None:
            found[analysis] = _NOTHING._replace(reason=f"its analysis lacks column {rows.leave_out}")
            continue
        kept: list[tuple[str, float | None]] = []
        for place, subject_keys in own.items():
            if place[0] not in chosen:
                continue
            if rows.min_m and all(smaller.get(subject, rows.min_m) < rows.min_m for subject in subject_keys):
                continue
            if flag is not None and any(numbers.get((subject, flag)) for subject in subject_keys):
                continue
            values = [numbers[subject, column.key] for subject in subject_keys if (subject, column.key) in numbers]
            kept.append((place[0], values[0] if values else None))
        partial = whole.get(analysis, _NOTHING).partial
        found[analysis] = summed_up(kept, summary.aggregate, rows)._replace(partial=partial)
    return found


def _flag_columns(
    connection: Connection, label: str, column: _ColumnOf, summary: Summary, labels: Sequence[_Version]
) -> dict[int, int]:
    """Return the key of a bool column by selection.

    Raises:
        UnknownNameError: No selection has such a column.
        UsageError: It does not speak of what the column speaks of.
    """
    columns = _columns(connection, {own.selection_id for own in labels if own.selection_id is not None})
    flags = {key: own[label] for key, own in columns.items() if label in own and own[label].type == "bool"}
    if not flags:
        known = {name for own in columns.values() for name, told in own.items() if told.type == "bool"}
        raise UnknownNameError("bool column", label, known, "ww metrics")
    if scopes := {own.scope for own in flags.values()} - {column.scope}:
        speaks = " and ".join(sorted(scopes))
        raise UsageError(
            f"--leave-out {label} is of scope {speaks}, and column {summary.column!r} of scope {column.scope}: they "
            "must be the same"
        )
    return {key: own.key for key, own in flags.items()}


def _smaller_sides(connection: Connection, subjects: Collection[int]) -> dict[int, int]:
    """Return M of matrices, by the keys of their subjects."""
    found: dict[int, int] = {}
    for chunk in chunks(sorted(subjects)):
        for row in execute(connection, _SIDES, {"subjects": chunk}):
            found[row.subject_id] = min(row.rows, row.cols)
    return found


_SIDES = select(t.matrix_subject.c.subject_id, t.matrix_subject.c.rows, t.matrix_subject.c.cols).where(
    t.matrix_subject.c.subject_id.in_(bindparam("subjects", expanding=True))
)


def summed_up(rows: Sequence[tuple[str, float | None]], aggregate: str, choice: RowChoice) -> Found:
    """Sum up the values of the rows of a model, each with the name of its layer."""
    known = [(layer, value) for layer, value in rows if value is not None]
    if choice.over == "layers":
        by_layer: dict[str, list[float]] = defaultdict(list)
        for layer, value in known:
            by_layer[layer].append(value)
        numbers = [Aggregate.over(own).mean or 0.0 for own in by_layer.values()]
    else:
        numbers = [value for _, value in known]
    return Found(Aggregate.over(numbers).numbers()[aggregate], len(numbers), len(rows) - len(known))


def _standing(
    summary: Summary,
    chosen: _ColumnOf,
    columns: Mapping[int, Mapping[str, _ColumnOf]],
    labels: Sequence[_Version],
    found: Mapping[int, Found],
) -> Standing:
    import numpy as np

    of_models = [_NOTHING if own.analysis_id is None else found.get(own.analysis_id, _NOTHING) for own in labels]
    reasons = tuple(
        _why_not(summary, chosen, columns.get(own.selection_id or 0, {}), own, of_model)
        for own, of_model in zip(labels, of_models, strict=True)
    )
    told = [math.nan if reason else own.value for reason, own in zip(reasons, of_models, strict=True)]
    present = np.array([own.present for own in of_models], np.int64)
    missing = np.array([own.missing for own in of_models], np.int64)
    return Standing(chosen.told, np.array(told, np.float64), present, missing, reasons)


def _why_not(
    summary: Summary, chosen: _ColumnOf, columns: Mapping[str, _ColumnOf], version: _Version, found: Found
) -> str:
    """Say why a model has no value that may be compared; empty if it has one."""
    if version.analysis_id is None:
        return "no complete analysis under this profile"
    if version.provisional:
        return "some of its weights could not be read"
    own = columns.get(summary.column)
    if own is None:
        return "its analysis lacks this column: `ww backfill` adds it"
    if own.variant != chosen.variant:
        if own.told.metric_version != chosen.told.metric_version:
            return (
                f"version {own.told.metric_version} of the metric, most have {chosen.told.metric_version}: "
                "`ww backfill` brings older ones up to date"
            )
        return "another variant of this column than in most analyses"
    if found.reason:
        return found.reason
    if found.partial:
        return "partial: values are missing after an exception or an interruption"
    if found.value is None:
        return "no value: " + ("none of the counted rows has a value" if found.missing else "nothing counts")
    return ""


def directed_columns(connection: Connection, profile: str) -> list[str]:
    """List the columns of numbers of a profile that have a direction."""
    return sorted({row.label for row in execute(connection, _DIRECTED, {"profile": clean(profile)})})


has_direction = and_(t.metric_column.c.better != "none", t.metric_column.c.type != "text")
_DIRECTED = (
    select(t.selection_variant.c.label)
    .select_from(t.selection_variant)
    .join(t.variant, t.variant.c.id == t.selection_variant.c.variant_id)
    .join(t.metric_column, t.metric_column.c.id == t.variant.c.column_id)
    .where(
        has_direction,
        t.selection_variant.c.selection_id.in_(
            select(t.analysis.c.selection_id)
            .join(t.in_force, t.in_force.c.analysis_id == t.analysis.c.id)
            .where(or_(t.in_force.c.name == bindparam("profile"), t.in_force.c.profile == bindparam("profile")))
        ),
    )
    .distinct()
)
