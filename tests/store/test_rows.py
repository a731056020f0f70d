"""Statements that go to SQLite's driver at once answer as those that go through SQLAlchemy; rows are inserted."""

from __future__ import annotations

import numpy as np
import pytest
from sqlalchemy import bindparam, delete, func, select, update

import ww_core as ww
from ww_core.store import tables as t
from ww_core.store.rows import (
    SQLITE_INSERTED,
    execute,
    insert_missing,
    insert_one,
    keys_by_digest,
    record_by_digest,
    upsert,
)
from ww_core.store.store import open_store

CHOSEN = t.coverage.c.position.in_(bindparam("chosen", expanding=True))
QUERIES = [
    select(t.coverage).where(CHOSEN, t.coverage.c.extractor == bindparam("name")).order_by(t.coverage.c.position),
    select(t.spectrum).order_by(t.spectrum.c.subject_id).limit(2),
    select(t.layer.c.name, t.tensor.c.digest, t.layer.c.id.label("count"))
    .outerjoin(t.tensor, t.tensor.c.id == t.layer.c.bias_id)
    .order_by(t.layer.c.position),
    select(t.tensor.c.id, t.coverage.c.is_primary).outerjoin(t.coverage, t.coverage.c.position == -t.tensor.c.id),
    select(func.coalesce(func.max(t.run.c.seconds), 0.0).label("seconds"), func.count()).where(t.run.c.name == ""),
    select(t.layer.c.name, t.tensor.c.id, t.layer.c.id).join(t.tensor, t.tensor.c.id == t.layer.c.weight_id),
]
PARAMETERS = [{"chosen": chosen, "name": "matrix"} for chosen in ([0, 2], [1], [])]


@pytest.fixture
def connection(store_url):
    weights = {f"{n}.weight": np.random.default_rng(n).standard_normal((6, 5)) for n in range(3)}
    with open_store(store_url) as store:
        ww.analyze(weights, store=store, name="net", metrics=["alpha"])
        with store._writing() as connection:
            yield connection


@pytest.mark.parametrize("query", QUERIES)
@pytest.mark.parametrize("parameters", PARAMETERS)
def test_rows_are_those_of_sqlalchemy(connection, query, parameters):
    expected = connection.execute(query, parameters).all()
    found = execute(connection, query, parameters)
    assert [tuple(row) for row in found] == [tuple(row) for row in expected]
    assert [list(map(type, row)) for row in found] == [list(map(type, row)) for row in expected]
    for name in ("position", "is_primary", "length", "digest", "seconds", "name"):
        assert [getattr(row, name, None) for row in found] == [getattr(row, name, None) for row in expected]


def test_what_changes_rows_is_done_and_answers_nothing(connection):
    renamed = update(t.model).where(t.model.c.name == bindparam("old")).values(name=bindparam("new"))
    assert execute(connection, renamed, {"old": "net", "new": "other"}) == []
    assert [row.name for row in execute(connection, select(t.model.c.name), {})] == ["other"]
    assert (
        execute(connection, delete(t.summary).where(t.summary.c.analysis_id > bindparam("least")), {"least": 0}) == []
    )
    assert execute(connection, select(t.summary.c.layers), {}) == []


COUNTS = [0, 1, SQLITE_INSERTED - 1, SQLITE_INSERTED, SQLITE_INSERTED + 1, 3 * SQLITE_INSERTED + 2]


@pytest.mark.parametrize("count", COUNTS)
def test_any_number_of_rows_is_inserted_once_and_found_by_digest(connection, count):
    rows = [{"digest": f"{n:064x}", "kind": "matrix"} for n in range(count)]
    before = len(execute(connection, select(t.subject.c.id), {}))
    keys = record_by_digest(connection, t.subject, rows[: count // 2])
    assert list(keys) == [row["digest"] for row in rows[: count // 2]]
    assert record_by_digest(connection, t.subject, rows[::-1]).items() >= keys.items()
    again = record_by_digest(connection, t.subject, rows)
    assert again == keys_by_digest(connection, t.subject, [row["digest"] for row in rows])
    assert len(set(again.values())) == count
    assert len(execute(connection, select(t.subject.c.id), {})) == before + count


@pytest.mark.parametrize("count", COUNTS)
def test_any_number_of_rows_is_inserted_or_updated(connection, count):
    rows = [{"key": f"{n}", "path": "a\0b", "stamp": "old", "digest": f"{n}"} for n in range(count)]
    insert_missing(connection, t.file_digest, rows[::2])
    upsert(connection, t.file_digest, [row | {"stamp": "new"} for row in rows], update_columns=["stamp"])
    insert_missing(connection, t.file_digest, [row | {"stamp": "newest"} for row in rows])
    found = execute(connection, select(t.file_digest), {})
    assert sorted(found) == sorted((row["key"], "a\\x00b", "new", row["digest"]) for row in rows)


def test_a_new_row_tells_its_key(connection):
    keys = [insert_one(connection, t.model, {"name": name, "created_at": "now"}) for name in ("one", "two")]
    assert execute(connection, select(t.model.c.id).where(t.model.c.name == bindparam("name")), {"name": "two"}) == [
        (keys[1],)
    ]
    assert keys[0] != keys[1]
