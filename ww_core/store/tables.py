"""All tables of the store, as one picture. The migrations make them; a test compares the two.

Results belong to content. A ``subject`` is something a value speaks of, named by the digest of its content; an
``identity`` is a metric or extractor with version, parameters and the identities of all it needs; a ``value`` is keyed
by (subject, column of an identity). Runs, labels and models only point at content. Kinds are rows, so that a new kind
makes no table anew. All times are UTC, ISO 8601 with ``Z``. Digests are 64 hex digits of blake3. JSON is canonical
text.
"""

from __future__ import annotations

from typing import Any

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


# SQLite counts rows in 64 bits only where the key is called INTEGER.
_Key = BigInteger().with_variant(Integer, "sqlite")


def _id() -> Column[int]:
    return Column("id", _Key, primary_key=True)


def _kind(target: str) -> Column[str]:
    return Column("kind", String(16), ForeignKey(f"{target}.name"), nullable=False)


def _digest() -> Column[str]:
    return Column("digest", String(64), nullable=False, unique=True)


def _ref(
    name: str, target: str, *, primary_key: bool = False, nullable: bool = False, index: bool = True
) -> Column[int]:
    # Indexed unless another index begins with it: deleting what is pointed at must not scan what points at it.
    return Column(
        name, _Key, ForeignKey(f"{target}.id"), primary_key=primary_key, nullable=nullable, index=index or None
    )


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
    Column("created_at", String(32), nullable=False),
)

# How a source presents a checkpoint. Kinds, groups, which bias goes with which weight: these come from the source, and
# one content may come from sources that know more or less of it. The order of the layers is that of the first source.
structure = Table(
    "structure",
    metadata,
    _id(),
    _digest(),
    _ref("checkpoint_id", "checkpoint"),
    Column("parameters", BigInteger, nullable=False),
)

