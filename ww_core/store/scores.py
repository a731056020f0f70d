"""Scores: what people report about models, and what a correction replaced.

Every function works inside the caller's transaction.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import Connection, Text, bindparam, cast, delete, func, insert, null, or_, select, union_all, update

from ww_core.domain.columnar import ReplacedScore, ScoreTable, StoredScore
from ww_core.domain.identity import digest_of
from ww_core.domain.score import Score
from ww_core.errors import NotStoredError, UsageError, near_names
from ww_core.store import tables as t
from ww_core.store.labels import find_versions
from ww_core.store.records import ScoreCounts, ScoreFilter
from ww_core.store.reported_models import find_reported_models, record_reported_models
from ww_core.store.rows import chunks, clean, execute, now

if TYPE_CHECKING:
    from ww_core.domain.model_values import ModelRow


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
        NotStoredError: Models are neither stored nor reported.
        UsageError: A score is stored with another number, and ``correct`` is not set.
    """
    targets = _targets(connection, scores)
    missing = {(own.model, own.version) for own in scores} - set(targets)
    if missing and not without_weights:
        raise _unknown(connection, sorted(missing))
    targets |= _reported_targets(record_reported_models(connection, missing))
    return _record(connection, [(targets[own.model, own.version], own) for own in scores], correct=correct)


def record_reported_scores(connection: Connection, scores: Sequence[Score], *, correct: bool) -> ScoreCounts:
    """Store scores of reported models, whatever else is stored under their names.

    Raises:
        UsageError: A score is stored with another number, and ``correct`` is not set.
    """
    targets = _reported_targets(record_reported_models(connection, {(own.model, own.version) for own in scores}))
    return _record(connection, [(targets[own.model, own.version], own) for own in scores], correct=correct)


def remove_scores(connection: Connection, chosen: ScoreFilter) -> int:
    """Remove scores, with what they replaced, and return how many there were.

    Raises:
        NotStoredError: A model is neither stored nor reported.
    """
    keys = sorted({row.id for row in _chosen(connection, chosen)})
    for chunk in chunks(keys):
        connection.execute(delete(t.replaced_score).where(t.replaced_score.c.score_id.in_(chunk)))
        connection.execute(delete(t.score).where(t.score.c.id.in_(chunk)))
    return len(keys)


def stored_scores(connection: Connection, chosen: ScoreFilter) -> ScoreTable:
    """Return scores by model, version and name, with what they replaced.

    Raises:
        NotStoredError: A model is neither stored nor reported.
    """
    of_key: dict[int, list[StoredScore]] = defaultdict(list)
    for row in _chosen(connection, chosen):
        of_key[row.id].append(StoredScore(*row[:-1]))
    replaced = []
    for chunk in chunks(sorted(of_key)):
        before = t.replaced_score
        query = select(before).where(before.c.score_id.in_(chunk)).order_by(before.c.score_id, before.c.id)
        for own in connection.execute(query):
            numbers = {name: getattr(own, name) for name in ("value", "low", "high", "unit", "better")}
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
    return [StoredScore(*row) for row in found]


SCANNED = 2000
"""Checkpoints of which scores are looked up by their keys; of more, all scores are read."""


def _place(score: StoredScore) -> tuple[str, ...]:
    return score.model or "", score.version or "", score.name, score.dataset, score.source, score.digest or ""


def _targets(connection: Connection, scores: Sequence[Score]) -> dict[tuple[str, str], Target]:
    """Find what scores speak of, by (model, version): the newest version of a model for none."""
    by_name: dict[tuple[str, str], str] = {}
    for ref in find_versions(connection):
        by_name[ref.model, ref.version] = by_name[ref.model, ""] = ref.digest  # the last one is the newest
    wanted = {(own.model, own.version) for own in scores}
    digests = {name: by_name[_clean(name)] for name in wanted if _clean(name) in by_name}
    keys: dict[str, int] = {}
    for chunk in chunks(sorted(set(digests.values()))):
        query = select(t.checkpoint.c.digest, t.checkpoint.c.id).where(t.checkpoint.c.digest.in_(chunk))
        keys |= {row.digest: row.id for row in connection.execute(query)}
    targets = {name: Target(digest, checkpoint_id=keys[digest]) for name, digest in digests.items()}
    left = {name for name in wanted if name not in targets}
    reported = _reported_targets(find_reported_models(connection, [model for model, _ in left]))
    return targets | {name: reported[_clean(name)] for name in left if _clean(name) in reported}


def _clean(name: tuple[str, str]) -> tuple[str, str]:
    return clean(name[0]), clean(name[1])


def _reported_targets(keys: Mapping[tuple[str, str], int]) -> dict[tuple[str, str], Target]:
    return {
        name: Target(digest_of("reported_model", {"model": name[0], "version": name[1]}), subject_id=key)
        for name, key in keys.items()
    }


