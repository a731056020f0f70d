"""Results: spectra and values of subjects."""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, bindparam, select, update

from ww_core.domain.identity import spectrum_identity
from ww_core.domain.outcome import Outcome, State
from ww_core.domain.spectrum import Spectrum, SpectrumKind
from ww_core.domain.subject import LayerSubject, MatrixSubject, ModelSubject, Subject
from ww_core.store import tables as t
from ww_core.store.encoding import LONGEST, check_lengths, decode_spectrum, encode_spectrum
from ww_core.store.identities import column_keys
from ww_core.store.origins import record_origins
from ww_core.store.records import NOBODY, Maker, OriginRecord
from ww_core.store.rows import (
    chunks,
    clean,
    execute,
    insert_many,
    insert_missing,
    keys_by_digest,
    record_by_digest,
    upsert,
)

if TYPE_CHECKING:
    from ww_core.store.keys import Keys
    from ww_core.store.records import ColumnKey, Result
    from ww_core.store.runs import OpenRun

_WHOLE: Mapping[str, type[int]] = {"int": int, "bool": bool}


def stored_outcomes(
    connection: Connection, subjects: Sequence[str], columns: Collection[ColumnKey]
) -> dict[str, dict[tuple[str, str], Outcome]]:
    """Return the stored outcomes of subjects.

    Args:
        connection: An open transaction.
        subjects: Digests of the subjects.
        columns: The columns asked for.

    Returns:
        Outcomes by subject digest, then by (identity digest, key of the column).
    """
    found: dict[str, dict[tuple[str, str], Outcome]] = defaultdict(dict)
    stored = _digests_by_key(connection, subjects)
    keys = column_keys(connection, columns) if stored else {}
    for chunk in chunks(list(stored)):
        asked = {"subjects": chunk, "columns": list(keys)}
        for subject, column, state, number, text, reason in execute(connection, _VALUES_OF_COLUMNS, asked):
            found[stored[subject]][keys[column]] = Outcome(_STATES[state], number, text, reason)
    return dict(found)


def values_of(
    connection: Connection, subjects: Collection[int], types: Mapping[int, str]
) -> dict[int, dict[int, Outcome]]:
    """Return the stored outcomes of subjects by their keys, then by keys of columns, numbers in the type of these.

    Args:
        connection: An open transaction.
        subjects: Keys of subjects.
        types: Types of the columns asked for, by key.
    """
    found: dict[int, dict[int, Outcome]] = defaultdict(dict)
    for chunk in chunks(sorted(set(subjects))):
        for subject, column, state, number, text, reason in execute(connection, _VALUES, {"subjects": chunk}):
            if column in types:
                kind = types[column]
                if text is not None and kind != "text":
                    raise ValueError(f"a text stands in a column of type {kind}")
                whole = None if number is None else _WHOLE.get(kind)
                typed = whole(number) if whole else number
                found[subject][column] = Outcome(_STATES[state], typed, text, reason)
    return dict(found)


_STATES = {str(state): state for state in State}


_value = t.value.c
_VALUES = select(_value.subject_id, _value.column_id, _value.state, _value.number, _value.text, _value.reason).where(
    _value.subject_id.in_(bindparam("subjects", expanding=True))
)
_VALUES_OF_COLUMNS = _VALUES.where(_value.column_id.in_(bindparam("columns", expanding=True)))


def stored_spectra(connection: Connection, subjects: Sequence[str], kind: SpectrumKind) -> dict[str, Spectrum]:
    """Return the stored spectra of one kind by digest of the subject; none where the singular values were left out."""
    found = {}
    stored = _digests_by_key(connection, subjects)
    identity = {"identity": spectrum_identity(kind)}
    for chunk in chunks(list(stored)):
        rows = execute(connection, _SPECTRA, {"subjects": chunk} | identity)
        check_lengths((row.singular_values, row.length) for row in rows)
        for row in rows:
            values = decode_spectrum(row.encoding, row.singular_values, row.length)
            found[stored[row.subject_id]] = Spectrum(
                values, row.noise_floor, kind.resolution, kind.precision, row.route, row.seconds, kind.randomized
            )
    return found


