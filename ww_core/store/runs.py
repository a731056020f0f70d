"""Runs: what was asked of which checkpoint, and how it ended."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, Connection, Row, and_, bindparam, delete, false, func, select, update

from ww_core.domain.answering import AnsweringRun, in_order
from ww_core.domain.identity import PRECISION, canonical_json, spectrum_identity
from ww_core.domain.run import LayerCoverage, StoredRun
from ww_core.domain.spectrum import SpectrumKind
from ww_core.errors import NotStoredError
from ww_core.store import tables as t
from ww_core.store.identities import record_identities
from ww_core.store.labels import label_key
from ww_core.store.records import CheckpointRef, Maker, RunRecord, StoredRequest
from ww_core.store.rows import chunks, clean, execute, insert_missing, insert_one, now, upsert
from ww_core.store.selections import record_analysis, record_selection, variants_of_selections
from ww_core.store.structures import shape_of

if TYPE_CHECKING:
    from ww_core.domain.answer import RunEnd
    from ww_core.store.keys import Keys


@dataclass(frozen=True, slots=True, eq=False)
class OpenRun:
    """A run that is going on. The keys in it are the store's own affair.

    Attributes:
        number: Its number.
        changed: Names of metrics and extractors whose code was changed, and their version was not.
        analysis: Key of the analysis that it makes.
        selection: Key of the selection.
        keys: Keys of what it points at.
        makers: The plugins behind what is asked for, by identity, the one that it belongs to first.
        loader: The plugin that read the weights.
        program: What it runs in.
    """

    number: int
    changed: tuple[str, ...]
    analysis: int
    selection: int
    keys: Keys
    makers: Mapping[str, tuple[Maker, ...]]
    loader: Maker
    program: str


def begin_run(connection: Connection, record: RunRecord, ref: CheckpointRef, keys: Keys) -> OpenRun:
    """Store what was asked, what is covered, and that a run has begun, of weights without a label too.

    Args:
        connection: An open transaction.
        record: The run.
        ref: The checkpoint, under the name that the run answers for.
        keys: Keys of the checkpoint, its structure, layers and tensors; those of identities are added.
    """
    changed = record_identities(connection, record.identities, keys)
    selection = record_selection(connection, record.selection, keys)
    analysis = record_analysis(connection, selection, record.coverage, keys)
    row = {
        "analysis_id": analysis,
        "label_id": label_key(connection, ref),
        "name": ref.name if ref.model else "",
        "profile": record.profile,
        "source": record.source,
        "request": canonical_json(dict(record.request)),
        "program": record.program,
        "state": "running",
        "started_at": now(),
        "computed": 0,
        "reused": 0,
        "failed": 0,
        "seconds": 0.0,
        "warnings": "[]",
    }
    return OpenRun(
        number=insert_one(connection, t.run, row),
        changed=tuple(changed),
        analysis=analysis,
        selection=selection,
        keys=keys,
        makers={own.digest: (own.maker, *own.through) for own in record.identities},
        loader=record.loader,
        program=record.program,
    )


def finish_run(connection: Connection, run_id: int, end: RunEnd) -> None:
    """Write how a run ended, with its failures and warnings; called again, it adds what came later.

    If it is done, its analysis is in force for its label, unless the label has left these weights meanwhile.
    """
    ended = {
        "state": end.state,
        "finished_at": now(),
        "computed": end.computed,
        "reused": end.reused,
        "failed": len(end.failures),
        "seconds": end.seconds,
        "warnings": canonical_json([clean(warning) for warning in end.warnings]),
    }
    execute(connection, _END_OF_RUN, {"run": run_id} | {f"new_{name}": value for name, value in ended.items()})
    rows = [
        {
            "run_id": run_id,
            "position": position,
            "stage": failure.stage,
            "plugin": failure.plugin,
            "subject": failure.subject,
            "message": failure.message,
        }
        for position, failure in enumerate(end.failures)
    ]
    insert_missing(connection, t.run_failure, rows)
    for force in execute(connection, _MAY_BE_IN_FORCE, {"run": run_id}) if end.state == "done" else ():
        row = force._asdict()
        execute(connection, _OTHER_IN_FORCE, {f"new_{name}": value for name, value in row.items()})
        upsert(connection, t.in_force, [row], update_columns=("analysis_id", "name"))


_ENDED = ("state", "finished_at", "computed", "reused", "failed", "seconds", "warnings")
_END_OF_RUN = (
    update(t.run).where(t.run.c.id == bindparam("run")).values({name: bindparam(f"new_{name}") for name in _ENDED})
)
_OTHER_IN_FORCE = delete(t.in_force).where(
    t.in_force.c.label_id == bindparam("new_label_id"),
    t.in_force.c.name == bindparam("new_name"),
    t.in_force.c.profile != bindparam("new_profile"),
)
_MAY_BE_IN_FORCE = (
    select(t.run.c.label_id, t.selection.c.profile, t.run.c.analysis_id, t.run.c.profile.label("name"))
    .join(t.analysis, t.analysis.c.id == t.run.c.analysis_id)
    .join(t.selection, t.selection.c.id == t.analysis.c.selection_id)
    .where(
        t.run.c.id == bindparam("run"),
        t.run.c.label_id.is_not(None),
        ~t.selection.c.narrowed,
        ~t.selection.c.experiment,
    )
)


def stored_runs(connection: Connection, ref: CheckpointRef) -> list[AnsweringRun]:
    """List the runs that answer for a label, or for a checkpoint that has none; the one to be shown first."""
    return in_order(AnsweringRun._make(row) for row in connection.execute(_RUNS.where(_answers_for(connection, ref))))


_RUNS = (
    select(
        t.run.c.id,
        t.run.c.state,
        t.selection.c.digest,
        t.run.c.profile,
        t.selection.c.profile.label("profile_key"),
        t.selection.c.experiment,
        t.selection.c.narrowed,
        t.selection.c.layers,
        t.structure.c.digest.label("structure"),
        t.run.c.started_at,
    )
    .join(t.analysis, t.analysis.c.id == t.run.c.analysis_id)
    .join(t.structure, t.structure.c.id == t.analysis.c.structure_id)
    .join(t.selection, t.selection.c.id == t.analysis.c.selection_id)
)


def _answers_for(connection: Connection, ref: CheckpointRef) -> ColumnElement[bool]:
    if ref.model:
        label = label_key(connection, ref)
        return false() if label is None else t.run.c.label_id == label
    checkpoint = select(t.checkpoint.c.id).where(t.checkpoint.c.digest == ref.digest)
    return t.structure.c.checkpoint_id == checkpoint.scalar_subquery()


def stored_requests(connection: Connection, ref: CheckpointRef) -> list[StoredRequest]:
    """List what was ever asked under a label, or of a checkpoint that has none, each once, the newest first."""
    newest: dict[tuple[str, str], Any] = {}
    ended: dict[tuple[str, str], str] = {}
    for row in connection.execute(_REQUESTS.where(_answers_for(connection, ref))).all():
        newest.setdefault((row.structure, row.request), row)
        if row.state == "done":
            ended.setdefault((row.structure, row.request), row.selection)
    shown = variants_of_selections(connection, set(ended.values()))
    return [
        StoredRequest(
            structure=row.structure,
            profile=row.profile,
            profile_key=row.profile_key,
            source=row.source,
            loader=json.loads(row.options).get("loader", "") if row.options else "",
            content={**json.loads(row.request)},
            shown=frozenset(own.variant for own in shown[ended[asked]]) if asked in ended else None,
        )
        for asked, row in newest.items()
    ]


_REQUESTS = (
    select(
        t.run.c.source,
        t.run.c.request,
        t.run.c.state,
        t.run.c.profile,
        t.label.c.options,
        t.structure.c.digest.label("structure"),
        t.selection.c.digest.label("selection"),
        t.selection.c.profile.label("profile_key"),
    )
    .join(t.analysis, t.analysis.c.id == t.run.c.analysis_id)
    .join(t.structure, t.structure.c.id == t.analysis.c.structure_id)
    .join(t.selection, t.selection.c.id == t.analysis.c.selection_id)
    .outerjoin(t.label, t.label.c.id == t.run.c.label_id)
    .order_by(t.run.c.started_at.desc(), t.run.c.id.desc())
)


def described_runs(connection: Connection, runs: Sequence[AnsweringRun]) -> list[StoredRun]:
    """Return what was asked of these runs, when, and what became of it, in their order."""
    rows: dict[int, Row[Any]] = {}
    for chunk in chunks([run.number for run in runs]):
        rows |= {row.id: row for row in connection.execute(_DESCRIBED_RUNS, {"runs": chunk})}
    return [
        StoredRun(
            number=run.number,
            state=run.state,
            profile=run.profile,
            source=rows[run.number].source,
            asked=json.loads(rows[run.number].request),
            experiment=run.experiment,
            narrowed=run.narrowed,
            started_at=rows[run.number].started_at,
            finished_at=rows[run.number].finished_at,
            computed=rows[run.number].computed,
            reused=rows[run.number].reused,
            failed=rows[run.number].failed,
            seconds=rows[run.number].seconds,
            program=rows[run.number].program,
        )
        for run in runs
    ]


_DESCRIBED_RUNS = select(t.run).where(t.run.c.id.in_(bindparam("runs", expanding=True)))


def layer_coverage(connection: Connection, run: int) -> list[LayerCoverage]:
    """List what a run made of each layer by each extractor, in its order.

    Raises:
        NotStoredError: There is no such run any more.
    """
    request = connection.execute(select(t.run.c.request).where(t.run.c.id == run)).scalar()
    if request is None:
        raise NotStoredError(f"run {run} is not stored any more: `ww show` lists what is")
    spectra = spectrum_identity(SpectrumKind("standard", json.loads(request).get("precision", PRECISION)))
    return [
        LayerCoverage(
            layer=row.name,
            kind=row.kind,
            shape=shape_of(row.shape),
            groups=row.groups,
            extractor=row.extractor,
            extractor_key=row.key or "",
            parameters=json.loads(row.parameters or "{}"),
            is_primary=row.is_primary,
            state=row.state,
            reason=row.reason,
            matrices=row.matrices,
            rows=row.rows,
            cols=row.cols,
            eigenvalues=int(row.eigenvalues),
            seconds=row.seconds,
        )
        for row in connection.execute(_LAYER_COVERAGE, {"run": run, "spectra": spectra})
    ]


_spectrum_identity = t.identity.alias()
_COVERED = (
    t.coverage.c.position,
    t.coverage.c.extractor,
    t.coverage.c.is_primary,
    t.coverage.c.state,
    t.coverage.c.reason,
    t.coverage.c.matrices,
    t.coverage.c.rows,
    t.coverage.c.cols,
    t.layer.c.name,
    t.layer.c.kind,
    t.layer.c.shape,
    t.layer.c.groups,
    t.identity.c.key,
    t.identity.c.parameters,
)
_LAYER_COVERAGE = (
    select(
        *_COVERED,
        func.coalesce(func.sum(t.spectrum.c.length), 0).label("eigenvalues"),
        func.coalesce(func.sum(t.spectrum.c.seconds), 0.0).label("seconds"),
    )
    .select_from(t.run)
    .join(t.coverage, t.coverage.c.analysis_id == t.run.c.analysis_id)
    .join(t.layer, t.layer.c.id == t.coverage.c.layer_id)
    .outerjoin(t.identity, t.identity.c.id == t.coverage.c.extractor_id)
    .outerjoin(
        t.matrix_subject,
        and_(
            t.matrix_subject.c.tensor_id == t.layer.c.weight_id,
            t.matrix_subject.c.extractor_id == t.coverage.c.extractor_id,
            t.matrix_subject.c.groups == t.layer.c.groups,
            t.matrix_subject.c.split == t.layer.c.split,
            t.matrix_subject.c.rounding == t.layer.c.rounding,
            t.matrix_subject.c.matrix_index < t.coverage.c.matrices,
        ),
    )
    .outerjoin(_spectrum_identity, _spectrum_identity.c.digest == bindparam("spectra"))
    .outerjoin(
        t.spectrum,
        and_(
            t.spectrum.c.subject_id == t.matrix_subject.c.subject_id,
            t.spectrum.c.identity_id == _spectrum_identity.c.id,
        ),
    )
    .where(t.run.c.id == bindparam("run"))
    .group_by(*_COVERED)
    .order_by(t.coverage.c.position)
)