def _unknown(connection: Connection, missing: Sequence[tuple[str, str]]) -> NotStoredError:
    names = [f"{model}@{version}" if version else model for model, version in missing]
    known = {ref.model for ref in find_versions(connection)}
    near = near_names(missing[0][0], known)
    hint = f" (near: {', '.join(near)})" if near else ""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return NotStoredError(
        f"no model {', '.join(map(repr, names[:3]))}{more} in this store{hint}: analyse it first, or say "
        "--without-weights to keep scores of models whose weights are not here"
    )


def _record(connection: Connection, scores: Sequence[tuple[Target, Score]], *, correct: bool) -> ScoreCounts:
    rows = {digest: (target, score) for target, score in scores for digest in [_digest(target, score)]}
    stored: dict[str, Any] = {}
    for chunk in chunks(sorted(rows)):
        stored |= {row.digest: row for row in connection.execute(select(t.score).where(t.score.c.digest.in_(chunk)))}
    moment = now()
    new = [_row(digest, *rows[digest], moment) for digest in sorted(rows) if digest not in stored]
    for chunk in chunks(new):
        connection.execute(insert(t.score), list(chunk))
    corrected = 0
    for digest, before in stored.items():
        _, score = rows[digest]
        if _numbers(before) == _numbers(score):
            continue
        if not correct:
            raise UsageError(
                f"{score} is {_shown(before)} already, not {_shown(score)}: --correct replaces it and keeps what it was"
            )
        corrected += 1
        kept = {name: getattr(before, name) for name in ("value", "low", "high", "unit", "better", "created_at")}
        connection.execute(insert(t.replaced_score).values(score_id=before.id, replaced_at=moment, **kept))
        today = {name: getattr(score, name) for name in ("value", "low", "high", "unit", "better")}
        connection.execute(update(t.score).where(t.score.c.id == before.id).values(created_at=moment, **today))
    return ScoreCounts(len(new), corrected, len(rows) - len(new) - corrected)


def _digest(target: Target, score: Score) -> str:
    return digest_of(
        "score",
        {"target": target.digest, "name": score.name, "dataset": score.dataset, "source": score.source},
    )


def _row(digest: str, target: Target, score: Score, moment: str) -> dict[str, Any]:
    texts = {name: clean(getattr(score, name)) for name in ("name", "dataset", "unit", "better", "source")}
    return {
        "digest": digest,
        "checkpoint_id": target.checkpoint_id,
        "subject_id": target.subject_id,
        "value": float(score.value),
        "low": None if score.low is None else float(score.low),
        "high": None if score.high is None else float(score.high),
        "created_at": moment,
        **texts,
    }


def _numbers(score: Any) -> tuple[Any, ...]:
    return score.value, score.low, score.high, score.unit, score.better


def _shown(score: Any) -> str:
    interval = "" if score.low is None else f" ({score.low:g} to {score.high:g})"
    return f"{score.value!r}{interval}{f' {score.unit}' if score.unit else ''}, better {score.better}"


def _chosen(connection: Connection, chosen: ScoreFilter) -> Iterable[Any]:
    """Yield the rows of scores, one for each name that a checkpoint has.

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
    reported = {row.model for row in rows if row.digest is None}
    wanted: set[tuple[str | None, str | None]] = set()
    unnamed: set[str] = set()
    for name in map(clean, chosen.models):
        if name in reported or find_reported_models(connection, [name]):
            wanted |= {(row.model, row.version) for row in rows if row.digest is None and row.model == name}
            continue
        refs = find_versions(connection, name)
        wanted |= {(ref.model, ref.version) for ref in refs if ref.model}
        unnamed |= {ref.digest for ref in refs if not ref.model}
    return [row for row in rows if (row.model, row.version) in wanted or (not row.model and row.digest in unnamed)]


_named = (
    select(t.structure.c.checkpoint_id, t.model.c.name.label("model"), t.label.c.name.label("version"))
    .join(t.label, t.label.c.structure_id == t.structure.c.id)
    .join(t.model, t.model.c.id == t.label.c.model_id)
    .subquery()
)
_score, _reported = t.score.c, t.reported_subject.c
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
    select(_reported.model, func.nullif(_reported.version, ""), cast(null(), Text), *_said).join(
        t.reported_subject, _reported.subject_id == _score.subject_id
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
        _reported.model,
        func.nullif(_reported.version, "").label("version"),
        cast(null(), Text).label("digest"),
        *_said[:-1],
    )
    .select_from(t.reported_subject)
    .join(t.score, _reported.subject_id == _score.subject_id)
    .where(_reported.model.in_(bindparam("models", expanding=True)), *_MEANT)
)