_SPECTRA = select(t.spectrum).where(
    t.spectrum.c.subject_id.in_(bindparam("subjects", expanding=True)),
    t.spectrum.c.identity_id
    == select(t.identity.c.id).where(t.identity.c.digest == bindparam("identity")).scalar_subquery(),
    t.spectrum.c.singular_values.is_not(None),
)


def _digests_by_key(connection: Connection, subjects: Sequence[str]) -> dict[int, str]:
    """Return the digests of those subjects that are stored, by key.

    Looked up first, because of a join SQLite reads the other end: every value of a column, every spectrum there is.
    """
    return {key: digest for digest, key in keys_by_digest(connection, t.subject, subjects).items()}


def with_spectra(connection: Connection, subjects: Sequence[str], identities: Collection[str]) -> set[str]:
    """Return the digests of those subjects that have a spectrum of these identities, with its values or without."""
    found: set[str] = set()
    for chunk in chunks(subjects):
        rows = execute(connection, _WITH_SPECTRA, {"subjects": chunk})
        # Chosen here: SQLite would go through all spectra of an identity instead of those of the subjects.
        found |= {row.digest for row in rows if row.identity in identities}
    return found


_WITH_SPECTRA = (
    select(t.subject.c.digest, t.identity.c.digest.label("identity"))
    .join(t.spectrum, t.spectrum.c.subject_id == t.subject.c.id)
    .join(t.identity, t.identity.c.id == t.spectrum.c.identity_id)
    .where(t.subject.c.digest.in_(bindparam("subjects", expanding=True)))
)


def record_results(
    connection: Connection, run: OpenRun, results: Sequence[Result], *, keep_spectra: bool, blas: str
) -> None:
    """Store what a run has computed. Subjects, spectra and values that are there already stay as they are."""
    keys, origins = run.keys, _Origins(connection, run, results, blas)
    _record_subjects(connection, [result.subject for result in results], keys)
    # Two tasks may have made the same one, and a server takes a row once in a statement, in one order for all writers.
    made = [_spectrum_row(r, r.spectrum, keys, origins, keep=keep_spectra) for r in results if r.spectrum is not None]
    by_key = {(row["subject_id"], row["identity_id"]): row for row in made}
    spectra = [by_key[key] for key in sorted(by_key)]
    if keep_spectra:
        # What was left out once is made anew as a whole, and so is who made it.
        upsert(connection, t.spectrum, spectra, where_null="singular_values")
    else:
        insert_missing(connection, t.spectrum, spectra)
    values = [row for result in results for row in _value_rows(result, keys, origins)]
    values.sort(key=itemgetter(0, 1))
    insert_many(connection, t.value, _VALUE_COLUMNS, values)


def _record_subjects(connection: Connection, subjects: Sequence[Subject], keys: Keys) -> None:
    """Store subjects with what they consist of, contexts before what points at them, and put their keys in ``keys``."""
    by_digest = {subject.digest: subject for subject in subjects}
    stored = keys_by_digest(connection, t.subject, list(by_digest))  # now: what an undone transaction made is gone
    keys.subjects |= stored
    new = [subject for digest, subject in by_digest.items() if digest not in stored]
    rows = [{"digest": subject.digest, "kind": subject.kind} for subject in new]
    keys.subjects |= record_by_digest(connection, t.subject, rows)
    layers = [_layer_row(subject, keys) for subject in new if isinstance(subject, LayerSubject)]
    insert_missing(connection, t.layer_subject, layers)
    matrices = [_matrix_row(subject, keys) for subject in new if isinstance(subject, MatrixSubject)]
    insert_missing(connection, t.matrix_subject, matrices)
    models = [_model_row(subject, keys) for subject in new if isinstance(subject, ModelSubject)]
    insert_missing(connection, t.model_subject, models)


def _layer_row(subject: LayerSubject, keys: Keys) -> dict[str, Any]:
    return {
        "subject_id": keys.subjects[subject.digest],
        "kind": subject.layer_kind,
        "groups": subject.groups,
        "rounding": subject.rounding,
        "weight_id": keys.tensors[subject.weight],
        "bias_id": keys.tensors[subject.bias] if subject.bias else None,
    }


