"""Scores: what people report about models, and what a correction replaced.

Every function works inside the caller's transaction.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import Connection, Text, bindparam, cast, delete, func, null, or_, select, union_all, update

from ww_core.domain.columnar import ReplacedScore, ScoreTable, StoredScore
from ww_core.domain.identity import digest_of
from ww_core.domain.score import Score, ScoreError, UnknownModelsError
from ww_core.errors import NotStoredError, near_names
from ww_core.store import tables as t
from ww_core.store.labels import find_by_digest, find_versions, versions_of
from ww_core.store.records import ScoreCounts, ScoreFilter
from ww_core.store.reported_models import (
    find_reported_models,
    record_reported_models,
    reported_model_digest,
    reported_names,
)
from ww_core.store.rows import chunks, clean, execute, insert_missing, keys_by_digest, now

if TYPE_CHECKING:
    from ww_core.domain.model_values import ModelRow

SHOWN = 8
"""Unknown models that a message names."""

NUMBERS = ("value", "low", "high", "unit", "better")
"""What a correction replaces, and keeps."""


class Target(NamedTuple):
    """What a score speaks of: a checkpoint, or the subject of a reported model."""

    digest: str
    checkpoint_id: int | None = None
    subject_id: int | None = None


def record_scores(
    connection: Connection, scores: Sequence[Score], *, correct: bool, without_weights: bool
) -> ScoreCounts:
    """Store scores. A stored model wins over a reported one of its name.

    Args:
        connection: An open transaction.
        scores: The scores, each of which says something else.
        correct: Whether another number for what is stored already replaces it; what it was is kept.
        without_weights: Whether names that are not stored are those of models without weights.

    Raises:
        UnknownModelsError: Models are neither stored nor reported.
        ScoreError: A score is stored with another number, and ``correct`` is not set; or two names of the same weights
            have different numbers; or nothing says which direction is better.
    """
    scores = _directed(connection, scores)
    targets = _targets(connection, scores)
    missing = {(own.model, own.version) for own in scores} - set(targets)
    if missing and not without_weights:
        raise _unknown(connection, sorted(missing))
    targets |= _reported_targets(record_reported_models(connection, missing))
    return _record(connection, [(targets[own.model, own.version], own) for own in scores], correct=correct)


def record_reported_scores(connection: Connection, scores: Sequence[Score], *, correct: bool) -> ScoreCounts:
    """Store scores of reported models, whatever else is stored under their names.

    Raises:
        ScoreError: A score is stored with another number, and ``correct`` is not set; or nothing says which direction
            is better.
    """
    scores = _directed(connection, scores)
    targets = _reported_targets(record_reported_models(connection, {(own.model, own.version) for own in scores}))
    return _record(connection, [(targets[own.model, own.version], own) for own in scores], correct=correct)


def remove_scores(connection: Connection, chosen: ScoreFilter) -> ScoreTable:
    """Remove scores, with what they replaced, and return them, under every name that their models have.

    Args:
        connection: A transaction that writes alone.
        chosen: Which scores.

    Raises:
        NotStoredError: A model is neither stored nor reported.
    """
    keys = {row.id for row in _chosen(connection, chosen)}
    removed = _table(connection, [row for row in connection.execute(_SCORES) if row.id in keys])
    for chunk in chunks(sorted(keys)):
        connection.execute(delete(t.replaced_score).where(t.replaced_score.c.score_id.in_(chunk)))
        connection.execute(delete(t.score).where(t.score.c.id.in_(chunk)))
    return removed


def stored_scores(connection: Connection, chosen: ScoreFilter) -> ScoreTable:
    """Return scores by model, version and name, with what they replaced.

    Raises:
        NotStoredError: A model is neither stored nor reported.
    """
    return _table(connection, _chosen(connection, chosen))


def score_names(connection: Connection) -> list[str]:
    """List the names of scores, in order."""
    return [row.name for row in execute(connection, _SCORE_NAMES, {})]


_SCORE_NAMES = select(t.score.c.name).distinct().order_by(t.score.c.name)


def _table(connection: Connection, rows: Iterable[Any]) -> ScoreTable:
    of_key: dict[int, list[StoredScore]] = defaultdict(list)
    for row in rows:
        of_key[row.id].append(StoredScore(*row[:-1]))
    replaced = []
    for chunk in chunks(sorted(of_key)):
        before = t.replaced_score
        query = select(before).where(before.c.score_id.in_(chunk)).order_by(before.c.score_id, before.c.id)
        for own in connection.execute(query):
            numbers = {name: getattr(own, name) for name in NUMBERS}
            times = (own.created_at, own.replaced_at)
            replaced += [ReplacedScore(score._replace(**numbers), *times) for score in of_key[own.score_id]]
    return ScoreTable(
        tuple(sorted((score for own in of_key.values() for score in own), key=_place)),
        tuple(sorted(replaced, key=lambda own: (_place(own.score), own.replaced_at))),
    )


def scores_of(
    connection: Connection, models: Sequence[ModelRow], name: str, dataset: str, source: str
) -> list[StoredScore]:
    """Return the scores of models, in no order; an empty name, dataset or source chooses all.

    Args:
        connection: An open transaction.
        models: The models: of one with a digest, scores of its checkpoint; of another, those of its name and version.
        name: Name of the scores.
        dataset: What they were measured on.
        source: Who says so.
    """
    chosen = {"name": clean(name), "dataset": clean(dataset), "source": clean(source)}
    digests = sorted({own.digest for own in models if own.digest})
    if len(digests) > SCANNED:
        wanted = set(digests)
        found = [row for row in execute(connection, _OF_CHECKPOINTS, chosen) if row.digest in wanted]
    else:
        parts = ({**chosen, "digests": chunk} for chunk in chunks(digests))
        found = [row for part in parts for row in execute(connection, _OF_SOME_CHECKPOINTS, part)]
    names = sorted({own.model for own in models if not own.digest})
    for chunk in chunks(names):
        found += execute(connection, _OF_REPORTED, {**chosen, "models": chunk})
    return [*map(partial(tuple.__new__, StoredScore), found)]  # faster than its _make


SCANNED = 2000
"""Checkpoints of which scores are looked up by their keys; of more, all scores are read."""


def _place(score: StoredScore) -> tuple[str, ...]:
    return score.model or "", score.version or "", score.name, score.dataset, score.source, score.digest or ""


def _directed(connection: Connection, scores: Sequence[Score]) -> list[Score]:
    """Let scores that say no direction have the one of all stored scores of their name.

    Raises:
        ScoreError: There are none, or not all have the same.
    """
    known: dict[str, set[str]] = defaultdict(set)
    for chunk in chunks(sorted({own.name for own in scores if not own.better})):
        for row in connection.execute(_DIRECTIONS, {"names": chunk}):
            known[row.name].add(row.better)
    for score in scores:
        if not score.better and len(known[score.name]) != 1:
            stored = " and ".join(sorted(known[score.name])) or "no score of this name"
            raise ScoreError(
                f"nothing says which direction of {score.name} is better, and the store has {stored}: say "
                "--direction lower or --direction higher",
                score,
            )
    return [own if own.better else own._replace(better=min(known[own.name])) for own in scores]


_DIRECTIONS = (
    select(t.score.c.name, t.score.c.better).where(t.score.c.name.in_(bindparam("names", expanding=True))).distinct()
)


def _targets(connection: Connection, scores: Sequence[Score]) -> dict[tuple[str, str], Target]:
    """Find what scores speak of, by (model, version): the newest version of a model for none.

    Raises:
        UsageError: A digest prefix fits several checkpoints.
    """
    by_name: dict[tuple[str, str], str] = {}
    for ref in versions_of(connection, [own.model for own in scores]):
        by_name[ref.model, ref.version] = by_name[ref.model, ""] = ref.digest  # the last one is the newest
    wanted = {(own.model, own.version) for own in scores}
    digests = {name: by_name[_clean(name)] for name in wanted if _clean(name) in by_name}
    left = sorted(wanted - set(digests))
    reported = _reported_targets(find_reported_models(connection, [model for model, _ in left]))
    for model, version in left:
        if not version and _clean((model, "")) not in reported:
            named = find_by_digest(connection, model)
            if named is not None:
                digests[model, version] = named.digest
    keys: dict[str, int] = {}
    for chunk in chunks(sorted(set(digests.values()))):
        keys |= keys_by_digest(connection, t.checkpoint, chunk)
    targets = {name: Target(digest, checkpoint_id=keys[digest]) for name, digest in digests.items()}
    return {name: reported[_clean(name)] for name in left if _clean(name) in reported} | targets


def _clean(name: tuple[str, str]) -> tuple[str, str]:
    return clean(name[0]), clean(name[1])


def _reported_targets(keys: Mapping[tuple[str, str], int]) -> dict[tuple[str, str], Target]:
    return {name: Target(reported_model_digest(name), subject_id=key) for name, key in keys.items()}


def _unknown(connection: Connection, missing: Sequence[tuple[str, str]]) -> UnknownModelsError:
    versions = defaultdict(list)
    stored = [(ref.model, ref.version) for ref in find_versions(connection)]
    for model, version in (*stored, *reported_names(connection)):
        versions[model].append(version or "one without a version")
    told = []
    for model, version in missing[:SHOWN]:
        near = near_names(model, versions)
        if model in versions:
            hint = f" (it has {', '.join(versions[model][:SHOWN])})"
        else:
            hint = f" (near: {', '.join(near)})" if near else ""
        told.append(f"{_name(model, version)!r}{hint}")
    more = f" and {len(missing) - SHOWN} more" if len(missing) > SHOWN else ""
    return UnknownModelsError(
        f"no model {', '.join(told)}{more} in this store: analyse the weights first, or give --without-weights to keep "
        "scores of models whose weights are not here",
        missing,
    )


def _name(model: str, version: str) -> str:
    return f"{model}@{version}" if version else model


def _record(connection: Connection, scores: Sequence[tuple[Target, Score]], *, correct: bool) -> ScoreCounts:
    rows: dict[str, tuple[Target, Score]] = {}
    for target, score in scores:
        _, first = rows.setdefault(score_digest(target.digest, score), (target, score))
        if _numbers(first) != _numbers(score):
            one, other = _shown(first, score)
            raise ScoreError(
                f"{score} is {other}, and {first} is {one}: both names have the same weights, leave one out",
                score,
                first,
            )
    digests, moment = sorted(rows), now()
    known = set(keys_by_digest(connection, t.score, digests))
    # In one order everywhere; what another process has written in the meantime is found, and compared like the rest.
    insert_missing(connection, t.score, [_row(digest, *rows[digest], moment) for digest in digests])
    kept: list[dict[str, Any]] = []
    corrections: list[dict[str, Any]] = []
    for chunk in chunks(digests):
        for before in connection.execute(_LOCKED, {"digests": chunk}).all():
            _, score = rows[before.digest]
            if _numbers(before) == _numbers(score):
                continue
            if not correct:
                stored, given = _shown(before, score)
                raise ScoreError(
                    f"{score} is {stored} in this store, not {given}: --correct replaces it and keeps the old number",
                    score,
                )
            numbers = {name: getattr(before, name) for name in (*NUMBERS, "created_at")}
            kept.append({"score_id": before.id, "replaced_at": moment, **numbers})
            corrections.append(
                {"key": before.id, "created_at": moment, **dict(zip(NUMBERS, _numbers(score), strict=True))}
            )
    insert_missing(connection, t.replaced_score, kept)
    if corrections:
        connection.execute(_CORRECTION, corrections)
    return ScoreCounts(len(rows) - len(known), len(corrections), len(known) - len(corrections))


_LOCKED = (
    select(t.score)
    .where(t.score.c.digest.in_(bindparam("digests", expanding=True)))
    .order_by(t.score.c.digest)
    .with_for_update()
)


_CORRECTION = (
    update(t.score)
    .where(t.score.c.id == bindparam("key"))
    .values({name: bindparam(name) for name in (*NUMBERS, "created_at")})
)


def score_digest(target: str, score: Any) -> str:
    """Return the content address of a score: of the digest of what it speaks of, its name, dataset and source."""
    return digest_of("score", {"target": target, "name": score.name, "dataset": score.dataset, "source": score.source})


def _row(digest: str, target: Target, score: Score, moment: str) -> dict[str, Any]:
    return {
        "digest": digest,
        "checkpoint_id": target.checkpoint_id,
        "subject_id": target.subject_id,
        "name": score.name,
        "dataset": score.dataset,
        "source": score.source,
        "created_at": moment,
        **dict(zip(NUMBERS, _numbers(score), strict=True)),
    }


def _numbers(score: Any) -> tuple[Any, ...]:
    """Return what a correction replaces, in the order of ``NUMBERS``, as it is stored."""
    ends = (None if own is None else float(own) for own in (score.low, score.high))
    return float(score.value), *ends, score.unit, score.better


def _shown(one: Any, other: Any) -> tuple[str, str]:
    """Tell two scores apart: by their numbers, and by the direction where it differs."""
    texts = []
    for score in (one, other):
        value, low, high, unit, better = _numbers(score)
        parts = [repr(value), unit, "" if low is None else f"({low!r} to {high!r})"]
        texts.append(" ".join(filter(None, [*parts, f"(better: {better})" if one.better != other.better else ""])))
    return texts[0], texts[1]


def _chosen(connection: Connection, chosen: ScoreFilter) -> Sequence[Any]:
    """Return the rows of scores, one for each name that a checkpoint has.

    Raises:
        NotStoredError: A model is neither stored nor reported.
    """
    query = _SCORES
    for column, texts in (
        (_all.c.name, chosen.names),
        (_all.c.dataset, chosen.datasets),
        (_all.c.source, chosen.sources),
    ):
        if texts:
            query = query.where(column.in_(list(map(clean, texts))))
    rows = connection.execute(query).all()
    if not chosen.models:
        return rows
    names: set[tuple[str, str]] = set()
    reported: set[tuple[str, str]] = set()
    nameless: set[str] = set()
    for name in map(clean, chosen.models):
        own = _reported(connection, name)
        reported |= own
        try:
            refs = find_versions(connection, name)
        except NotStoredError:
            if not own:
                raise
            continue
        names |= {(ref.model, ref.version) for ref in refs if ref.model}
        nameless |= {ref.digest for ref in refs if not ref.model}
    return [
        row
        for row in rows
        if (row.model or "", row.version or "") in (reported if row.digest is None else names)
        or (row.model is None and row.digest in nameless)
    ]


def _reported(connection: Connection, name: str) -> set[tuple[str, str]]:
    """Return the reported models that ``MODEL``, in all its versions, or ``MODEL@VERSION`` names."""
    model, at, version = name.partition("@")
    return {own for own in find_reported_models(connection, [model]) if not at or own[1] == version}


_named = (
    select(t.structure.c.checkpoint_id, t.model.c.name.label("model"), t.label.c.name.label("version"))
    .join(t.label, t.label.c.structure_id == t.structure.c.id)
    .join(t.model, t.model.c.id == t.label.c.model_id)
    .subquery()
)
_score, _report = t.score.c, t.reported_subject.c
_said = (
    _score.name,
    _score.dataset,
    _score.value,
    _score.low,
    _score.high,
    _score.unit,
    _score.better,
    _score.source,
    _score.id,
)
_all = union_all(
    select(_named.c.model, _named.c.version, t.checkpoint.c.digest, *_said)
    .join(t.checkpoint, t.checkpoint.c.id == _score.checkpoint_id)
    .outerjoin(_named, _named.c.checkpoint_id == t.checkpoint.c.id),
    select(_report.model, func.nullif(_report.version, ""), cast(null(), Text), *_said).join(
        t.reported_subject, _report.subject_id == _score.subject_id
    ),
).subquery()
_SCORES = select(_all)

_MEANT = tuple(
    or_(bindparam(column.key) == "", column == bindparam(column.key))
    for column in (_score.name, _score.dataset, _score.source)
)
_OF_CHECKPOINTS = (
    select(cast(null(), Text).label("model"), cast(null(), Text).label("version"), t.checkpoint.c.digest, *_said[:-1])
    .select_from(t.score)
    .join(t.checkpoint, t.checkpoint.c.id == _score.checkpoint_id)
    .where(*_MEANT)
)
_OF_SOME_CHECKPOINTS = (
    select(cast(null(), Text).label("model"), cast(null(), Text).label("version"), t.checkpoint.c.digest, *_said[:-1])
    .select_from(t.checkpoint)
    .join(t.score, t.checkpoint.c.id == _score.checkpoint_id)
    .where(t.checkpoint.c.digest.in_(bindparam("digests", expanding=True)), *_MEANT)
)
_OF_REPORTED = (
    select(
        _report.model,
        func.nullif(_report.version, "").label("version"),
        cast(null(), Text).label("digest"),
        *_said[:-1],
    )
    .select_from(t.reported_subject)
    .join(t.score, _report.subject_id == _score.subject_id)
    .where(_report.model.in_(bindparam("models", expanding=True)), *_MEANT)
)
