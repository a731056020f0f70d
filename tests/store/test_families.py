"""One row of everything the schema holds, written by the store's own writers and read back, on both databases."""

import numpy as np
import pytest
from sqlalchemy import insert, select

import ww_core as ww
from ww_core.domain.column import Column
from ww_core.domain.outcome import Outcome, State
from ww_core.store import tables
from ww_core.store.records import DerivationRecord, Maker, OriginRecord
from ww_core.store.store import open_store


@pytest.fixture
def store(store_url, weights):
    """A store of two analysed versions, of which the first is in a series."""
    ww.analyze(weights, store=store_url, name="net", version="checkpoint-500", series="nets")
    other = weights | {"first.weight": weights["first.weight"] * np.float32(2), "half": np.ones((2, 2), np.int8)}
    ww.analyze(other, store=store_url, name="net", version="checkpoint-1000")
    with open_store(store_url) as store:
        yield store


def read(store, *columns, where=True):
    with store._reading() as connection:
        return [tuple(row) for row in connection.execute(select(*columns).where(where))]


def digests(store, table):
    return [digest for (digest,) in read(store, table.c.digest)]


def test_kinds_are_rows_and_a_new_one_is_one_row(store):
    assert {name for (name,) in read(store, tables.subject_kind.c.name)} == set(tables.SUBJECT_KINDS)
    assert {name for (name,) in read(store, tables.identity_kind.c.name)} == set(tables.IDENTITY_KINDS)
    with store._writing() as connection:
        connection.execute(insert(tables.subject_kind).values(name="neuron"))
        connection.execute(insert(tables.subject).values(digest="1" * 64, kind="neuron"))
    assert ("neuron",) in read(store, tables.subject.c.kind)


def test_a_pair_of_any_two_subjects(store):
    matrices = read(store, tables.subject.c.digest, where=tables.subject.c.kind == "matrix")
    (first,), (second,) = matrices[:2]
    layer = read(store, tables.subject.c.digest, where=tables.subject.c.kind == "layer")[0][0]
    with store.writing() as writer:
        pairs = [writer.record_pair(first, other) for other in (second, layer)]
        assert writer.record_pair(first, second) == pairs[0] != pairs[1]
    one, other = tables.subject.alias("one"), tables.subject.alias("other")
    with store._reading() as connection:
        query = (
            select(one.c.digest, other.c.digest)
            .select_from(tables.pair_subject)
            .join(one, one.c.id == tables.pair_subject.c.first_id)
            .join(other, other.c.id == tables.pair_subject.c.second_id)
        )
        assert {tuple(row) for row in connection.execute(query)} == {(first, second), (first, layer)}


def test_a_checkpoint_says_what_it_was_made_from(store):
    child, parent = digests(store, tables.checkpoint)
    made = DerivationRecord(child, (parent, "f" * 64), "averages:swa", "1", {"every": 2})
    with store.writing() as writer:
        writer.record_derivation(made)
        writer.record_derivation(made)
    own = tables.derivation.c
    assert read(store, own.transform, own.version, own.parameters) == [("averages:swa", "1", '{"every":2}')]
    parents = tables.derivation_parent.c
    assert read(store, parents.position, parents.checkpoint) == [(0, parent), (1, "f" * 64)]


def test_an_origin_says_who_made_a_table_of_a_subject(store):
    subject = read(store, tables.subject.c.digest, where=tables.subject.c.kind == "matrix")[0][0]
    identity = read(store, tables.identity.c.digest, where=tables.identity.c.key == "ww.metrics:power_law")[0][0]
    columns = [Column("sigma_max", unit="weight"), Column("kind", "text")]
    rows = [
        {"sigma_max": Outcome.of(3.5), "kind": Outcome.of("trap")},
        {"sigma_max": Outcome(State.REFUSED, reason="too close"), "kind": Outcome.of("none")},
    ]
    with store.writing() as writer:
        who = OriginRecord(7, "ww 0.1.0", Maker("traps", "ww-traps", "1.2"), (), "openblas 0.3")
        for _ in range(2):
            writer.record_table(subject, identity, columns, rows, who)
    value, column = tables.table_value.c, tables.metric_column.c
    with store._reading() as connection:
        query = (
            select(value.row, column.key, value.state, value.number, value.text, tables.origin.c.plugin)
            .join(tables.metric_column, column.id == value.column_id)
            .join(tables.origin, tables.origin.c.id == value.origin_id)
            .order_by(value.row, column.key)
        )
        assert [tuple(row) for row in connection.execute(query)] == [
            (0, "kind", "ok", None, "trap", "traps"),
            (0, "sigma_max", "ok", 3.5, None, "traps"),
            (1, "kind", "ok", None, "none", "traps"),
            (1, "sigma_max", "refused", None, None, "traps"),
        ]


