"""Garbage: what nothing points at any more, and how it goes.

A name keeps its checkpoint, and so do a score, a reported result and a run that is going on. A checkpoint keeps its
structures, runs and summaries; a layer keeps its tensors; a tensor keeps what was computed of it. A reported model is
kept by its scores, series and pairs, and by the rows of tables that name it. Identities and columns always stay: they
are few, they say what numbers meant, and a run that is going on has looked them up.

Everything goes in short transactions that write alone, each of which finds out anew what it may remove, and leaves
nothing behind that points nowhere: other programs go on between any two of them.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import Column, ColumnElement, Connection, Select, Table, and_, delete, func, or_, select, true, update

from ww_core.store import tables as t
from ww_core.store.rows import chunks, timestamp

if TYPE_CHECKING:
    from pathlib import Path

KILLED_AFTER = timedelta(days=1)
"""Age of a run that has not ended, from which on it counts as killed."""

CHECKPOINTS = 16
"""Checkpoints that go in one transaction: other writers wait for its end."""

SUBJECTS = 4000
"""Subjects that go in one transaction, with their values and spectra."""

CHECKPOINT_PATIENCE = 1000
"""Milliseconds to wait for readers who keep the write-ahead log from being emptied: writers wait all the while."""


@dataclass(frozen=True, slots=True)
class Garbage:
    """What was removed, or would be.

    Attributes:
        removed: Number of rows by table, where there are any.
        killed: Runs that were killed, and are marked as interrupted.
        going_on: Runs that are going on: what they need stays, and so does the size of the file.
        size_before: Bytes on disk before, the write-ahead log included; None if it is no file.
        size_after: The same afterwards.
    """

    removed: Mapping[str, int]
    killed: int
    going_on: int
    size_before: int | None
    size_after: int | None


def count_garbage(connection: Connection) -> Counter[str]:
    """Count the rows that `remove_garbage` would remove, by table."""
    dead = _dead_checkpoints()
    gone = _structures_of(dead)
    users = [(column, column.table.c.structure_id.not_in(gone)) for column in _STRUCTURE_TENSORS]
    kept_analysis = t.analysis.c.structure_id.not_in(gone)
    subjects = [key for unused in (*_unused_subjects(users), _unused_models()) for key in connection.scalars(unused)]
    found = Counter[str]()
    for column, keys in [*_goes_with(connection, connection.scalars(dead).all()), *_parts_of(connection, subjects)]:
        for chunk in chunks(keys):
            query = select(func.count()).select_from(column.table).where(column.in_(chunk))
            found[column.table.name] += connection.execute(query).scalar_one()
    for table, condition in _leftovers(users, kept_analysis):
        query = select(func.count()).select_from(table).where(condition)
        found[table.name] += connection.execute(query).scalar_one()
    return +found


Transaction = Callable[[], AbstractContextManager[Connection]]


def remove_garbage(reading: Transaction, writing_alone: Transaction) -> Counter[str]:
    """Remove what nothing points at, and return the number of rows by table.

    Args:
        reading: Opens a transaction that reads.
        writing_alone: Opens a transaction that writes while no other one does.
    """
    removed = Counter[str]()
    while True:
        with writing_alone() as connection:
            dead = connection.scalars(_dead_checkpoints().limit(CHECKPOINTS)).all()
            removed += _remove(connection, _goes_with(connection, dead))
        if not dead:
            break
    matrices, layers = _unused_subjects([(column, true()) for column in _STRUCTURE_TENSORS])
    # Another collection may have made a layer unused since its matrices were looked for.
    in_context = select(t.matrix_subject.c.context_id).where(
        t.matrix_subject.c.context_id == t.layer_subject.c.subject_id
    )
    for unused in (matrices, layers.where(~in_context.exists()), _unused_models()):
        with reading() as connection:
            candidates = connection.scalars(unused).all()
        for start in range(0, len(candidates), SUBJECTS):
            with writing_alone() as connection:
                still = _still(connection, unused, candidates[start : start + SUBJECTS])
                removed += _remove(connection, _parts_of(connection, still))
    with writing_alone() as connection:
        every_user = [(column, true()) for column in (*_STRUCTURE_TENSORS, *_SUBJECT_TENSORS)]
        for table, condition in _leftovers(every_user, true()):
            removed[table.name] += connection.execute(delete(table).where(condition)).rowcount
    return +removed


def remove_subjects(connection: Connection, subjects: Sequence[int]) -> None:
    """Remove subjects, given by their keys, with all that is said of them, and the pairs that they are in."""
    _remove(connection, _parts_of(connection, subjects))


def mark_killed(connection: Connection) -> int:
    """Mark runs that never ended as interrupted, once they are so old that they must have been killed; count them."""
    killed = t.run.c.started_at < _killed_before()
    return connection.execute(update(t.run).where(_unended, killed).values(state="interrupted")).rowcount


def count_runs(connection: Connection) -> tuple[int, int]:
    """Count the runs that were killed and are not marked so, and those that are going on."""
    killed = t.run.c.started_at < _killed_before()
    query = select(func.count()).select_from(t.run).where(_unended)
    return connection.scalar(query.where(killed)) or 0, connection.scalar(query.where(~killed)) or 0


def shrink(path: Path) -> None:
    """Give the free room of an SQLite file back to the disk.

    Raises:
        sqlite3.Error: There is no room for the copy that this takes, or another program does not let go of the file.
    """
    with contextlib.closing(sqlite3.connect(path, timeout=30, isolation_level=None)) as connection:
        if connection.execute("PRAGMA freelist_count").fetchone() != (0,):
            connection.execute("VACUUM")
        connection.execute(f"PRAGMA busy_timeout = {CHECKPOINT_PATIENCE}")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()  # until then the smaller file is in the log


_unended = t.run.c.state == "running"


def _killed_before() -> str:
    return timestamp(datetime.now(UTC) - KILLED_AFTER)


def _dead_checkpoints() -> Select[Any]:
    key = t.checkpoint.c.id
    going_on = (
        select(t.run.c.id)
        .join(t.analysis, t.analysis.c.id == t.run.c.analysis_id)
        .join(t.structure, t.structure.c.id == t.analysis.c.structure_id)
        .where(t.structure.c.checkpoint_id == key, _unended, t.run.c.started_at >= _killed_before())
    )
    keep = [
        select(t.label.c.id)
        .join(t.structure, t.structure.c.id == t.label.c.structure_id)
        .where(t.structure.c.checkpoint_id == key),
        select(t.score.c.id).where(t.score.c.checkpoint_id == key),
        select(t.reported_subject.c.subject_id).where(t.reported_subject.c.checkpoint_id == key),
        going_on,
    ]
    return select(key).where(*(~query.exists() for query in keep))


def _structures_of(checkpoints: Select[Any]) -> Select[Any]:
    return select(t.structure.c.id).where(t.structure.c.checkpoint_id.in_(checkpoints))


Doomed = tuple[Column[Any], Sequence[int]]
"""Rows to remove: those that have one of these keys in a column."""


def _goes_with(connection: Connection, checkpoints: Sequence[int]) -> list[Doomed]:
    """List what goes with checkpoints, in an order in which nothing points at what has gone."""
    structures = _keys(connection, t.structure.c.id, t.structure.c.checkpoint_id, checkpoints)
    analyses = _keys(connection, t.analysis.c.id, t.analysis.c.structure_id, structures)
    runs = _keys(connection, t.run.c.id, t.run.c.analysis_id, analyses)
    derivations = _keys(connection, t.derivation.c.id, t.derivation.c.checkpoint_id, checkpoints)
    models = _keys(connection, t.model_subject.c.subject_id, t.model_subject.c.checkpoint_id, checkpoints)
    return [
        (t.summary.c.analysis_id, analyses),
        (t.in_force.c.analysis_id, analyses),
        (t.run_failure.c.run_id, runs),
        (t.run.c.id, runs),
        (t.coverage.c.analysis_id, analyses),
        (t.analysis.c.id, analyses),
        (t.skipped_tensor.c.structure_id, structures),
        (t.layer.c.structure_id, structures),
        (t.structure.c.id, structures),
        (t.derivation_parent.c.derivation_id, derivations),
        (t.derivation.c.id, derivations),
        *_parts_of(connection, models),
        (t.checkpoint.c.id, checkpoints),
    ]


def _parts_of(connection: Connection, subjects: Sequence[int]) -> list[Doomed]:
    """List what goes with subjects: the pairs they are in, the pairs these are in, and what was said of any of them."""
    pair = t.pair_subject.c
    every, found = dict.fromkeys(subjects), list(subjects)
    while found:
        pairs = [
            key for side in (pair.first_id, pair.second_id) for key in _keys(connection, pair.subject_id, side, found)
        ]
        found = list(dict.fromkeys(key for key in pairs if key not in every))
        every |= dict.fromkeys(found)
    parts = (t.matrix_subject, t.layer_subject, t.model_subject, t.pair_subject, t.reported_subject)
    said = (t.value, t.table_value, t.spectrum, t.score, *parts)
    scores = _keys(connection, t.score.c.id, t.score.c.subject_id, list(every))
    return [
        (t.replaced_score.c.score_id, scores),
        *((table.c.subject_id, list(every)) for table in said),
        (t.subject.c.id, list(every)),
    ]


def _keys(connection: Connection, wanted: Column[Any], column: Column[Any], among: Sequence[int]) -> list[int]:
    return [key for chunk in chunks(among) for key in connection.scalars(select(wanted).where(column.in_(chunk)))]


def _remove(connection: Connection, doomed: Sequence[Doomed]) -> Counter[str]:
    removed = Counter[str]()
    for column, keys in doomed:
        for chunk in chunks(keys):
            removed[column.table.name] += connection.execute(delete(column.table).where(column.in_(chunk))).rowcount
    return removed


User = tuple[Column[Any], ColumnElement[bool]]
"""A column that points at tensors, and which of its rows count."""

_STRUCTURE_TENSORS = (t.layer.c.weight_id, t.layer.c.bias_id, t.skipped_tensor.c.tensor_id)
_SUBJECT_TENSORS = (t.matrix_subject.c.tensor_id, t.layer_subject.c.weight_id, t.layer_subject.c.bias_id)


def _is_used(tensor: ColumnElement[Any], users: Collection[User]) -> ColumnElement[bool]:
    return or_(*(select(column).where(column == tensor, counts).exists() for column, counts in users))


def _unused_subjects(users: Collection[User]) -> tuple[Select[Any], Select[Any]]:
    """Select matrices and layers of which a tensor is in no structure that is kept, by key."""
    matrix, whole = t.matrix_subject.c, t.layer_subject.c
    lost = or_(~_is_used(whole.weight_id, users), and_(whole.bias_id.is_not(None), ~_is_used(whole.bias_id, users)))
    lost_context = select(whole.subject_id).where(whole.subject_id == matrix.context_id, lost).exists()
    return (
        select(matrix.subject_id).where(or_(~_is_used(matrix.tensor_id, users), lost_context)),
        select(whole.subject_id).where(lost),
    )


def _unused_models() -> Select[Any]:
    """Select reported models that nothing speaks of, by key."""
    model, row = t.reported_subject.c, t.reported_subject.alias("table_row")
    users = [
        select(t.score.c.id).where(t.score.c.subject_id == model.subject_id),
        select(t.series_member.c.id).where(t.series_member.c.subject_id == model.subject_id),
        select(t.pair_subject.c.subject_id).where(t.pair_subject.c.first_id == model.subject_id),
        select(t.pair_subject.c.subject_id).where(t.pair_subject.c.second_id == model.subject_id),
        select(row.c.subject_id).where(row.c.model == model.model, row.c.version == model.version, row.c.source != ""),
    ]
    of_no_table = (model.source == "", model.checkpoint_id.is_(None))
    return select(model.subject_id).where(*of_no_table, *(~query.exists() for query in users))


def _still(connection: Connection, unused: Select[Any], candidates: Sequence[int]) -> list[int]:
    (key,) = unused.selected_columns
    return [found for chunk in chunks(candidates) for found in connection.scalars(unused.where(key.in_(chunk)))]


def _leftovers(users: Collection[User], kept_analysis: ColumnElement[bool]) -> Iterator[tuple[Table, Any]]:
    """Yield tables with the condition of what goes, once checkpoints and subjects have gone, in the order it goes."""
    unused = ~_is_used(t.tensor.c.id, users)
    # What a program has just read, and not stored yet, is remembered: only what goes with a tensor goes.
    yield t.file_digest, t.file_digest.c.digest.in_(select(t.tensor.c.digest).where(unused))
    yield t.tensor, unused
    used = select(t.analysis.c.id).where(t.analysis.c.selection_id == t.selection.c.id, kept_analysis)
    selections = select(t.selection.c.id).where(~used.exists())
    column = t.selection_variant.c
    yield t.selection_variant, column.selection_id.in_(selections)
    asked = select(column.variant_id).where(column.variant_id == t.variant.c.id, column.selection_id.not_in(selections))
    yield t.variant, ~asked.exists()
    yield t.selection, t.selection.c.id.in_(selections)
