"""What is special about some tables where rows go from one store to another.

Of what both stores have, the newer says what was covered, which analysis is in force, and what a score is.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from operator import itemgetter
from typing import Any

from sqlalchemy import Connection, bindparam, delete, func, select, text, update

from ww_core.errors import StoreError, UsageError
from ww_core.store import integrity
from ww_core.store import tables as t
from ww_core.store.exchange.passage import Fields, Passage, quoted
from ww_core.store.origins import origin_digest
from ww_core.store.rows import chunks, insert_many

# --- names ------------------------------------------------------------------------------------------------------------


def add_labels(passage: Passage) -> None:
    """Add labels; one that is there must stand on the same. The versions of a model stay in the order of both stores.

    Raises:
        UsageError: One stands on something else.
    """
    models = dict(passage.target.execute(select(t.model.c.id, t.model.c.name)).all())
    of_model: dict[int, list[Fields]] = defaultdict(list)
    for batch in passage.batches(t.label):
        for row in batch:
            of_model[row["model_id"]].append(row)
    for model_id, rows in of_model.items():
        coming = sorted(rows, key=itemgetter("position"))
        query = select(t.label).where(t.label.c.model_id == model_id).order_by(t.label.c.position)
        here = {row.name: row for row in passage.target.execute(query)}
        for row in coming:
            standing = here.get(row["name"])
            if standing is not None and standing.structure_id != row["structure_id"]:
                name = f"{models[model_id]}@{row['name']}"
                raise UsageError(
                    f"{name} stands on other weights or layers here (from {standing.source}): import it under another "
                    f"name, as --rename {name}={name}-2, or `ww rename` the one that is here"
                )
        new = [row for row in coming if row["name"] not in here]
        if here and new:
            _give_positions(passage.target, list(here.values()), coming)
        passage.add_named(t.label, ["model_id", "name"], coming)


def _give_positions(connection: Connection, here: Sequence[Any], coming: Sequence[Fields]) -> None:
    """Give labels that come to a model their positions among those that it has, which may have to make room."""
    order = merged_order([(row.name, row.created_at) for row in here], [(r["name"], r["created_at"]) for r in coming])
    last = max(row.position for row in here)
    if order[: len(here)] == [row.name for row in here]:  # nobody has to make room
        positions = {name: last + place for place, name in enumerate(order[len(here) :], 1)}
    else:
        positions = {name: place for place, name in enumerate(order, 1)}
        for beyond in (last + len(order), 0):  # in two steps, for no position is taken twice
            for row in here:
                moved = update(t.label).where(t.label.c.id == row.id).values(position=beyond + positions[row.name])
                connection.execute(moved)
    for row in coming:
        row["position"] = positions.get(row["name"], row["position"])


def merged_order(here: Sequence[tuple[str, str]], coming: Sequence[tuple[str, str]]) -> list[str]:
    """Put what comes among what is here: after and before what it comes after and before there, else by its time.

    Args:
        here: Names in order, with their times.
        coming: The same, some of which may be here.

    Returns:
        All names, those of ``here`` in their order.
    """
    place_of = {name: place for place, (name, _) in enumerate(here)}
    before: dict[int, list[str]] = defaultdict(list)  # what comes before each that is here, and after all of them
    next_here, highest = len(here), []
    for name, _ in reversed(coming):
        next_here = place_of.get(name, next_here)
        highest.append(next_here)
    low = 0
    for (name, moment), high in zip(coming, reversed(highest), strict=True):
        if name in place_of:
            low = max(low, place_of[name] + 1)
            continue
        while low < high and here[low][1] <= moment:
            low += 1
        before[low].append(name)
    return [
        name
        for place in range(len(here) + 1)
        for name in (*before[place], *(own for own, _ in here[place : place + 1]))
    ]


def add_imported_tables(passage: Passage) -> None:
    """Add tables of others; one of a source that is there must be the same, for their rows have the same digests.

    Raises:
        UsageError: It is another one.
    """
    contents = dict(passage.target.execute(select(t.imported_table.c.source, t.imported_table.c.content)).all())
    for batch in passage.batches(t.imported_table):
        for row in batch:
            if contents.get(row["source"], row["content"]) != row["content"]:
                raise UsageError(
                    f"another table of source {row['source']!r} is stored here: import one of them anew under another "
                    "--source, and export again"
                )
        passage.add_named(t.imported_table, ["source"], batch)


# --- weights ----------------------------------------------------------------------------------------------------------


def add_layers(passage: Passage) -> None:
    """Add the layers of new structures; those of a structure that is there may stand in another order."""
    fresh = {passage.keys["structure"][source] for source in passage.fresh["structure"]}
    for batch in passage.batches(t.layer):
        new = [row for row in batch if row["structure_id"] in fresh]
        passage.add_named(t.layer, ["structure_id", "position"], new)
        known = [row for row in batch if row["structure_id"] not in fresh]
        keys = passage.stored_keys(t.layer, ["structure_id", "name"], {row["structure_id"] for row in known})
        for row in known:
            key = keys.get((row["structure_id"], row["name"]))
            if key is None:
                raise StoreError("a structure here lacks a layer: look with `ww db check`")
            passage.place(t.layer, row["id"], key, fresh=False)


# --- runs -------------------------------------------------------------------------------------------------------------


def add_analyses(passage: Passage) -> None:
    """Add analyses. Of one that is there, the newer run says what was covered."""
    newest = dict(passage.source.execute(_NEWEST_RUNS).all())
    for batch in passage.batches(t.analysis):
        passage.add_named(t.analysis, ["structure_id", "selection_id"], batch)
        for row in batch:
            if row["id"] in passage.fresh["analysis"]:
                continue
            key = passage.keys["analysis"][row["id"]]
            here = passage.target.execute(_NEWEST_RUN, {"analysis": key}).one()
            if newest.get(row["id"], "") > (here.started_at or ""):
                gone = passage.target.execute(delete(t.coverage).where(t.coverage.c.analysis_id == key)).rowcount
                passage.added["coverage"] -= gone  # the same rows come again, unless something was lost to an exception
                passage.fresh["analysis"].add(row["id"])
                passage.has_met = True
            elif here.model_subject_id is not None:
                continue
            if row["model_subject_id"] is not None:
                passage.target.execute(
                    update(t.analysis).where(t.analysis.c.id == key).values(model_subject_id=row["model_subject_id"])
                )


_run = t.run.c
_NEWEST_RUNS = select(_run.analysis_id, func.max(_run.started_at)).group_by(_run.analysis_id)
_NEWEST_RUN = (
    select(t.analysis.c.model_subject_id, func.max(_run.started_at).label("started_at"))
    .outerjoin(t.run, _run.analysis_id == t.analysis.c.id)
    .where(t.analysis.c.id == bindparam("analysis"))
    .group_by(t.analysis.c.model_subject_id)
)


def add_runs(passage: Passage) -> None:
    """Add runs. They keep their numbers where none of these was ever given here, else they get the next ones.

    A run is known by what it was asked, of what, and when it began. One that had not ended when it came here before is
    brought to its end.
    """
    numbers, new = passage.numbers, list[int]()
    taken: set[int] = set()
    for batch in passage.batches(t.run):
        there = _runs_by_begin(passage.target, {row["analysis_id"] for row in batch})
        for row in batch:
            same = [own for own in there.get(_begin(row), ()) if own.id not in taken]
            if not same:
                new.append(row["id"])
                continue
            taken.add(same[0].id)
            passage.place(t.run, row["id"], same[0].id, fresh=False)
            if same[0].finished_at is None and row["finished_at"] is not None:
                ended = {name: row[name] for name in _ENDED}
                passage.target.execute(update(t.run).where(_run.id == same[0].id).values(ended))
                passage.fresh["run"].add(row["id"])
    _give_numbers(passage, new)
    coming = set(new)
    for batch in passage.batches(t.run):
        rows = [row | {"id": numbers[row["id"]]} for row in batch if row["id"] in coming]
        if rows:
            fields = [tuple(row.values()) for row in rows]
            passage.added["run"] += insert_many(passage.target, t.run, tuple(rows[0]), fields)
    passage.fresh["run"] |= coming


_ENDED = ("state", "finished_at", "computed", "reused", "failed", "seconds", "warnings")
_BEGIN = ("analysis_id", "started_at", "name", "profile", "source", "request", "program")


def _begin(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(row[name] for name in _BEGIN)


def _runs_by_begin(connection: Connection, analyses: Collection[int]) -> dict[tuple[Any, ...], list[Any]]:
    found: dict[tuple[Any, ...], list[Any]] = defaultdict(list)
    for chunk in chunks(sorted(analyses)):
        for row in connection.execute(select(t.run).where(_run.analysis_id.in_(chunk)).order_by(_run.id)):
            found[_begin(row._asdict())].append(row)
    return found


def _give_numbers(passage: Passage, new: Sequence[int]) -> None:
    """Give numbers to runs that are new, and to those that are gone of which origins speak."""
    numbers = passage.numbers
    told = set(passage.source.scalars(select(t.origin.c.run).distinct()))
    gone = sorted(told - set(new) - set(numbers) - {0})
    last = _last_number(passage.target)
    kept = [*new, *gone]
    if min(kept, default=last + 1) > last and max(kept, default=0) < LARGEST_KEPT:
        numbers |= {number: number for number in kept}
    else:
        numbers |= {number: last + place for place, number in enumerate(new, 1)}
    numbers[0] = 0
    _count_on_after(passage.target, max(numbers.values()))


LARGEST_KEPT = 2**31
"""What numbers of a folder are under that are kept: no store has so many runs, and it counts on from the largest."""


def _last_number(connection: Connection) -> int:
    """Return the largest number that was ever given to a run, as far as one can tell."""
    given = connection.scalar(text(_GIVEN[connection.dialect.name]))
    told = [connection.scalar(select(func.max(own))) for own in (_run.id, t.origin.c.run)]
    return max(own or 0 for own in (given, *told))


def _count_on_after(connection: Connection, number: int) -> None:
    """Let the database never give a number up to this one to a run."""
    for statement in _COUNT_ON[connection.dialect.name]:
        connection.execute(text(statement), {"number": number})


_GIVEN = {
    "sqlite": "SELECT seq FROM sqlite_sequence WHERE name = 'run'",
    "postgresql": "SELECT last_value FROM run_id_seq WHERE is_called",
}
_COUNT_ON = {
    "sqlite": (
        """
        INSERT INTO sqlite_sequence (name, seq)
        SELECT 'run', 0 WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = 'run')
        """,
        "UPDATE sqlite_sequence SET seq = max(seq, :number) WHERE name = 'run'",
    ),
    "postgresql": (
        """
        SELECT setval('run_id_seq', :number) FROM run_id_seq
        WHERE CASE WHEN is_called THEN last_value ELSE 0 END < :number
        """,
    ),
}


def add_origins(passage: Passage) -> None:
    """Add origins, with the numbers that runs have here; 0 for one that is gone, where its number means another run."""
    numbers = passage.numbers
    for batch in passage.batches(t.origin):
        for row in batch:
            number = row["run"]
            if number in numbers:
                row["run"] = numbers[number]
            elif not _is_told_here(passage.target, row):
                row["run"] = 0
            if row["run"] != number:
                row["digest"] = origin_digest({name: own for name, own in row.items() if name not in {"id", "digest"}})
        passage.add_digests(t.origin, batch)


def _is_told_here(connection: Connection, row: Fields) -> bool:
    """Whether the target has this origin too, of a run that is gone there as well."""
    here = select(t.origin.c.id).where(t.origin.c.digest == row["digest"])
    alive = select(_run.id).where(_run.id == row["run"])
    return connection.scalar(here) is not None and connection.scalar(alive) is None


def add_in_force(passage: Passage) -> None:
    """Let analyses be in force. Of two for one label and profile it is the one whose run began last."""
    force = t.in_force.c
    for batch in passage.lists(t.in_force):
        rows = [dict(zip(t.in_force.columns.keys(), row, strict=True)) for row in batch]
        there = defaultdict(list)
        for chunk in chunks(sorted({row["label_id"] for row in rows})):
            for own in passage.target.execute(select(t.in_force).where(force.label_id.in_(chunk))):
                there[own.label_id].append(own)
        for row in rows:
            # As when a run ends: a profile that was renamed gives way, and so does one that took its name.
            same = [own for own in there[row["label_id"]] if own.profile == row["profile"] or own.name == row["name"]]
            if same and _newest(passage.target, row["label_id"], [row["analysis_id"]]) <= _newest(
                passage.target, row["label_id"], [own.analysis_id for own in same]
            ):
                continue
            for own in same:
                gone = delete(t.in_force).where(force.label_id == own.label_id, force.profile == own.profile)
                passage.target.execute(gone)
            passage.insert(t.in_force, [row])


def _newest(connection: Connection, label: int, analyses: Sequence[int]) -> str:
    """When the newest run began that ended and made one of these analyses for a label."""
    done = (_run.label_id == label, _run.analysis_id.in_(analyses), _run.state == "done")
    return connection.scalar(select(func.max(_run.started_at)).where(*done)) or ""


# --- results ----------------------------------------------------------------------------------------------------------


def add_spectra(passage: Passage) -> None:
    """Add spectra; one whose singular values were left out is made whole."""
    names = tuple(t.spectrum.columns.keys())
    content = names.index("singular_values")
    for batch in passage.lists(t.spectrum, FEW_SPECTRA):
        whole = [tuple(row) for row in batch if row[content] is not None]
        bare = [tuple(row) for row in batch if row[content] is None]
        added = insert_many(passage.target, t.spectrum, names, whole, where_null="singular_values")
        passage.added["spectrum"] += added + insert_many(passage.target, t.spectrum, names, bare)


FEW_SPECTRA = 25
"""Spectra that are in memory at a time."""


def add_table_values(passage: Passage) -> None:
    """Add the rows that a column has of a subject, unless it has some already."""
    own = t.table_value.c
    ours: set[tuple[int, int]] = set()  # those that the batch before began
    for batch in passage.lists(t.table_value):
        there = {
            tuple(pair)
            for chunk in chunks(sorted({row[0] for row in batch}))
            for pair in passage.target.execute(
                select(own.subject_id, own.column_id).where(own.subject_id.in_(chunk)).distinct()
            )
        } - ours
        new = [tuple(row) for row in batch if (row[0], row[1]) not in there]
        names = quoted(t.table_value.columns.keys())
        passage.added["table_value"] += insert_many(passage.target, t.table_value, names, new)
        ours = {(row[0], row[1]) for row in new}


# --- what others say --------------------------------------------------------------------------------------------------


def add_scores(passage: Passage) -> None:
    """Add scores. Of two numbers for one score the newer holds, and the other is what it replaced."""
    for batch in passage.batches(t.score):
        there: dict[str, Any] = {}
        for chunk in chunks([row["digest"] for row in batch]):
            rows = passage.target.execute(select(t.score).where(t.score.c.digest.in_(chunk)))
            there |= {row.digest: row for row in rows}
        passage.add_digests(t.score, batch)
        for row in batch:
            here = there.get(row["digest"])
            if here is None or _numbers(row) == _numbers(before := here._asdict()):
                continue
            if row["created_at"] > here.created_at:
                today = {name: row[name] for name in (*_NUMBERS, "created_at")}
                passage.target.execute(update(t.score).where(t.score.c.id == here.id).values(today))
                _replace(passage, here.id, before, row["created_at"])
            else:
                _replace(passage, here.id, row, here.created_at)


_NUMBERS = ("value", "low", "high", "unit", "better")


def _numbers(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(row[name] for name in _NUMBERS)


def _replace(passage: Passage, score: int, before: Mapping[str, Any], moment: str) -> None:
    """Keep what a score was before, once, and since when it is no more."""
    own = t.replaced_score.c
    for row in passage.target.execute(select(t.replaced_score).where(own.score_id == score)):
        if (*_numbers(row._asdict()), row.created_at) == (*_numbers(before), before["created_at"]):
            if moment < row.replaced_at:
                passage.target.execute(update(t.replaced_score).where(own.id == row.id).values(replaced_at=moment))
            return
    kept = {name: before[name] for name in (*_NUMBERS, "created_at")}
    passage.insert(t.replaced_score, [{"score_id": score, **kept, "replaced_at": moment}])


def add_replaced_scores(passage: Passage) -> None:
    """Add what scores were before."""
    for batch in passage.batches(t.replaced_score):
        for row in batch:
            _replace(passage, row["score_id"], row, row["replaced_at"])


# --- afterwards -------------------------------------------------------------------------------------------------------


def mend_summaries(passage: Passage) -> None:
    """Write means anew where analyses of both stores have met: what one lacked may have come from the other."""
    known = sum(map(bool, passage.keys["analysis"])) > passage.added["analysis"]
    met = passage.kept["value"] or known
    if passage.has_met or (met and (passage.added["value"] or passage.added["analysis"])):
        integrity.mend_summaries(passage.target, set(passage.source.scalars(_ANALYSED)))


_ANALYSED = (
    select(t.checkpoint.c.digest)
    .join(t.structure, t.structure.c.checkpoint_id == t.checkpoint.c.id)
    .join(t.analysis, t.analysis.c.structure_id == t.structure.c.id)
    .distinct()
)


SPECIAL: Mapping[str, Callable[[Passage], None]] = {
    "label": add_labels,
    "imported_table": add_imported_tables,
    "layer": add_layers,
    "analysis": add_analyses,
    "run": add_runs,
    "origin": add_origins,
    "in_force": add_in_force,
    "spectrum": add_spectra,
    "table_value": add_table_values,
    "score": add_scores,
    "replaced_score": add_replaced_scores,
}
"""Rules by the names of tables."""