def _matrix_row(subject: MatrixSubject, keys: Keys) -> dict[str, Any]:
    return {
        "subject_id": keys.subjects[subject.digest],
        "tensor_id": keys.tensors[subject.tensor],
        "groups": subject.groups,
        "split": subject.split,
        "rounding": subject.rounding,
        "extractor_id": keys.identities[subject.extractor],
        "matrix_index": subject.index,
        "context_id": keys.subjects[subject.context] if subject.context else None,
        "rows": subject.rows,
        "cols": subject.cols,
        "entries": subject.entries,
    }


def _model_row(subject: ModelSubject, keys: Keys) -> dict[str, Any]:
    return {"subject_id": keys.subjects[subject.digest], "checkpoint_id": keys.checkpoint}


def _spectrum_row(result: Result, spectrum: Spectrum, keys: Keys, origins: _Origins, *, keep: bool) -> dict[str, Any]:
    is_kept = keep and spectrum.singular_values.size <= LONGEST
    encoding, content = encode_spectrum(spectrum.singular_values) if is_kept else ("", None)
    return {
        "subject_id": keys.subjects[result.subject.digest],
        "identity_id": keys.identities[spectrum_identity(spectrum.kind)],
        "length": spectrum.singular_values.size,
        "noise_floor": spectrum.noise_floor,
        "route": spectrum.route,
        "seconds": spectrum.seconds,
        "encoding": encoding,
        "singular_values": content,
        "origin_id": origins.keys[_extractor(result.subject)][""],
    }


_VALUE_COLUMNS = ("subject_id", "column_id", "state", "number", "text", "reason", "origin_id")


def _value_rows(result: Result, keys: Keys, origins: _Origins) -> list[tuple[Any, ...]]:
    subject, columns = keys.subjects[result.subject.digest], keys.columns
    origin = origins.keys[_extractor(result.subject)]
    return [
        (
            subject,
            columns[column],
            str(outcome.state),
            outcome.number,
            outcome.text and clean(outcome.text),
            outcome.reason and clean(outcome.reason),
            origin[column[0]],
        )
        for column, outcome in result.outcomes.items()
        if outcome.state is not State.FAILED
    ]


class _Origins:
    """Keys of the origins of what a run has computed, stored with the first of it.

    Attributes:
        keys: By the identity of the extractor that made its matrix, or none, then by that of the metric; of spectra by
            none.
    """

    def __init__(self, connection: Connection, run: OpenRun, results: Sequence[Result], blas: str) -> None:
        self._run = run
        self._blas = blas
        made: dict[str, set[str]] = defaultdict(set)
        for own in results:
            of_extractor = made[_extractor(own.subject)]
            of_extractor.update([identity for identity, _ in own.outcomes])
            if own.spectrum is not None:
                of_extractor.add("")
        record_of = functools.cache(self._record)  # nearly all have the same makers
        nobody, makers = (NOBODY,), run.makers
        records = {
            extractor: {
                identity: record_of(makers.get(identity or extractor, nobody), makers.get(extractor, nobody)[0])
                for identity in identities
            }
            for extractor, identities in made.items()
        }
        keys = record_origins(connection, {record for own in records.values() for record in own.values()})
        self.keys = {
            extractor: {identity: keys[record] for identity, record in own.items()}
            for extractor, own in records.items()
        }

    def _record(self, makers: tuple[Maker, ...], extractor: Maker) -> OriginRecord:
        run = self._run
        maker, *through = makers
        hands = {*through, extractor, run.loader} - {maker, NOBODY}
        return OriginRecord(run.number, run.program, maker, tuple(sorted(hands)), self._blas)


def _extractor(subject: Subject) -> str:
    return subject.extractor if isinstance(subject, MatrixSubject) else ""


def record_model_subject(connection: Connection, run: OpenRun, subject: ModelSubject) -> None:
    """Let the analysis of a run point at the subject of its model metrics, which is stored."""
    key = run.keys.subjects[subject.digest]
    connection.execute(_MODEL_SUBJECT, {"analysis": run.analysis, "model_subject_id": key})


_MODEL_SUBJECT = update(t.analysis).where(t.analysis.c.id == bindparam("analysis"))
