"""The migrations make the tables of tables.py, on both kinds of database; v_values shows what they hold."""

from __future__ import annotations

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import insert, inspect, select, text
from sqlalchemy.exc import IntegrityError

from ww_core.store import migrate, tables
from ww_core.store.engine import Location, connect
from ww_core.store.store import open_store

pytestmark = pytest.mark.migrations

DIGEST = "0" * 63


def test_there_is_one_head_and_it_is_schema_head():
    assert ScriptDirectory(str(migrate.scripts_folder())).get_heads() == [migrate.SCHEMA_HEAD]


def test_migrations_and_tables_agree(new_store_url):
    with open_store(new_store_url) as store, store._reading() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, tables.metadata) == []


def _definitions(connection) -> set[tuple[str, str]]:
    """What the database itself says of its tables and indexes, constraints and all."""
    if connection.dialect.name == "sqlite":
        rows = connection.execute(text("SELECT name, sql FROM sqlite_master WHERE type IN ('table', 'index')"))
        return {(name, line.strip(" ,\t")) for name, sql in rows for line in (sql or "").splitlines()}
    rows = connection.execute(
        text(
            "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE connamespace = 'public'::regnamespace"
            " UNION ALL SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'"
            " UNION ALL SELECT table_name || '.' || column_name, data_type || is_nullable"
            " FROM information_schema.columns WHERE table_schema = 'public' AND table_name NOT LIKE 'v\\_%'"
        )
    )
    return {tuple(row) for row in rows}


def test_migrations_and_tables_agree_to_the_letter(make_store_url):
    with open_store(make_store_url()) as store, store._reading() as connection:
        migrated = {(name, line) for name, line in _definitions(connection) if "alembic_version" not in name + line}
    engine = connect(Location.of(make_store_url()))
    with engine.begin() as connection:
        tables.metadata.create_all(connection)
        created = _definitions(connection)
    engine.dispose()
    assert migrated == created


def test_downgrade_leaves_nothing_and_upgrade_comes_back(new_store_url):
    open_store(new_store_url).close()
    engine = connect(Location.of(new_store_url))
    with engine.begin() as connection:
        command.downgrade(migrate._config(connection), "base")
    with engine.connect() as connection:
        assert inspect(connection).get_table_names() == ["alembic_version"]
        assert inspect(connection).get_view_names() == []
    engine.dispose()
    with open_store(new_store_url) as store:
        assert store.info().revision == migrate.SCHEMA_HEAD


# --- constraints ------------------------------------------------------------------------------------------------------


def fill(store):
    with store._writing() as connection:
        connection.execute(insert(tables.subject).values(id=1, digest=DIGEST + "1", kind="matrix"))
        connection.execute(insert(tables.identity).values(id=1, **identity("ww:alpha", "metric")))
        connection.execute(insert(tables.metric_column).values(id=1, identity_id=1, **column("alpha")))
        connection.execute(insert(tables.checkpoint).values(id=1, **checkpoint("1")))


@pytest.fixture
def store(make_copy):
    """A store with one of what values hang on."""
    with open_store(make_copy(fill)) as store:
        yield store


def identity(name: str, kind: str) -> dict:
    return {
        "digest": name.ljust(64, "0"),
        "kind": kind,
        "key": name,
        "version": "1",
        "parameters": "{}",
        "needs": "{}",
        "source_digest": "",
        "created_at": "2025-01-01T00:00:00Z",
    }


def checkpoint(digest: str) -> dict:
    return {"digest": digest, "provisional": False, "created_at": "2025-01-01T00:00:00Z"}


def structure(checkpoint_id: int) -> dict:
    digest = f"structure {checkpoint_id}"
    return {"digest": digest, "checkpoint_id": checkpoint_id, "parameters": 2**40}


def column(name: str) -> dict:
    return {
        "key": name,
        "name": name,
        "type": "float",
        "better": "lower",
        "unit": "",
        "standard_error": "",
        "is_table": False,
    }