def test_what_an_analysis_writes_is_read_back(store):
    label = tables.label.c
    assert read(store, label.name, label.step, label.format) == [
        ("checkpoint-500", 500, "arrays"),
        ("checkpoint-1000", 1000, "arrays"),
    ]
    in_force = read(store, tables.in_force.c.profile, tables.in_force.c.label_id)
    assert [profile for profile, _ in in_force] == ["ww.profiles:default"] * 2
    with store._reading() as connection:
        query = select(tables.summary.c.value, tables.summary.c.present).select_from(
            tables.summary.join(tables.in_force, tables.in_force.c.analysis_id == tables.summary.c.analysis_id)
            .join(tables.variant, tables.variant.c.id == tables.summary.c.variant_id)
            .join(tables.metric_column, tables.metric_column.c.id == tables.variant.c.column_id)
        )
        query = query.where(tables.metric_column.c.key == "alpha", tables.summary.c.aggregate == "mean")
        means = [tuple(row) for row in connection.execute(query)]
    reports = [store.report(f"net@checkpoint-{step}") for step in (500, 1000)]
    assert means == [(report.summary["alpha"].mean, report.summary["alpha"].count) for report in reports]


def test_garbage_takes_all_of_it_and_leaves_the_store_sound(store):
    child, parent = digests(store, tables.checkpoint)
    matrices = [digest for (digest,) in read(store, tables.subject.c.digest, where=tables.subject.c.kind == "matrix")]
    with store.writing() as writer:
        writer.record_derivation(DerivationRecord(child, (parent,), "a:b", "1", {}))
        pair = writer.record_pair(matrices[0], matrices[-1])
        writer.record_pair(pair, matrices[0])
    store.forget("net")
    before = store.count_garbage().removed
    assert store.collect_garbage().removed == before
    for table in (tables.subject, tables.checkpoint, tables.tensor, tables.derivation, tables.summary, tables.in_force):
        assert read(store, *table.primary_key) == [], table.name
    assert store.verify().faults == {}


def test_what_is_not_there_is_one_sentence(store):
    matrix = read(store, tables.subject.c.digest, where=tables.subject.c.kind == "matrix")[0][0]
    nothing = "0" * 64
    with store.writing() as writer:
        for write in (
            lambda: writer.record_members("nets", ["nix"]),
            lambda: writer.record_pair(matrix, nothing),
            lambda: writer.record_derivation(DerivationRecord(nothing, (), "a:b", "1", {})),
            lambda: writer.record_scores([ww.Score("nix", "n", "d", 1.0, "s")]),
        ):
            with pytest.raises(ww.StoreError, match="in this store"):
                write()


def test_a_column_of_rows_that_changes_its_type_is_another_column(store):
    subject = read(store, tables.subject.c.digest, where=tables.subject.c.kind == "matrix")[0][0]
    identity = read(store, tables.identity.c.digest, where=tables.identity.c.key == "ww.metrics:power_law")[0][0]
    for kind, outcome in (("float", Outcome.of(3.5)), ("text", Outcome.of("x")), ("float", Outcome.of(9.5))):
        column = Column("kind", kind)
        with store.writing() as writer:
            writer.record_table(subject, identity, [column], [{"kind": outcome}])
    value = tables.table_value.c
    assert sorted(read(store, value.number, value.text), key=str) == [(3.5, None), (None, "x")]
