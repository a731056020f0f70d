"""All tables of the store, as one picture. The migrations make them; a test compares the two.

Results belong to content. A ``subject`` is something a value speaks of, named by the digest of its content; an
``identity`` is a metric or extractor with version, parameters and the identities of all it needs; a ``value`` is keyed
by (subject, column of an identity). Runs, labels and models only point at content. All times are UTC, ISO 8601 with
``Z``. Digests are 64 hex digits of blake3. JSON is canonical text.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _id() -> Column[int]:
    return Column("id", Integer, primary_key=True)


def _digest() -> Column[str]:
    return Column("digest", String(64), nullable=False, unique=True)


def _ref(name: str, target: str, *, primary_key: bool = False, nullable: bool = False) -> Column[int]:
    return Column(name, Integer, ForeignKey(f"{target}.id"), primary_key=primary_key, nullable=nullable)


# --- content: tensors, checkpoints, the layers in them ----------------------------------------------------------------

tensor = Table(
    "tensor",
    metadata,
    _id(),
    _digest(),
    Column("dtype", String(16), nullable=False),
    Column("shape", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
)

checkpoint = Table(
    "checkpoint",
    metadata,
    _id(),
    _digest(),
    Column("provisional", Boolean, nullable=False),  # some tensor could not be read: never ranked
    Column("format", String(32), nullable=False),
    Column("parameters", BigInteger, nullable=False),
    Column("created_at", String(32), nullable=False),
)

# Kind and groups come from the source, and one content may come from a source that knows more than another.
layer = Table(
    "layer",
    metadata,
    _id(),
    _ref("checkpoint_id", "checkpoint"),
    Column("position", Integer, nullable=False),
    Column("name", Text, nullable=False),
    Column("kind", String(16), nullable=False),
    Column("groups", Integer, nullable=False),
    Column("split", String(64), nullable=False),
    _ref("weight_id", "tensor"),
    _ref("bias_id", "tensor", nullable=True),
    UniqueConstraint("checkpoint_id", "name", "kind", "groups", "split"),
    Index(None, "weight_id"),  # this and its like: without it every tensor or subject that is deleted costs a scan
    Index(None, "bias_id"),
)

file_digest = Table(
    "file_digest",
    metadata,
    Column("host", String(255), primary_key=True),
    Column("path", Text, primary_key=True),
    Column("tensor", Text, primary_key=True),
    Column("stamp", Text, nullable=False),  # size, times, inode, offset, dtype and shape the digest was taken under
    Column("digest", String(64), nullable=False),
)

# --- names: models, their versions, families, reported scores ---------------------------------------------------------

model = Table(
    "model",
    metadata,
    _id(),
    Column("name", String(255), nullable=False, unique=True),
    Column("created_at", String(32), nullable=False),
)

label = Table(
    "label",
    metadata,
    _id(),
    _ref("model_id", "model"),
    Column("name", String(255), nullable=False),
    Column("position", Integer, nullable=False),  # order of the versions of a model, from 1
    _ref("checkpoint_id", "checkpoint"),
    Column("source", Text, nullable=False),
    Column("created_at", String(32), nullable=False),
    UniqueConstraint("model_id", "name"),
    UniqueConstraint("model_id", "position"),
    Index(None, "checkpoint_id"),
)

series = Table(
    "series",
    metadata,
    _id(),
    Column("name", String(255), nullable=False, unique=True),
)

series_member = Table(
    "series_member",
    metadata,
    _ref("series_id", "series", primary_key=True),
    _ref("model_id", "model", primary_key=True),
)

# --- subjects: what a value speaks of ---------------------------------------------------------------------------------

subject = Table(
    "subject",
    metadata,
    _id(),
    _digest(),
    Column("kind", String(16), nullable=False),
    CheckConstraint("kind IN ('matrix', 'layer', 'model', 'pair', 'reported')", name="kind"),
)

identity = Table(
    "identity",
    metadata,
    _id(),
    _digest(),
    Column("kind", String(16), nullable=False),
    Column("name", String(255), nullable=False),  # plugin:name
    Column("version", String(64), nullable=False),
    Column("parameters", Text, nullable=False),
    Column("needs", Text, nullable=False),
    Column("source_digest", String(64), nullable=False),
    Column("created_at", String(32), nullable=False),
    CheckConstraint("kind IN ('extractor', 'spectrum', 'metric', 'reported')", name="kind"),
    Index(None, "name"),
)

matrix_subject = Table(
    "matrix_subject",
    metadata,
    _ref("subject_id", "subject", primary_key=True),
    _ref("tensor_id", "tensor"),
    Column("groups", Integer, nullable=False),
    Column("split", String(64), nullable=False),
    _ref("extractor_id", "identity"),
    Column("matrix_index", Integer, nullable=False),
    _ref("context_id", "subject", nullable=True),  # the layer, for values that need more of it than the weight
    Column("rows", Integer, nullable=False),
    Column("cols", Integer, nullable=False),
    Column("entries", Integer, nullable=False),
    Index(None, "tensor_id", "extractor_id"),
    Index(None, "context_id"),
)

layer_subject = Table(
    "layer_subject",
    metadata,
    _ref("subject_id", "subject", primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("groups", Integer, nullable=False),
    _ref("weight_id", "tensor"),
    _ref("bias_id", "tensor", nullable=True),
    Index(None, "weight_id"),
    Index(None, "bias_id"),
)

model_subject = Table(
    "model_subject",
    metadata,
    _ref("subject_id", "subject", primary_key=True),
    _ref("checkpoint_id", "checkpoint"),
    Index(None, "checkpoint_id"),
)

pair_subject = Table(
    "pair_subject",
    metadata,
    _ref("subject_id", "subject", primary_key=True),
    _ref("first_id", "checkpoint"),
    _ref("second_id", "checkpoint"),
    Index(None, "first_id", "second_id"),
)

reported_subject = Table(
    "reported_subject",
    metadata,
    _ref("subject_id", "subject", primary_key=True),
    Column("source", Text, nullable=False),
    Column("row", Integer, nullable=False),
    Column("provider", String(255), nullable=False),
    Column("model", Text, nullable=False),
    Column("layer", Text, nullable=False),
    _ref("checkpoint_id", "checkpoint", nullable=True),
    UniqueConstraint("source", "row", "provider"),
)

# --- results ----------------------------------------------------------------------------------------------------------

metric_column = Table(
    "metric_column",
    metadata,
    _id(),
    _ref("identity_id", "identity"),
    Column("name", String(255), nullable=False),
    Column("type", String(8), nullable=False),
    Column("better", String(8), nullable=False),
    Column("unit", String(64), nullable=False),
    UniqueConstraint("identity_id", "name"),
    CheckConstraint("type IN ('float', 'int', 'bool', 'text')", name="type"),
    CheckConstraint("better IN ('lower', 'higher', 'none')", name="better"),
    Index(None, "name"),
)

# SQLite turns a bound NaN into NULL without a word, so a state stands beside every number.
value = Table(
    "value",
    metadata,
    _ref("subject_id", "subject", primary_key=True),
    _ref("column_id", "metric_column", primary_key=True),
    Column("state", String(16), nullable=False),
    Column("number", Double, nullable=True),
    Column("text", Text, nullable=True),
    Column("reason", Text, nullable=False),
    CheckConstraint("state IN ('ok', 'nan', 'inf', '-inf', 'not_applicable', 'refused')", name="state"),
    CheckConstraint("(state = 'ok') = ((number IS NULL) <> (text IS NULL))", name="value"),
    CheckConstraint("state = 'ok' OR (number IS NULL AND text IS NULL)", name="empty"),
    Index(None, "column_id"),
    sqlite_with_rowid=False,
)

spectrum = Table(
    "spectrum",
    metadata,
    _ref("subject_id", "subject", primary_key=True),
    _ref("identity_id", "identity", primary_key=True),
    Column("length", BigInteger, nullable=False),
    Column("noise_floor", Double, nullable=False),
    Column("route", String(64), nullable=False),
    Column("seconds", Double, nullable=False),
    Column("encoding", String(32), nullable=False),
    Column("singular_values", LargeBinary, nullable=True),  # NULL: left out on request
)

score = Table(
    "score",
    metadata,
    _id(),
    _ref("checkpoint_id", "checkpoint", nullable=True),
    _ref("subject_id", "subject", nullable=True),
    Column("name", String(255), nullable=False),
    Column("dataset", String(255), nullable=False),
    Column("value", Double, nullable=False),
    Column("better", String(8), nullable=False),
    Column("source", Text, nullable=False),
    Column("created_at", String(32), nullable=False),
    CheckConstraint("(checkpoint_id IS NULL) <> (subject_id IS NULL)", name="target"),
    CheckConstraint("better IN ('lower', 'higher', 'none')", name="better"),
    # Two, as one of the ids is always NULL and a row with a NULL is never equal to another.
    UniqueConstraint("checkpoint_id", "name", "dataset", "source"),
    UniqueConstraint("subject_id", "name", "dataset", "source"),
)

# --- what was asked, and what became of it ----------------------------------------------------------------------------

# A variant is a column of an identity over one choice of extractors: what a series in time is made of.
variant = Table(
    "variant",
    metadata,
    _id(),
    _digest(),
    Column("name", Text, nullable=False),
    Column("profile", String(255), nullable=False),
    _ref("column_id", "metric_column"),
    Column("extractors", Text, nullable=False),
    Index(None, "name", "profile"),
)

plan = Table(
    "plan",
    metadata,
    _id(),
    _digest(),
    Column("profile", String(255), nullable=False),
    Column("content", Text, nullable=False),
)

plan_variant = Table(
    "plan_variant",
    metadata,
    _ref("plan_id", "plan", primary_key=True),
    Column("position", Integer, primary_key=True),
    _ref("variant_id", "variant"),
)

analysis = Table(
    "analysis",
    metadata,
    _id(),
    _ref("checkpoint_id", "checkpoint"),
    _ref("plan_id", "plan"),
    _ref("model_subject_id", "subject", nullable=True),
    UniqueConstraint("checkpoint_id", "plan_id"),
    Index(None, "model_subject_id"),
)

coverage = Table(
    "coverage",
    metadata,
    _ref("analysis_id", "analysis", primary_key=True),
    Column("position", Integer, primary_key=True),
    _ref("layer_id", "layer", nullable=True),
    Column("name", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    _ref("extractor_id", "identity", nullable=True),
    Column("extractor", Text, nullable=False),
    Column("state", String(16), nullable=False),
    Column("reason", Text, nullable=False),
    CheckConstraint("state IN ('analyzed', 'statistics', 'skipped', 'failed')", name="state"),
    Index(None, "layer_id"),
)

run = Table(
    "run",
    metadata,
    _id(),
    _ref("analysis_id", "analysis"),
    Column("source", Text, nullable=False),
    Column("request", Text, nullable=False),
    Column("program", String(64), nullable=False),
    Column("state", String(16), nullable=False),
    Column("started_at", String(32), nullable=False),
    Column("finished_at", String(32), nullable=True),
    Column("computed", Integer, nullable=False),
    Column("reused", Integer, nullable=False),
    Column("failed", Integer, nullable=False),
    Column("seconds", Double, nullable=False),
    CheckConstraint("state IN ('running', 'done', 'interrupted')", name="state"),
    Index(None, "analysis_id"),
)

run_failure = Table(
    "run_failure",
    metadata,
    _ref("run_id", "run", primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("stage", String(32), nullable=False),
    Column("plugin", String(255), nullable=False),
    Column("subject", Text, nullable=False),
    Column("message", Text, nullable=False),
)

# Derived from values, and rebuildable: a leaderboard over many checkpoints never touches layer rows.
summary = Table(
    "summary",
    metadata,
    _ref("checkpoint_id", "checkpoint", primary_key=True),
    _ref("variant_id", "variant", primary_key=True),
    Column("selection", String(64), primary_key=True),  # "all", or the digest of the globs that chose the layers
    Column("aggregate", String(16), primary_key=True),
    Column("value", Double, nullable=True),
    Column("present", Integer, nullable=False),
    Column("missing", Integer, nullable=False),
    Column("partial", Boolean, nullable=False),
    Index(None, "variant_id", "aggregate", "value"),
)