def label(number: int) -> dict:
    told = {"source": "", "location": "", "home": "", "format": "", "options": "{}", "created_at": ""}
    return {"model_id": 1, "name": f"v{number}", "position": number, "structure_id": number} | told


def score(**target) -> dict:
    fixed = {"digest": "score", "name": "accuracy", "dataset": "", "value": 0.9, "better": "higher", "source": ""}
    fixed |= {"unit": ""}
    return fixed | {"created_at": ""} | target


def put_value(store, **columns) -> None:
    row = {"subject_id": 1, "column_id": 1, "state": "ok", "number": None, "text": None, "reason": ""}
    with store._writing() as connection:
        connection.execute(insert(tables.value).values(row | columns))


@pytest.mark.parametrize(
    "columns",
    [
        {"number": 1.5},
        {"text": "heavy-tailed"},
        {"state": "nan"},
        {"state": "refused", "reason": "the tail has 3 values"},
    ],
)
def test_a_value_and_its_state_agree(store, columns):
    put_value(store, **columns)
    with store._reading() as connection:
        assert connection.execute(select(tables.value.c.number)).scalar_one() == columns.get("number")


@pytest.mark.parametrize(
    "columns",
    [
        {},
        {"number": 1.5, "text": "both"},
        {"state": "refused", "number": 1.5},
        {"state": "nan", "text": "nan"},
        {"state": "error", "number": 1.5},
        {"number": float("inf"), "state": "inf"},
        {"number": 1.5, "subject_id": 2},
        {"number": 1.5, "column_id": 2},
        {"number": 1.5, "reason": None},
    ],
)
def test_a_value_that_contradicts_its_state_is_refused(store, columns):
    with pytest.raises(IntegrityError):
        put_value(store, **columns)


@pytest.mark.parametrize(
    ("table", "columns"),
    [
        ("subject", {"digest": DIGEST + "2", "kind": "network"}),
        ("subject", {"digest": DIGEST + "1", "kind": "matrix"}),
        ("identity", identity("ww:x", "plugin")),
        ("metric_column", {"identity_id": 1} | column("beta") | {"type": "complex"}),
        ("metric_column", {"identity_id": 1} | column("beta") | {"better": "more"}),
        ("metric_column", {"identity_id": 1} | column("alpha") | {"name": "other"}),
        ("series_member", {"series_id": 1}),
        ("analysis", {"structure_id": 1, "selection_id": 1}),
    ],
)
def test_other_constraints_bind(store, table, columns):
    with pytest.raises(IntegrityError), store._writing() as connection:
        connection.execute(insert(tables.metadata.tables[table]).values(columns))


@pytest.mark.parametrize("target", [{"checkpoint_id": 1}, {"subject_id": 1}])
def test_a_score_is_stored_once(store, target):
    with store._writing() as connection:
        connection.execute(insert(tables.score).values(score(**target)))
    with pytest.raises(IntegrityError), store._writing() as connection:
        connection.execute(insert(tables.score).values(score(**target)))


@pytest.mark.parametrize("target", [{}, {"checkpoint_id": 1, "subject_id": 1}])
def test_a_score_speaks_of_one_thing(store, target):
    with pytest.raises(IntegrityError), store._writing() as connection:
        connection.execute(insert(tables.score).values(score(**target)))


# --- the view ---------------------------------------------------------------------------------------------------------