layer = Table(
    "layer",
    metadata,
    _id(),
    _ref("structure_id", "structure", index=False),
    Column("position", Integer, nullable=False),
    Column("name", Text, nullable=False),
    Column("kind", String(16), nullable=False),
    Column("groups", Integer, nullable=False),
    Column("split", String(64), nullable=False),
    Column("rounding", Text, nullable=False, default=""),  # of the weight, as JSON; empty: as its dtype says
    Column("shape", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("weight_name", Text, nullable=False),
    Column("bias_name", Text, nullable=False),  # empty: it has none
    _ref("weight_id", "tensor", nullable=True),  # NULL: it could not be read
    _ref("bias_id", "tensor", nullable=True),
    UniqueConstraint("structure_id", "position"),
)

skipped_tensor = Table(
    "skipped_tensor",
    metadata,
    _ref("structure_id", "structure", primary_key=True, index=False),
    Column("position", Integer, primary_key=True),
    Column("name", Text, nullable=False),
    Column("dtype", Text, nullable=False),
    Column("shape", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column(
        "tied_to", Text, nullable=False
    ),  # name of the tensor whose numbers these are or make; empty: they are its own
    _ref("tensor_id", "tensor", nullable=True),  # NULL: it could not be read, or is tied
)

# A checkpoint that was made from others. Parents are named by their digests, which are known also where they are gone.
derivation = Table(
    "derivation",
    metadata,
    _id(),
    _digest(),
    _ref("checkpoint_id", "checkpoint"),
    Column("transform", Text, nullable=False),  # what made it, as plugin:name
    Column("version", Text, nullable=False),
    Column("parameters", Text, nullable=False),
    Column("created_at", String(32), nullable=False),
)

derivation_parent = Table(
    "derivation_parent",
    metadata,
    _ref("derivation_id", "derivation", primary_key=True, index=False),
    Column("position", Integer, primary_key=True),
    Column("checkpoint", String(64), nullable=False, index=True),
)

file_digest = Table(
    "file_digest",
    metadata,
    Column("key", String(64), primary_key=True),  # digest of host, path and tensor name, which may be long
    Column("path", Text, nullable=False),
    Column("stamp", Text, nullable=False),  # size, times, inode, offset, dtype and shape the digest was taken under
    Column("digest", String(64), nullable=False),
)

# --- names: models, their versions, families, reported scores ---------------------------------------------------------

model = Table(
    "model",
    metadata,
    _id(),
    Column("name", Text, nullable=False, unique=True),
    Column("created_at", String(32), nullable=False),
)

label = Table(
    "label",
    metadata,
    _id(),
    _ref("model_id", "model", index=False),
    Column("name", Text, nullable=False),
    Column("position", Integer, nullable=False),  # order in which the versions of a model were recorded, from 1
    Column("step", BigInteger, nullable=True),  # place among the versions, where all of them have one
    _ref("structure_id", "structure"),
    Column("source", Text, nullable=False),
    Column("location", Text, nullable=False),  # absolute path of the source; empty: it is no file
    Column("home", Text, nullable=False),  # what the default name of the source speaks of
    Column("format", Text, nullable=False),
    Column("options", Text, nullable=False),  # what a person said of the source: its groups
    Column("created_at", String(32), nullable=False),
    UniqueConstraint("model_id", "name"),
    UniqueConstraint("model_id", "position"),
)

series = Table(
    "series",
    metadata,
    _id(),
    Column("name", Text, nullable=False, unique=True),
)

# A member is a model, or a reported one of which there are no weights: the subject of its name, not of a row.
series_member = Table(
    "series_member",
    metadata,
    _id(),
    _ref("series_id", "series", index=False),
    _ref("model_id", "model", nullable=True),
    _ref("subject_id", "subject", nullable=True),
    UniqueConstraint("series_id", "model_id"),
    UniqueConstraint("series_id", "subject_id"),
    CheckConstraint("(model_id IS NULL) <> (subject_id IS NULL)", name="member"),
)

# --- subjects: what a value speaks of ---------------------------------------------------------------------------------

SUBJECT_KINDS = ("matrix", "layer", "model", "pair", "reported")
IDENTITY_KINDS = ("extractor", "spectrum", "quantity", "metric", "reported")

subject_kind = Table("subject_kind", metadata, Column("name", String(16), primary_key=True))
identity_kind = Table("identity_kind", metadata, Column("name", String(16), primary_key=True))

subject = Table("subject", metadata, _id(), _digest(), _kind("subject_kind"))

identity = Table(
    "identity",
    metadata,
    _id(),
    _digest(),
    _kind("identity_kind"),
    Column("key", Text, nullable=False),  # plugin:name, as it was called first
    Column("version", Text, nullable=False),
    Column("parameters", Text, nullable=False),
    Column("needs", Text, nullable=False),
    Column("source_digest", String(64), nullable=False),
    Column("created_at", String(32), nullable=False),
    Index(None, "key"),
)

matrix_subject = Table(
    "matrix_subject",
    metadata,
    _ref("subject_id", "subject", primary_key=True, index=False),
    _ref("tensor_id", "tensor", index=False),
    Column("groups", Integer, nullable=False),
    Column("split", String(64), nullable=False),
    Column("rounding", Text, nullable=False, default=""),
    _ref("extractor_id", "identity"),
    Column("matrix_index", Integer, nullable=False),
    _ref("context_id", "subject", nullable=True),  # the layer, for values that need more of it than the weight
    Column("rows", Integer, nullable=False),
    Column("cols", Integer, nullable=False),
    Column("entries", Integer, nullable=False),
    Index(None, "tensor_id", "extractor_id"),
)

layer_subject = Table(
    "layer_subject",
    metadata,
    _ref("subject_id", "subject", primary_key=True, index=False),
    Column("kind", String(16), nullable=False),
    Column("groups", Integer, nullable=False),
    Column("rounding", Text, nullable=False, default=""),
    _ref("weight_id", "tensor"),
    _ref("bias_id", "tensor", nullable=True),
)

model_subject = Table(
    "model_subject",
    metadata,
    _ref("subject_id", "subject", primary_key=True, index=False),
    _ref("checkpoint_id", "checkpoint"),
)

pair_subject = Table(
    "pair_subject",
    metadata,
    _ref("subject_id", "subject", primary_key=True, index=False),
    _ref("first_id", "subject"),
    _ref("second_id", "subject"),
)

reported_subject = Table(
    "reported_subject",
    metadata,
    _ref("subject_id", "subject", primary_key=True, index=False),
    Column("source", Text, nullable=False),
    Column("row", Integer, nullable=False),
    Column("provider", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("layer", Text, nullable=False),  # empty: the row speaks of the whole model
    _ref("checkpoint_id", "checkpoint", nullable=True),
    Index(None, "model", "version"),
    Index(None, "source"),
)

# A table of others as it was imported: by its digest it is known when it comes again.
imported_table = Table(
    "imported_table",
    metadata,
    _id(),
    Column("source", Text, nullable=False, unique=True),
    Column("provider", Text, nullable=False),
    Column("content", String(64), nullable=False),
    Column("rows", Integer, nullable=False),
    Column("created_at", String(32), nullable=False),
)

# --- results ----------------------------------------------------------------------------------------------------------

metric_column = Table(
    "metric_column",
    metadata,
    _id(),
    _ref("identity_id", "identity", index=False),
    Column("key", Text, nullable=False),  # as it was called first
    Column("name", Text, nullable=False),
    Column("type", String(8), nullable=False),
    Column("better", String(8), nullable=False),
    Column("unit", Text, nullable=False),
    Column("standard_error", Text, nullable=False),  # key of the column of the identity that holds it; empty for none
    Column("is_table", Boolean, nullable=False),  # a subject has rows of it, in table_value
    UniqueConstraint("identity_id", "key", "type"),
    CheckConstraint("type IN ('float', 'int', 'bool', 'text')", name="type"),
    CheckConstraint("better IN ('lower', 'higher', 'none')", name="better"),
    Index(None, "name"),
)

# Why the plain mean of a column does not rank models; most columns have no such row.
column_caveat = Table(
    "column_caveat",
    metadata,
    _ref("column_id", "metric_column", primary_key=True, index=False),
    Column("caveat", Text, nullable=False),
)

# Which columns a column of yes or no casts doubt on, as "A,B"; most columns have no such row.
column_doubt = Table(
    "column_doubt",
    metadata,
    _ref("column_id", "metric_column", primary_key=True, index=False),
    Column("doubts", Text, nullable=False),
)

# Who made results; those of equal origin share a row. The run may be gone, so its number points nowhere.
origin = Table(
    "origin",
    metadata,
    _id(),
    _digest(),
    Column("run", BigInteger, nullable=False),
    Column("program", Text, nullable=False),
    Column("plugin", Text, nullable=False),
    Column("distribution", Text, nullable=False),  # empty: a file, or an object
    Column("plugin_version", Text, nullable=False),
    Column("through", Text, nullable=False),  # the other plugins behind it: JSON lists of name, distribution, version
    Column("blas", Text, nullable=False),
)


def _content() -> tuple[Column[Any] | CheckConstraint, ...]:
    # SQLite turns a bound NaN into NULL without a word, so a state stands beside every number.
    return (
        Column("state", String(16), nullable=False),
        Column("number", Double, nullable=True),
        Column("text", Text, nullable=True),
        Column("reason", Text, nullable=False),
        CheckConstraint("state IN ('ok', 'nan', 'inf', '-inf', 'not_applicable', 'refused')", name="state"),
        CheckConstraint("(state = 'ok') = ((number IS NULL) <> (text IS NULL))", name="value"),
        CheckConstraint("state = 'ok' OR (number IS NULL AND text IS NULL)", name="empty"),
    )


value = Table(
    "value",
    metadata,
    _ref("subject_id", "subject", primary_key=True, index=False),
    _ref("column_id", "metric_column", primary_key=True),
    *_content(),
    _ref("origin_id", "origin", nullable=True, index=False),
    sqlite_with_rowid=False,
)

table_value = Table(
    "table_value",
    metadata,
    _ref("subject_id", "subject", primary_key=True, index=False),
    _ref("column_id", "metric_column", primary_key=True),
    Column("row", Integer, primary_key=True),
    *_content(),
    _ref("origin_id", "origin", nullable=True, index=False),
    sqlite_with_rowid=False,
)

spectrum = Table(
    "spectrum",
    metadata,
    _ref("subject_id", "subject", primary_key=True, index=False),
    _ref("identity_id", "identity", primary_key=True),
    Column("length", BigInteger, nullable=False),
    Column("noise_floor", Double, nullable=False),
    Column("route", Text, nullable=False),
    Column("seconds", Double, nullable=False),
    Column("encoding", Text, nullable=False),
    Column("singular_values", LargeBinary, nullable=True),  # NULL: left out on request
    _ref("origin_id", "origin", nullable=True, index=False),
)

score = Table(
    "score",
    metadata,
    _id(),
    _digest(),  # of target, name, dataset and source: one number each
    _ref("checkpoint_id", "checkpoint", nullable=True),
    _ref("subject_id", "subject", nullable=True),
    Column("name", Text, nullable=False),
    Column("dataset", Text, nullable=False),
    Column("value", Double, nullable=False),
    Column("low", Double, nullable=True),  # the interval that is reported with it
    Column("high", Double, nullable=True),
    Column("unit", Text, nullable=False),
    Column("better", String(8), nullable=False),
    Column("source", Text, nullable=False),
    Column("created_at", String(32), nullable=False),
    CheckConstraint("(checkpoint_id IS NULL) <> (subject_id IS NULL)", name="target"),
    CheckConstraint("better IN ('lower', 'higher', 'none')", name="better"),
)

# What a score was before it was corrected.
replaced_score = Table(
    "replaced_score",
    metadata,
    _id(),
    _ref("score_id", "score"),
    Column("value", Double, nullable=False),
    Column("low", Double, nullable=True),
    Column("high", Double, nullable=True),
    Column("unit", Text, nullable=False),
    Column("better", String(8), nullable=False),
    Column("created_at", String(32), nullable=False),  # when it had been stored
    Column("replaced_at", String(32), nullable=False),
)

# --- what was asked, and what became of it ----------------------------------------------------------------------------

# A variant is a column of an identity under a choice of extractors: what a history is made of.
variant = Table(
    "variant",
    metadata,
    _id(),
    _digest(),
    _ref("column_id", "metric_column"),
    Column("extractors", Text, nullable=False),  # identities, by role; empty for columns of whole layers
)

selection = Table(
    "selection",
    metadata,
    _id(),
    _digest(),
    Column("profile", Text, nullable=False),  # its permanent key
    Column("experiment", Boolean, nullable=False),  # not every variant is the profile's own
    Column("narrowed", Boolean, nullable=False),  # only some metrics or layers were asked for
    Column("extractors", Text, nullable=False),  # identities, by role
    Column("layers", Text, nullable=False),  # the globs that choose layers; empty for all
)

selection_variant = Table(
    "selection_variant",
    metadata,
    _ref("selection_id", "selection", primary_key=True, index=False),
    Column("position", Integer, primary_key=True),
    _ref("variant_id", "variant"),
    Column("label", Text, nullable=False),
    Column("scope", String(8), nullable=False),
    Column("headline", Integer, nullable=True),  # place among the columns of tables for people; NULL: not among them
)

analysis = Table(
    "analysis",
    metadata,
    _id(),
    _ref("structure_id", "structure", index=False),
    _ref("selection_id", "selection"),
    _ref("model_subject_id", "subject", nullable=True),
    UniqueConstraint("structure_id", "selection_id"),
)

# One row per layer and extractor: what is to be made of it, or why nothing is.
coverage = Table(
    "coverage",
    metadata,
    _ref("analysis_id", "analysis", primary_key=True, index=False),
    Column("position", Integer, primary_key=True),
    _ref("layer_id", "layer"),
    _ref("extractor_id", "identity", nullable=True),
    Column("extractor", Text, nullable=False),
    Column("is_primary", Boolean, nullable=False),  # summaries and model metrics speak of these matrices
    Column("state", String(16), nullable=False),
    Column("reason", Text, nullable=False),
    Column("matrices", Integer, nullable=False),
    Column("rows", Integer, nullable=False),
    Column("cols", Integer, nullable=False),
    CheckConstraint("state IN ('analyzed', 'statistics', 'skipped', 'failed')", name="state"),
)

run = Table(
    "run",
    metadata,
    _id(),
    _ref("analysis_id", "analysis"),
    _ref("label_id", "label", nullable=True),  # NULL: it has none, or the label has left these weights
    Column("name", Text, nullable=False),  # the label as it was called then
    Column("profile", Text, nullable=False),  # the profile as it was called then
    Column("source", Text, nullable=False),
    Column("request", Text, nullable=False),
    Column("program", Text, nullable=False),
    Column("state", String(16), nullable=False),
    Column("started_at", String(32), nullable=False),
    Column("finished_at", String(32), nullable=True),
    Column("computed", Integer, nullable=False),
    Column("reused", Integer, nullable=False),
    Column("failed", Integer, nullable=False),
    Column("seconds", Double, nullable=False),
    Column("warnings", Text, nullable=False),  # a JSON list
    CheckConstraint("state IN ('running', 'done', 'interrupted')", name="state"),
    sqlite_autoincrement=True,  # a number that was given is never given again: reports and origins speak of it
)

run_failure = Table(
    "run_failure",
    metadata,
    _ref("run_id", "run", primary_key=True, index=False),
    Column("position", Integer, primary_key=True),
    Column("stage", Text, nullable=False),
    Column("plugin", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("message", Text, nullable=False),
)

# The analysis that answers for a label under a profile: the newest that is complete, not narrowed and no experiment.
in_force = Table(
    "in_force",
    metadata,
    _ref("label_id", "label", primary_key=True, index=False),
    Column("profile", Text, primary_key=True),  # its permanent key
    _ref("analysis_id", "analysis"),
    Column("name", Text, nullable=False),  # what the profile was called then
)

# Derived from values, and rebuildable: a leaderboard over many checkpoints never touches layer rows.
summary = Table(
    "summary",
    metadata,
    _ref("analysis_id", "analysis", primary_key=True, index=False),
    _ref("variant_id", "variant", primary_key=True, index=False),
    Column("layers", String(64), primary_key=True),  # "all", or the digest of the globs that choose layers
    Column("aggregate", String(16), primary_key=True),
    Column("value", Double, nullable=True),
    Column("present", Integer, nullable=False),
    Column("missing", Integer, nullable=False),
    Column("partial", Boolean, nullable=False),
    # With all columns in it: those of a variant, which are spread over the table, are read in one sweep.
    Index(
        "ix_summary_variant_id_aggregate_value",
        *("variant_id", "aggregate", "value", "analysis_id", "layers", "present", "missing", "partial"),
    ),
)
