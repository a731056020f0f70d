"""Whether summaries are what the values come to, and writing anew those that are not."""

from __future__ import annotations

import contextlib
import itertools
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from operator import attrgetter, itemgetter
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Row, bindparam, func, select, true

from ww_core.domain.answer import report_of
from ww_core.errors import StoreError
from ww_core.store import tables as t
from ww_core.store.answers import stored_analysis
from ww_core.store.integrity.findings import Findings, rows_of
from ww_core.store.rows import UNREADABLE, keys_by_digest
from ww_core.store.summaries import record_summaries, summary_rows

if TYPE_CHECKING:
    from ww_core.domain.report import Aggregate

Transaction = Callable[[], AbstractContextManager[Connection]]


def rebuild_summaries(reading: Transaction, writing: Transaction) -> int:
    """Write summaries anew that are missing or say something else than the values.

    Args:
        reading: Opens a transaction that reads.
        writing: Opens a transaction that writes.

    Returns:
        How many checkpoints had such.
    """
    with reading() as connection:
        faulty = list(_with_wrong_summaries(connection))
    for checkpoint_id in faulty:
        with writing() as connection:
            _write_summaries(connection, checkpoint_id)
    return len(faulty)


def mend_summaries(connection: Connection, checkpoints: Collection[str]) -> None:
    """Write summaries of checkpoints, named by their digests, anew where they are not what the values say."""
    for digest, key in keys_by_digest(connection, t.checkpoint, sorted(checkpoints)).items():
        if digest in checkpoints and list(_with_wrong_summaries(connection, key)):
            _write_summaries(connection, key)


def _write_summaries(connection: Connection, checkpoint_id: int) -> None:
    for runs in list(newest_runs(connection, checkpoint_id)):
        for run in runs:
            if run.state == "done":
                record_summaries(connection, *_summary_of(connection, run))


def _with_wrong_summaries(connection: Connection, checkpoint_id: int | None = None) -> Iterator[int]:
    """Yield the keys of checkpoints, of all or of one, whose summaries can be made again, and would be others."""
    for runs in newest_runs(connection, checkpoint_id):
        with contextlib.suppress(StoreError, *UNREADABLE):  # what cannot be read is a fault that this does not mend
            if _wrong_summaries(connection, runs)[1]:
                yield runs[0].checkpoint_id


def check_summaries(connection: Connection, findings: Findings) -> None:
    """Find summaries that are missing, or say something else than the values."""
    for runs in newest_runs(connection):
        try:
            expected, wrong = _wrong_summaries(connection, runs)
        except (StoreError, *UNREADABLE) as error:
            cause = f"{type(error).__name__}: {error}"
            findings.fault("value", f"the results of checkpoint {runs[0].checkpoint[:12]} cannot be read ({cause})")
            continue
        findings.checked["summaries"] += expected
        for _, variant_id, layers, aggregate, fault in wrong:
            label = connection.execute(_LABEL, {"variant": variant_id}).scalar()
            where = f"checkpoint {runs[0].checkpoint[:12]}" + ("" if layers == "all" else ", chosen layers")
            findings.fault("summary", f"{aggregate} of {label} of {where} {fault}")


_LABEL = select(t.selection_variant.c.label).where(t.selection_variant.c.variant_id == bindparam("variant")).limit(1)


def newest_runs(connection: Connection, checkpoint_id: int | None = None) -> Iterator[list[Row[Any]]]:
    """Yield the newest run of each analysis, in the order in which they ended, a checkpoint at a time."""
    by_time = (t.run.c.started_at.desc(), t.run.c.id.desc())
    place = func.row_number().over(partition_by=t.run.c.analysis_id, order_by=by_time).label("place")
    placed = select(t.run.c.id, place).subquery()
    newest = select(placed.c.id).where(placed.c.place == 1)
    query = (
        select(
            t.run.c.id,
            t.run.c.state,
            t.analysis.c.id.label("analysis_id"),
            t.analysis.c.selection_id,
            t.analysis.c.model_subject_id,
            t.subject.c.digest.label("model_subject"),
            t.selection.c.layers,
            t.structure.c.checkpoint_id,
            t.checkpoint.c.digest.label("checkpoint"),
        )
        .join(t.analysis, t.analysis.c.id == t.run.c.analysis_id)
        .join(t.selection, t.selection.c.id == t.analysis.c.selection_id)
        .join(t.structure, t.structure.c.id == t.analysis.c.structure_id)
        .join(t.checkpoint, t.checkpoint.c.id == t.structure.c.checkpoint_id)
        .outerjoin(t.subject, t.subject.c.id == t.analysis.c.model_subject_id)
        .where(t.run.c.id.in_(newest), true() if checkpoint_id is None else t.checkpoint.c.id == checkpoint_id)
        .order_by(t.structure.c.checkpoint_id, t.run.c.finished_at, t.run.c.id)
    )
    for _, runs in itertools.groupby(rows_of(connection, query), attrgetter("checkpoint_id")):
        yield list(runs)


def _wrong_summaries(connection: Connection, runs: Sequence[Row[Any]]) -> tuple[int, list[tuple[Any, ...]]]:
    """Compare the summaries of a checkpoint with its values.

    Returns:
        How many there must be, and the keys of those that are missing or say something else, with a sentence's end.
    """
    expected: dict[tuple[Any, ...], list[tuple[Any, ...]]] = defaultdict(list)
    unsure = set()
    for run in runs:
        for row in summary_rows(connection, *_summary_of(connection, run)):
            expected[_KEY(row)].append(_CONTENT(row))
            # A run that did not end has said anew what is covered, and written no summary of it.
            if run.state != "done":
                unsure.add(_KEY(row))
    query = select(t.summary).where(t.summary.c.analysis_id.in_([run.analysis_id for run in runs]))
    stored = {_KEY(row): row for row in connection.execute(query).mappings()}
    certain = [key for key in expected if key not in unsure]
    wrong: list[tuple[Any, ...]] = []
    for key in certain:
        if key not in stored:
            wrong.append((*key, "is missing: a run was cut short at its end, or is just ending"))
        # What was lost to an exception may have been computed since, for another checkpoint that shares the layer.
        elif not (stored[key]["partial"] or _CONTENT(stored[key]) in expected[key]):
            wrong.append((*key, "is not what the values say"))
    return len(certain), wrong


_KEY = itemgetter("analysis_id", "variant_id", "layers", "aggregate")
_CONTENT = itemgetter("value", "present", "missing", "partial")


def _summary_of(connection: Connection, run: Row[Any]) -> tuple[int, int, Mapping[str, Aggregate], Collection[str]]:
    """Return what is to be recorded as the summary of a run, of what is stored now."""
    report = report_of(stored_analysis(connection, run.id), "", "")
    partial = report.incomplete_columns()
    return run.analysis_id, run.selection_id, report.summary, partial