def fill_view(connection) -> None:
    """Two versions that share a convolution; in the second it is grouped, and stands there twice with other biases."""

    def put(table: str, *rows: dict) -> None:
        connection.execute(insert(tables.metadata.tables[table]), list(rows))

    def layer(number: int, of: int, name: str, groups: int, bias: int | None) -> dict:
        fixed = {"kind": "conv2d", "split": "", "weight_id": 1, "position": number}
        fixed |= {"shape": "[4,4,3,3]", "size": 144, "weight_name": f"{name}.weight", "bias_name": ""}
        return {"id": number, "structure_id": of, "name": name, "groups": groups, "bias_id": bias} | fixed

    def matrix(subject: int, groups: int, index: int, context: int | None) -> dict:
        fixed = {"tensor_id": 1, "split": "", "extractor_id": 1, "rows": 9, "cols": 4, "entries": 1}
        return {"subject_id": subject, "groups": groups, "matrix_index": index, "context_id": context} | fixed

    def ok(subject: int, column: int, number: float) -> dict:
        return {"subject_id": subject, "column_id": column, "state": "ok", "number": number, "text": None, "reason": ""}

    put("tensor", *({"id": n, "digest": DIGEST + str(n), "dtype": "f4", "shape": "[]", "size": 36} for n in (1, 2, 3)))
    put("checkpoint", {"id": 1, **checkpoint("1")}, {"id": 2, **checkpoint("2")})
    put("structure", {"id": 1, **structure(1)}, {"id": 2, **structure(2)})
    put("model", {"id": 1, "name": "resnet", "created_at": ""})
    put("label", label(1), label(2))
    put(
        "layer", layer(1, 1, "stem", 1, None), layer(2, 2, "a", 2, 2), layer(3, 2, "b", 2, 3), layer(4, 2, "c", 1, None)
    )
    kinds = {1: "matrix", 2: "matrix", 3: "layer", 4: "matrix", 5: "layer", 6: "model"}
    put("subject", *({"id": n, "digest": DIGEST + str(n), "kind": kind} for n, kind in kinds.items()))
    put(
        "layer_subject",
        {"subject_id": 3, "kind": "conv2d", "groups": 2, "weight_id": 1, "bias_id": 3},
        {"subject_id": 5, "kind": "conv2d", "groups": 1, "weight_id": 1, "bias_id": None},
    )
    put("identity", {"id": 1, **identity("ww:pool", "extractor")}, {"id": 2, **identity("ww:alpha", "metric")})
    put("matrix_subject", matrix(1, 1, 0, None), matrix(2, 2, 1, None), matrix(4, 2, 0, 3))
    put(
        "metric_column",
        *({"id": n, "identity_id": 2} | column(name) for n, name in {1: "alpha", 2: "bias_norm"}.items()),
    )
    put("value", ok(1, 1, 3.5), ok(2, 1, 2.5), ok(4, 1, 4.5), ok(3, 2, 7.0), ok(5, 2, 8.0), ok(6, 1, 9.0))
    refused = {"state": "refused", "number": None, "reason": "too few values"}
    put("value", ok(1, 2, 0.0) | refused)


def test_values_show_what_every_layer_of_every_version_has(store_url):
    with open_store(store_url) as store:
        with store._writing() as connection:
            fill_view(connection)
        with store._reading() as connection:
            rows = connection.execute(text("SELECT * FROM v_values")).mappings().all()
    assert {(row["extractor"], row["extractor_version"]) for row in rows} == {("ww:pool", "1"), (None, None)}
    assert {(row["model"], row["metric"], row["metric_version"], row["parameters"]) for row in rows} == {
        ("resnet", "ww:alpha", "1", "{}")
    }
    names = ("version", "scope", "layer", "matrix_index", "column_name", "state", "value", "text", "reason")
    assert sorted([tuple(row[name] for name in names) for row in rows], key=repr) == sorted(
        [
            ("v1", "matrix", "stem", 0, "alpha", "ok", 3.5, None, ""),
            ("v1", "matrix", "stem", 0, "bias_norm", "refused", None, None, "too few values"),
            ("v1", "layer", "stem", None, "bias_norm", "ok", 8.0, None, ""),
            ("v2", "matrix", "a", 1, "alpha", "ok", 2.5, None, ""),
            ("v2", "matrix", "b", 1, "alpha", "ok", 2.5, None, ""),
            ("v2", "matrix", "b", 0, "alpha", "ok", 4.5, None, ""),
            ("v2", "layer", "b", None, "bias_norm", "ok", 7.0, None, ""),
            ("v2", "matrix", "c", 0, "alpha", "ok", 3.5, None, ""),
            ("v2", "matrix", "c", 0, "bias_norm", "refused", None, None, "too few values"),
            ("v2", "layer", "c", None, "bias_norm", "ok", 8.0, None, ""),
        ],
        key=repr,
    )
