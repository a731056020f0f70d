"""Tables of others: stored as they are, known by their content, replaced as a whole, and never mixed with our own."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest
from sqlalchemy import func, select, update

import ww_core as ww
from ww_core.domain.outcome import Outcome, State
from ww_core.store import tables
from ww_core.store.store import open_store

ALPHA = ww.ReportedColumn("alpha", "w:alpha", "1", "The exponent.", better="lower", caveat="not over depth")
NAME = ww.ReportedColumn("kind", "w:kind", "1", "The kind of the layer.", type="text")
COUNT = ww.ReportedColumn("n", "w:n", "1", "Rows.", type="int", unit="count")
SHORT = ww.ReportedColumn("short", "w:short", "1", "Whether the tail is short.", type="bool")

OUTCOMES = (
    {"alpha": Outcome.of(3.25), "kind": Outcome.of("dense"), "n": Outcome.of(7), "short": Outcome.of(True)},
    {
        "alpha": Outcome(State.NOT_APPLICABLE, reason="the table has no value here"),
        "kind": Outcome.of(""),
        "n": Outcome.of(-(2**53)),
        "short": Outcome.of(False),
    },
    {
        "alpha": Outcome(State.NAN, reason="the table says nan"),
        "kind": Outcome(State.REFUSED, reason="no"),
        "short": Outcome(State.FAILED, reason="lost"),
    },
    {"alpha": Outcome(State.INF, reason="the table says inf")},
    {"alpha": Outcome(State.NEGATIVE_INF, reason="the table says -inf")},
)
TABLE = ww.ReportedTable(
    source="layers.csv",
    provider="weightwatcher 0.2.7",
    columns=(ALPHA, NAME, COUNT, SHORT),
    rows=tuple(
        ww.ReportedEntry(model, values, version, layer)
        for (model, version, layer), values in zip(
            [("R18", "", "conv1"), ("R18", "", "conv1"), ("R18", "bn", ""), ("R34", "", "a"), ("R34", "", "b")],
            OUTCOMES,
            strict=True,
        )
    ),
    series={"R18": ("ResNet",), "R34": ("ResNet", "large")},
    scores=(ww.Score("R18", "error", "digits", 30.0, "layers.csv", better="lower"),),
)


@pytest.fixture
def store(store_url):
    with open_store(store_url) as store:
        yield store


def record(store, table=TABLE, *, replacing=False):
    with store.writing() as writer:
        return writer.record_reported_table(table, replace=replacing)


def counts(store):
    names = ("reported_subject", "subject", "value", "imported_table", "identity", "metric_column", "column_caveat")
    with store._reading() as connection:
        return {
            name: connection.scalar(select(func.count()).select_from(tables.metadata.tables[name]))
            for name in (*names, "series", "series_member", "score")
        }


def test_values_and_states_are_as_given(store):
    stored = record(store)
    assert (stored.source, stored.provider, stored.models, stored.rows, stored.scores, stored.is_new) == (
        "layers.csv",
        "weightwatcher 0.2.7",
        3,
        5,
        1,
        True,
    )
    found = store.reported_table("layers.csv")
    assert list(found.places["model"]) == ["R18", "R18", "R18", "R34", "R34"]
    assert list(found.places["version"]) == ["", "", "bn", "", ""]
    assert list(found.places["layer"]) == ["conv1", "conv1", "", "a", "b"]
    for column in TABLE.columns:
        for at, row in enumerate(TABLE.rows):
            own = row.values.get(column.name)
            missing = own is None or own.state is State.FAILED
            assert found.states[column.name][at] == ("missing" if missing else own.state), (column.name, at)
            if own is not None and own.is_ok:
                kept = found.texts[column.name][at] if column.type == "text" else found.numbers[column.name][at]
                assert kept == own.value, (column.name, at)
    with store._reading() as connection:
        value, column = tables.value.c, tables.metric_column.c
        query = (
            select(value.reason)
            .join(tables.metric_column, column.id == value.column_id)
            .where(column.name == "alpha", value.state == "nan")
        )
        assert connection.scalar(query) == "the table says nan"
    assert [(own.series, own.model, own.version) for own in store.series()] == [
        ("ResNet", "R18", ""),
        ("ResNet", "R18", "bn"),
        ("ResNet", "R34", ""),
        ("large", "R34", ""),
    ]
    assert [(own.model, own.value, own.digest) for own in store.scores()] == [("R18", 30.0, None)]
    assert store.verify().faults == {}


def test_the_same_table_again_adds_nothing(store):
    record(store)
    before = counts(store)
    again = record(store, replace(TABLE, notes=("a note",)))
    assert (again.is_new, again.rows, again.values) == (False, 5, record(store).values)
    assert counts(store) == before
    # Whatever order series and scores come in.
    record(store, replace(TABLE, series={"R34": ("large", "ResNet"), "R18": ("ResNet",)}))
    assert counts(store) == before


OTHERS = {
    "a value": replace(TABLE, rows=(TABLE.rows[0]._replace(values={"alpha": Outcome.of(3.5)}), *TABLE.rows[1:])),
    "a state": replace(TABLE, rows=(*TABLE.rows[:-1], TABLE.rows[-1]._replace(values=OUTCOMES[3]))),
    "a row less": replace(TABLE, rows=TABLE.rows[:-1]),
    "a model": replace(TABLE, rows=(TABLE.rows[0]._replace(model="R50"), *TABLE.rows[1:])),
    "a provider": replace(TABLE, provider="weightwatcher 0.2.8"),
    "a definition": replace(TABLE, columns=(replace(ALPHA, definition="Another."), *TABLE.columns[1:])),
    "a direction": replace(TABLE, columns=(replace(ALPHA, better="none", caveat=""), *TABLE.columns[1:])),
    "a score": replace(TABLE, scores=(TABLE.scores[0]._replace(value=31.0),)),
}


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
def test_another_table_of_the_source_is_refused_or_takes_its_place(store, other):
    record(store)
    before = counts(store)
    with pytest.raises(ww.UsageError, match=r"another table of source 'layers.csv' is stored .*: --replace"):
        record(store, other)
    assert counts(store) == before
    assert record(store, other, replacing=True).is_new
    found = store.reported_table("layers.csv")
    assert len(found) == len(other.rows)
    assert list(found.places["model"]) == [row.model for row in other.rows]
    alpha = other.rows[0].values["alpha"]
    assert found.numbers["alpha"][0] == alpha.number
    assert [own.value for own in store.scores()] == [own.value for own in other.scores]
    with store._reading() as connection:
        column = tables.metric_column.c
        identity = other.columns[0].identity
        query = (
            select(column.better, tables.column_caveat.c.caveat)
            .join(tables.identity, tables.identity.c.id == column.identity_id)
            .outerjoin(tables.column_caveat, tables.column_caveat.c.column_id == column.id)
            .where(tables.identity.c.digest == identity, column.name == "alpha")
        )
        better, caveat = connection.execute(query).one()
    assert (better, caveat or "") == (other.columns[0].better, other.columns[0].caveat)
    with store.reading() as reader:
        (stored,) = reader.reported_tables()
    assert (stored.provider, stored.rows) == (other.provider, len(other.rows))
    assert record(store, other).is_new is False
    assert store.verify().faults == {}
    # And back again: nothing is left of the one between.
    record(store, replacing=True)
    store.collect_garbage()
    kept = ("reported_subject", "subject", "value", "imported_table", "score")
    assert {name: counts(store)[name] for name in kept} == {name: before[name] for name in kept}


def test_a_corrected_score_of_a_replaced_table_is_kept(store):
    record(store)
    record(store, OTHERS["a score"], replacing=True)
    assert [own.score.value for own in store.scores().replaced] == [30.0]


def test_a_table_that_cannot_be_stored_whole_is_not_stored(store):
    record(store)
    before = counts(store)
    rival = replace(TABLE, source="other.csv", scores=(TABLE.scores[0]._replace(value=99.0),))
    with pytest.raises(ww.UsageError, match=r"layers\.csv is 30\.0 in this store, not 99\.0"):
        record(store, rival)
    assert counts(store) == before


def test_two_tables_of_the_same_definitions_share_columns_and_models(store):
    record(store)
    before = counts(store)
    record(store, replace(TABLE, source="again.csv", scores=()))
    after = counts(store)
    for name in ("identity", "metric_column", "column_caveat", "series", "series_member", "score"):
        assert after[name] == before[name], name
    assert after["value"] == 2 * before["value"]
    assert after["reported_subject"] == before["reported_subject"] + len(TABLE.rows)
    assert len(store.reported_table("weightwatcher 0.2.7")) == 10
    with store.writing() as writer:
        assert writer.remove_reported_table("layers.csv") == 5
    assert len(store.reported_table("weightwatcher 0.2.7")) == 5


def test_a_removed_table_leaves_models_series_and_scores(store):
    record(store)
    with store.writing() as writer:
        with pytest.raises(ww.UnknownNameError, match=r"unknown table 'layer\.csv': did you mean layers\.csv"):
            writer.remove_reported_table("layer.csv")
        assert writer.remove_reported_table("layers.csv") == 5
        assert writer.reported_tables() == []
    after = counts(store)
    assert (after["value"], after["imported_table"], after["reported_subject"], after["subject"]) == (0, 0, 3, 3)
    assert len(store.series()) == 4
    assert len(store.scores()) == 1
    assert not store.collect_garbage().removed  # a series and a score speak of the models
    store.remove_from_series("ResNet")
    store.remove_from_series("large")
    store.remove_scores(["R18"])
    assert store.collect_garbage().removed == {"reported_subject": 3, "subject": 3}
    assert store.verify().faults == {}


def test_rows_of_a_table_keep_their_models(store):
    record(store, replace(TABLE, series={}, scores=()))
    assert not store.collect_garbage().removed
    assert not store.count_garbage().removed
    with store.writing() as writer:
        writer.remove_reported_table("layers.csv")
    assert store.collect_garbage().removed == {"reported_subject": 3, "subject": 3}


def test_a_pair_with_a_row_goes_with_the_row(store):
    record(store)
    with store._reading() as connection:
        query = select(tables.subject.c.digest).join(tables.reported_subject).order_by(tables.reported_subject.c.row)
        digests = connection.scalars(query.where(tables.reported_subject.c.source != "")).all()
    with store.writing() as writer:
        writer.record_pair(digests[0], digests[1])
        writer.remove_reported_table("layers.csv")
    assert counts(store)["subject"] == 3
    assert store.verify().faults == {}


def test_many_may_store_one_table_at_once(store):
    failures, results = [], []

    def work(table):
        try:
            results.append(record(store, table, replacing=True).is_new)
        except Exception as failure:
            failures.append(failure)

    tables_given = [TABLE, OTHERS["a value"]] * 4
    threads = [threading.Thread(target=work, args=(table,)) for table in tables_given]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(results) == 8
    assert len(store.reported_table("layers.csv")) == 5
    assert store.verify().faults == {}


def test_damage_is_found(store):
    record(store)
    with store._writing() as connection:
        row = tables.reported_subject.c
        connection.execute(update(tables.reported_subject).where(row.row == 1).values(provider="another"))
        own = tables.identity.c
        connection.execute(update(tables.identity).where(own.key == "w:alpha").values(version="2"))
        connection.execute(update(tables.imported_table).values(rows=9))
    faults = store.verify().faults
    assert {kind: own.count for kind, own in faults.items()} == {"digest": 2, "reference": 1}
    assert faults["reference"].first == ("table layers.csv has 5 rows, and was stored with 9",)
