"""First schema: content, names, subjects, results, runs, summaries, and views for people.

Revision 0001.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TABLES = [
    "checkpoint",
    "file_digest",
    "identity_kind",
    "model",
    "origin",
    "selection",
    "series",
    "subject_kind",
    "tensor",
    "derivation",
    "identity",
    "structure",
    "subject",
    "analysis",
    "derivation_parent",
    "label",
    "layer",
    "layer_subject",
    "matrix_subject",
    "metric_column",
    "model_subject",
    "pair_subject",
    "reported_subject",
    "score",
    "series_member",
    "skipped_tensor",
    "spectrum",
    "coverage",
    "in_force",
    "run",
    "table_value",
    "value",
    "variant",
    "selection_variant",
    "run_failure",
    "summary",
]

SUBJECT_KINDS = ["matrix", "layer", "model", "pair", "reported"]
IDENTITY_KINDS = ["extractor", "spectrum", "quantity", "metric", "reported"]

# Views, for people and other programs: the same text on both databases. Values belong to content, so a version shows
# those of the content of its layers, as its own source presented them. A matrix with a context only speaks for layers
# that are that context: a LEFT JOIN, because of EXISTS a server takes the whole for so dear that it compiles it first.
# CROSS JOIN is INNER JOIN to a server; SQLite keeps to its order, and so comes from names to the keys of values whether
# it has statistics or not. Where the parts of a UNION have one affinity in each column, which NULL is cast for, SQLite
# moves a query into each of them, and makes no list of the whole first.
VERSION = """
    model.name AS model,
    label.name AS version,
    label.step AS step,
    label.position AS position,
"""

IN_FORCE = f"""
{VERSION}
    label.created_at AS created_at,
    checkpoint.digest AS digest,
    in_force.name AS profile,
"""

COLUMNS_IN_FORCE = """
FROM model
CROSS JOIN label
CROSS JOIN structure
CROSS JOIN checkpoint
CROSS JOIN in_force
CROSS JOIN analysis
CROSS JOIN selection_variant
CROSS JOIN variant
CROSS JOIN metric_column
"""

OF_COLUMNS_IN_FORCE = """
WHERE label.model_id = model.id
    AND structure.id = label.structure_id
    AND checkpoint.id = structure.checkpoint_id
    AND in_force.label_id = label.id
    AND analysis.id = in_force.analysis_id
    AND selection_variant.selection_id = analysis.selection_id
    AND variant.id = selection_variant.variant_id
    AND metric_column.id = variant.column_id
"""

OF_MATRIX = """
    AND matrix_subject."groups" = layer."groups"
    AND matrix_subject.split = layer.split
    AND matrix_subject.rounding = layer.rounding
    AND (matrix_subject.context_id IS NULL OR (
        context.weight_id = layer.weight_id
        AND context.kind = layer.kind
        AND context."groups" = layer."groups"
        AND context.rounding = layer.rounding
        AND coalesce(context.bias_id, 0) = coalesce(layer.bias_id, 0)
    ))
"""

OF_LAYER = """
    AND layer_subject.weight_id = layer.weight_id
    AND layer_subject.kind = layer.kind
    AND layer_subject."groups" = layer."groups"
    AND layer_subject.rounding = layer.rounding
    AND coalesce(layer_subject.bias_id, 0) = coalesce(layer.bias_id, 0)
"""

IN_METRICS = """
    selection_variant.label AS column_name,
    value.number AS value,
    value.text AS text,
    value.state AS state,
    metric_column.better AS better,
    metric_column.unit AS unit
"""

METRICS = f"""
CREATE VIEW v_metrics AS
SELECT
{IN_FORCE}
    'matrix' AS scope,
    layer.name AS layer,
    coverage.extractor AS extractor,
    matrix_subject.matrix_index AS matrix_index,
{IN_METRICS}
{COLUMNS_IN_FORCE}
CROSS JOIN coverage
CROSS JOIN layer
CROSS JOIN matrix_subject
LEFT JOIN layer_subject AS context ON context.subject_id = matrix_subject.context_id
CROSS JOIN value
{OF_COLUMNS_IN_FORCE}
    AND selection_variant.scope = 'matrix'
    AND coverage.analysis_id = analysis.id
    AND coverage.state = 'analyzed'
    AND layer.id = coverage.layer_id
    AND matrix_subject.tensor_id = layer.weight_id
    AND matrix_subject.extractor_id = coverage.extractor_id
    AND matrix_subject.matrix_index < coverage.matrices
{OF_MATRIX}
    AND value.subject_id = matrix_subject.subject_id
    AND value.column_id = variant.column_id
UNION ALL
SELECT
{IN_FORCE}
    'layer',
    layer.name,
    CAST(NULL AS TEXT),
    CAST(NULL AS INTEGER),
{IN_METRICS}
{COLUMNS_IN_FORCE}
CROSS JOIN layer
CROSS JOIN layer_subject
CROSS JOIN value
{OF_COLUMNS_IN_FORCE}
    AND selection_variant.scope = 'layer'
    AND layer.structure_id = analysis.structure_id
{OF_LAYER}
    AND value.subject_id = layer_subject.subject_id
    AND value.column_id = variant.column_id
UNION ALL
SELECT
{IN_FORCE}
    'model',
    CAST(NULL AS TEXT),
    CAST(NULL AS TEXT),
    CAST(NULL AS INTEGER),
{IN_METRICS}
{COLUMNS_IN_FORCE}
CROSS JOIN value
{OF_COLUMNS_IN_FORCE}
    AND selection_variant.scope = 'model'
    AND value.subject_id = analysis.model_subject_id
    AND value.column_id = variant.column_id
"""

IN_VALUES = """
    metric_column.name AS column_name,
    meaning.key AS metric,
    meaning.version AS metric_version,
    meaning.parameters AS parameters,
    meaning.needs AS needs,
    meaning.digest AS identity,
    subject.digest AS subject,
    value.number AS value,
    value.text AS text,
    value.state AS state,
    value.reason AS reason,
    metric_column.better AS better,
    metric_column.unit AS unit
"""

VALUES_OF_SUBJECT = """
CROSS JOIN subject
CROSS JOIN value
CROSS JOIN metric_column
CROSS JOIN identity AS meaning
"""

OF_VALUES_OF_SUBJECT = """
    AND value.subject_id = subject.id
    AND metric_column.id = value.column_id
    AND meaning.id = metric_column.identity_id
"""

VALUES = f"""
CREATE VIEW v_values AS
SELECT
{VERSION}
    'matrix' AS scope,
    layer.name AS layer,
    extractor.key AS extractor,
    extractor.version AS extractor_version,
    extractor.parameters AS extractor_parameters,
    matrix_subject.matrix_index AS matrix_index,
{IN_VALUES}
FROM model
CROSS JOIN label
CROSS JOIN layer
CROSS JOIN matrix_subject
LEFT JOIN layer_subject AS context ON context.subject_id = matrix_subject.context_id
CROSS JOIN identity AS extractor
{VALUES_OF_SUBJECT}
WHERE label.model_id = model.id
    AND layer.structure_id = label.structure_id
    AND matrix_subject.tensor_id = layer.weight_id
{OF_MATRIX}
    AND extractor.id = matrix_subject.extractor_id
    AND subject.id = matrix_subject.subject_id
{OF_VALUES_OF_SUBJECT}
UNION ALL
SELECT
{VERSION}
    'layer',
    layer.name,
    CAST(NULL AS TEXT),
    CAST(NULL AS TEXT),
    CAST(NULL AS TEXT),
    CAST(NULL AS INTEGER),
{IN_VALUES}
FROM model
CROSS JOIN label
CROSS JOIN layer
CROSS JOIN layer_subject
{VALUES_OF_SUBJECT}
WHERE label.model_id = model.id
    AND layer.structure_id = label.structure_id
{OF_LAYER}
    AND subject.id = layer_subject.subject_id
{OF_VALUES_OF_SUBJECT}
UNION ALL
SELECT
{VERSION}
    'model',
    CAST(NULL AS TEXT),
    CAST(NULL AS TEXT),
    CAST(NULL AS TEXT),
    CAST(NULL AS TEXT),
    CAST(NULL AS INTEGER),
{IN_VALUES}
FROM model
CROSS JOIN label
CROSS JOIN structure
CROSS JOIN model_subject
{VALUES_OF_SUBJECT}
WHERE label.model_id = model.id
    AND structure.id = label.structure_id
    AND model_subject.checkpoint_id = structure.checkpoint_id
    AND EXISTS (
        SELECT 1
        FROM analysis
        WHERE analysis.structure_id = structure.id AND analysis.model_subject_id = model_subject.subject_id
    )
    AND subject.id = model_subject.subject_id
{OF_VALUES_OF_SUBJECT}
"""  # noqa: S608 - all of it is text of this script

# Versions are in the order of their steps where all of a model have one, else in the order of recording.
MODELS = """
CREATE VIEW v_models AS
SELECT
    placed.model AS model,
    placed.version AS version,
    placed.step AS step,
    placed.position AS position,
    placed.place AS place,
    placed.place = placed.versions AS is_newest,
    placed.created_at AS created_at,
    checkpoint.digest AS digest,
    checkpoint.provisional AS provisional,
    structure.parameters AS parameters,
    placed.format AS format,
    placed.source AS source,
    (
        SELECT {joined}(family.name, ', ')
        FROM (
            SELECT series.name AS name
            FROM series_member
            JOIN series ON series.id = series_member.series_id
            WHERE series_member.model_id = placed.model_id
            ORDER BY series.name
        ) AS family
    ) AS series
FROM (
    SELECT
        own.*,
        row_number() OVER (
            PARTITION BY own.model_id
            ORDER BY CASE WHEN own.steps = own.versions THEN own.step END, own.position
        ) AS place
    FROM (
        SELECT
            label.*,
            model.name AS model,
            label.name AS version,
            count(label.step) OVER (PARTITION BY label.model_id) AS steps,
            count(*) OVER (PARTITION BY label.model_id) AS versions
        FROM label
        JOIN model ON model.id = label.model_id
    ) AS own
) AS placed
JOIN structure ON structure.id = placed.structure_id
JOIN checkpoint ON checkpoint.id = structure.checkpoint_id
"""

SUMMARIES = f"""
CREATE VIEW v_summaries AS
SELECT
{VERSION}
    in_force.name AS profile,
    selection_variant.label AS column_name,
    summary.aggregate AS aggregate,
    summary.value AS value,
    summary.present AS present,
    summary.missing AS missing,
    summary.partial AS partial,
    metric_column.better AS better,
    metric_column.unit AS unit
{COLUMNS_IN_FORCE}
CROSS JOIN summary
{OF_COLUMNS_IN_FORCE}
    AND summary.analysis_id = analysis.id
    AND summary.variant_id = variant.id
    AND summary.layers = 'all'
"""

SCORES = """
CREATE VIEW v_scores AS
SELECT
    named.model AS model,
    named.version AS version,
    NULL AS layer,
    checkpoint.digest AS digest,
    score.name AS name,
    score.dataset AS dataset,
    score.value AS value,
    score.low AS low,
    score.high AS high,
    score.unit AS unit,
    score.better AS better,
    score.source AS source
FROM score
JOIN checkpoint ON checkpoint.id = score.checkpoint_id
LEFT JOIN (
    SELECT structure.checkpoint_id AS checkpoint_id, model.name AS model, label.name AS version
    FROM structure
    JOIN label ON label.structure_id = structure.id
    JOIN model ON model.id = label.model_id
) AS named ON named.checkpoint_id = checkpoint.id
UNION ALL
SELECT
    reported_subject.model,
    nullif(reported_subject.version, ''),
    nullif(reported_subject.layer, ''),
    NULL,
    score.name,
    score.dataset,
    score.value,
    score.low,
    score.high,
    score.unit,
    score.better,
    score.source
FROM score
JOIN reported_subject ON reported_subject.subject_id = score.subject_id
"""

VIEWS = {
    "v_metrics": METRICS,
    "v_values": VALUES,
    "v_models": MODELS,
    "v_summaries": SUMMARIES,
    "v_scores": SCORES,
}


def upgrade() -> None:
    op.create_table(
        "checkpoint",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("provisional", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.String(length=32), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_checkpoint")),
        sa.UniqueConstraint("digest", name=op.f("uq_checkpoint_digest")),
    )
    op.create_table(
        "file_digest",
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("stamp", sa.Text(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_file_digest")),
    )
    op.create_table(
        "identity_kind",
        sa.Column("name", sa.String(length=16), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_identity_kind")),
    )
    op.create_table(
        "model",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("created_at", sa.String(length=32), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_model")),
        sa.UniqueConstraint("name", name=op.f("uq_model_name")),
    )
    op.create_table(
        "origin",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("run", sa.BigInteger(), nullable=False),
        sa.Column("program", sa.Text(), nullable=False),
        sa.Column("plugin", sa.Text(), nullable=False),
        sa.Column("distribution", sa.Text(), nullable=False),
        sa.Column("plugin_version", sa.Text(), nullable=False),
        sa.Column("through", sa.Text(), nullable=False),
        sa.Column("blas", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_origin")),
        sa.UniqueConstraint("digest", name=op.f("uq_origin_digest")),
    )
    op.create_table(
        "selection",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("profile", sa.Text(), nullable=False),
        sa.Column("experiment", sa.Boolean(), nullable=False),
        sa.Column("narrowed", sa.Boolean(), nullable=False),
        sa.Column("extractors", sa.Text(), nullable=False),
        sa.Column("layers", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_selection")),
        sa.UniqueConstraint("digest", name=op.f("uq_selection_digest")),
    )
    op.create_table(
        "series",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_series")),
        sa.UniqueConstraint("name", name=op.f("uq_series_name")),
    )
    op.create_table(
        "subject_kind",
        sa.Column("name", sa.String(length=16), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_subject_kind")),
    )
    op.create_table(
        "tensor",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("dtype", sa.String(length=16), nullable=False),
        sa.Column("shape", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tensor")),
        sa.UniqueConstraint("digest", name=op.f("uq_tensor_digest")),
    )
    op.create_table(
        "derivation",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("checkpoint_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("transform", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("parameters", sa.Text(), nullable=False),
        sa.Column("created_at", sa.String(length=32), nullable=False),
        sa.ForeignKeyConstraint(["checkpoint_id"], ["checkpoint.id"], name=op.f("fk_derivation_checkpoint_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_derivation")),
        sa.UniqueConstraint("digest", name=op.f("uq_derivation_digest")),
    )
    op.create_index(op.f("ix_derivation_checkpoint_id"), "derivation", ["checkpoint_id"], unique=False)
    op.create_table(
        "identity",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("parameters", sa.Text(), nullable=False),
        sa.Column("needs", sa.Text(), nullable=False),
        sa.Column("source_digest", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.String(length=32), nullable=False),
        sa.ForeignKeyConstraint(["kind"], ["identity_kind.name"], name=op.f("fk_identity_kind")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_identity")),
        sa.UniqueConstraint("digest", name=op.f("uq_identity_digest")),
    )
    op.create_index(op.f("ix_identity_key"), "identity", ["key"], unique=False)
    op.create_table(
        "structure",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("checkpoint_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("parameters", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["checkpoint_id"], ["checkpoint.id"], name=op.f("fk_structure_checkpoint_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_structure")),
        sa.UniqueConstraint("digest", name=op.f("uq_structure_digest")),
    )
    op.create_index(op.f("ix_structure_checkpoint_id"), "structure", ["checkpoint_id"], unique=False)
    op.create_table(
        "subject",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.ForeignKeyConstraint(["kind"], ["subject_kind.name"], name=op.f("fk_subject_kind")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_subject")),
        sa.UniqueConstraint("digest", name=op.f("uq_subject_digest")),
    )
    op.create_table(
        "analysis",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("structure_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("selection_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("model_subject_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.ForeignKeyConstraint(["model_subject_id"], ["subject.id"], name=op.f("fk_analysis_model_subject_id")),
        sa.ForeignKeyConstraint(["selection_id"], ["selection.id"], name=op.f("fk_analysis_selection_id")),
        sa.ForeignKeyConstraint(["structure_id"], ["structure.id"], name=op.f("fk_analysis_structure_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_analysis")),
        sa.UniqueConstraint("structure_id", "selection_id", name=op.f("uq_analysis_structure_id_selection_id")),
    )
    op.create_index(op.f("ix_analysis_model_subject_id"), "analysis", ["model_subject_id"], unique=False)
    op.create_index(op.f("ix_analysis_selection_id"), "analysis", ["selection_id"], unique=False)
    op.create_table(
        "derivation_parent",
        sa.Column("derivation_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("checkpoint", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(["derivation_id"], ["derivation.id"], name=op.f("fk_derivation_parent_derivation_id")),
        sa.PrimaryKeyConstraint("derivation_id", "position", name=op.f("pk_derivation_parent")),
    )
    op.create_index(op.f("ix_derivation_parent_checkpoint"), "derivation_parent", ["checkpoint"], unique=False)
    op.create_table(
        "label",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("model_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("step", sa.BigInteger(), nullable=True),
        sa.Column("structure_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("location", sa.Text(), nullable=False),
        sa.Column("home", sa.Text(), nullable=False),
        sa.Column("format", sa.Text(), nullable=False),
        sa.Column("options", sa.Text(), nullable=False),
        sa.Column("created_at", sa.String(length=32), nullable=False),
        sa.ForeignKeyConstraint(["model_id"], ["model.id"], name=op.f("fk_label_model_id")),
        sa.ForeignKeyConstraint(["structure_id"], ["structure.id"], name=op.f("fk_label_structure_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_label")),
        sa.UniqueConstraint("model_id", "name", name=op.f("uq_label_model_id_name")),
        sa.UniqueConstraint("model_id", "position", name=op.f("uq_label_model_id_position")),
    )
    op.create_index(op.f("ix_label_structure_id"), "label", ["structure_id"], unique=False)
    op.create_table(
        "layer",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("structure_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("groups", sa.Integer(), nullable=False),
        sa.Column("split", sa.String(length=64), nullable=False),
        sa.Column("rounding", sa.Text(), nullable=False),
        sa.Column("shape", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("weight_name", sa.Text(), nullable=False),
        sa.Column("bias_name", sa.Text(), nullable=False),
        sa.Column("weight_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("bias_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.ForeignKeyConstraint(["bias_id"], ["tensor.id"], name=op.f("fk_layer_bias_id")),
        sa.ForeignKeyConstraint(["structure_id"], ["structure.id"], name=op.f("fk_layer_structure_id")),
        sa.ForeignKeyConstraint(["weight_id"], ["tensor.id"], name=op.f("fk_layer_weight_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_layer")),
        sa.UniqueConstraint("structure_id", "position", name=op.f("uq_layer_structure_id_position")),
    )
    op.create_index(op.f("ix_layer_bias_id"), "layer", ["bias_id"], unique=False)
    op.create_index(op.f("ix_layer_weight_id"), "layer", ["weight_id"], unique=False)
    op.create_table(
        "layer_subject",
        sa.Column("subject_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("groups", sa.Integer(), nullable=False),
        sa.Column("rounding", sa.Text(), nullable=False),
        sa.Column("weight_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("bias_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.ForeignKeyConstraint(["bias_id"], ["tensor.id"], name=op.f("fk_layer_subject_bias_id")),
        sa.ForeignKeyConstraint(["subject_id"], ["subject.id"], name=op.f("fk_layer_subject_subject_id")),
        sa.ForeignKeyConstraint(["weight_id"], ["tensor.id"], name=op.f("fk_layer_subject_weight_id")),
        sa.PrimaryKeyConstraint("subject_id", name=op.f("pk_layer_subject")),
    )
    op.create_index(op.f("ix_layer_subject_bias_id"), "layer_subject", ["bias_id"], unique=False)
    op.create_index(op.f("ix_layer_subject_weight_id"), "layer_subject", ["weight_id"], unique=False)
    op.create_table(
        "matrix_subject",
        sa.Column("subject_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("tensor_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("groups", sa.Integer(), nullable=False),
        sa.Column("split", sa.String(length=64), nullable=False),
        sa.Column("rounding", sa.Text(), nullable=False),
        sa.Column("extractor_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("matrix_index", sa.Integer(), nullable=False),
        sa.Column("context_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("cols", sa.Integer(), nullable=False),
        sa.Column("entries", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["context_id"], ["subject.id"], name=op.f("fk_matrix_subject_context_id")),
        sa.ForeignKeyConstraint(["extractor_id"], ["identity.id"], name=op.f("fk_matrix_subject_extractor_id")),
        sa.ForeignKeyConstraint(["subject_id"], ["subject.id"], name=op.f("fk_matrix_subject_subject_id")),
        sa.ForeignKeyConstraint(["tensor_id"], ["tensor.id"], name=op.f("fk_matrix_subject_tensor_id")),
        sa.PrimaryKeyConstraint("subject_id", name=op.f("pk_matrix_subject")),
    )
    op.create_index(op.f("ix_matrix_subject_context_id"), "matrix_subject", ["context_id"], unique=False)
    op.create_index(op.f("ix_matrix_subject_extractor_id"), "matrix_subject", ["extractor_id"], unique=False)
    op.create_index(
        op.f("ix_matrix_subject_tensor_id_extractor_id"), "matrix_subject", ["tensor_id", "extractor_id"], unique=False
    )
    op.create_table(
        "metric_column",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("identity_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("type", sa.String(length=8), nullable=False),
        sa.Column("better", sa.String(length=8), nullable=False),
        sa.Column("unit", sa.Text(), nullable=False),
        sa.Column("standard_error", sa.Text(), nullable=False),
        sa.Column("is_table", sa.Boolean(), nullable=False),
        sa.CheckConstraint("better IN ('lower', 'higher', 'none')", name=op.f("ck_metric_column_better")),
        sa.CheckConstraint("type IN ('float', 'int', 'bool', 'text')", name=op.f("ck_metric_column_type")),
        sa.ForeignKeyConstraint(["identity_id"], ["identity.id"], name=op.f("fk_metric_column_identity_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_metric_column")),
        sa.UniqueConstraint("identity_id", "key", "type", name=op.f("uq_metric_column_identity_id_key_type")),
    )
    op.create_index(op.f("ix_metric_column_name"), "metric_column", ["name"], unique=False)
    op.create_table(
        "model_subject",
        sa.Column("subject_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("checkpoint_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.ForeignKeyConstraint(["checkpoint_id"], ["checkpoint.id"], name=op.f("fk_model_subject_checkpoint_id")),
        sa.ForeignKeyConstraint(["subject_id"], ["subject.id"], name=op.f("fk_model_subject_subject_id")),
        sa.PrimaryKeyConstraint("subject_id", name=op.f("pk_model_subject")),
    )
    op.create_index(op.f("ix_model_subject_checkpoint_id"), "model_subject", ["checkpoint_id"], unique=False)
    op.create_table(
        "pair_subject",
        sa.Column("subject_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("first_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("second_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.ForeignKeyConstraint(["first_id"], ["subject.id"], name=op.f("fk_pair_subject_first_id")),
        sa.ForeignKeyConstraint(["second_id"], ["subject.id"], name=op.f("fk_pair_subject_second_id")),
        sa.ForeignKeyConstraint(["subject_id"], ["subject.id"], name=op.f("fk_pair_subject_subject_id")),
        sa.PrimaryKeyConstraint("subject_id", name=op.f("pk_pair_subject")),
    )
    op.create_index(op.f("ix_pair_subject_first_id"), "pair_subject", ["first_id"], unique=False)
    op.create_index(op.f("ix_pair_subject_second_id"), "pair_subject", ["second_id"], unique=False)
    op.create_table(
        "reported_subject",
        sa.Column("subject_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("row", sa.Integer(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("layer", sa.Text(), nullable=False),
        sa.Column("checkpoint_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.ForeignKeyConstraint(["checkpoint_id"], ["checkpoint.id"], name=op.f("fk_reported_subject_checkpoint_id")),
        sa.ForeignKeyConstraint(["subject_id"], ["subject.id"], name=op.f("fk_reported_subject_subject_id")),
        sa.PrimaryKeyConstraint("subject_id", name=op.f("pk_reported_subject")),
    )
    op.create_index(op.f("ix_reported_subject_checkpoint_id"), "reported_subject", ["checkpoint_id"], unique=False)
    op.create_table(
        "score",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("checkpoint_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("subject_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("dataset", sa.Text(), nullable=False),
        sa.Column("value", sa.Double(), nullable=False),
        sa.Column("low", sa.Double(), nullable=True),
        sa.Column("high", sa.Double(), nullable=True),
        sa.Column("unit", sa.Text(), nullable=False),
        sa.Column("better", sa.String(length=8), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("created_at", sa.String(length=32), nullable=False),
        sa.CheckConstraint("better IN ('lower', 'higher', 'none')", name=op.f("ck_score_better")),
        sa.CheckConstraint("(checkpoint_id IS NULL) <> (subject_id IS NULL)", name=op.f("ck_score_target")),
        sa.ForeignKeyConstraint(["checkpoint_id"], ["checkpoint.id"], name=op.f("fk_score_checkpoint_id")),
        sa.ForeignKeyConstraint(["subject_id"], ["subject.id"], name=op.f("fk_score_subject_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_score")),
        sa.UniqueConstraint("digest", name=op.f("uq_score_digest")),
    )
    op.create_index(op.f("ix_score_checkpoint_id"), "score", ["checkpoint_id"], unique=False)
    op.create_index(op.f("ix_score_subject_id"), "score", ["subject_id"], unique=False)
    op.create_table(
        "series_member",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("series_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("model_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("subject_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.CheckConstraint("(model_id IS NULL) <> (subject_id IS NULL)", name=op.f("ck_series_member_member")),
        sa.ForeignKeyConstraint(["model_id"], ["model.id"], name=op.f("fk_series_member_model_id")),
        sa.ForeignKeyConstraint(["series_id"], ["series.id"], name=op.f("fk_series_member_series_id")),
        sa.ForeignKeyConstraint(["subject_id"], ["subject.id"], name=op.f("fk_series_member_subject_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_series_member")),
        sa.UniqueConstraint("series_id", "model_id", name=op.f("uq_series_member_series_id_model_id")),
        sa.UniqueConstraint("series_id", "subject_id", name=op.f("uq_series_member_series_id_subject_id")),
    )
    op.create_index(op.f("ix_series_member_model_id"), "series_member", ["model_id"], unique=False)
    op.create_index(op.f("ix_series_member_subject_id"), "series_member", ["subject_id"], unique=False)
    op.create_table(
        "skipped_tensor",
        sa.Column("structure_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("dtype", sa.Text(), nullable=False),
        sa.Column("shape", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("tied_to", sa.Text(), nullable=False),
        sa.Column("tensor_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.ForeignKeyConstraint(["structure_id"], ["structure.id"], name=op.f("fk_skipped_tensor_structure_id")),
        sa.ForeignKeyConstraint(["tensor_id"], ["tensor.id"], name=op.f("fk_skipped_tensor_tensor_id")),
        sa.PrimaryKeyConstraint("structure_id", "position", name=op.f("pk_skipped_tensor")),
    )
    op.create_index(op.f("ix_skipped_tensor_tensor_id"), "skipped_tensor", ["tensor_id"], unique=False)
    op.create_table(
        "spectrum",
        sa.Column("subject_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("identity_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("length", sa.BigInteger(), nullable=False),
        sa.Column("noise_floor", sa.Double(), nullable=False),
        sa.Column("route", sa.Text(), nullable=False),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.Column("encoding", sa.Text(), nullable=False),
        sa.Column("singular_values", sa.LargeBinary(), nullable=True),
        sa.Column("origin_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.ForeignKeyConstraint(["identity_id"], ["identity.id"], name=op.f("fk_spectrum_identity_id")),
        sa.ForeignKeyConstraint(["origin_id"], ["origin.id"], name=op.f("fk_spectrum_origin_id")),
        sa.ForeignKeyConstraint(["subject_id"], ["subject.id"], name=op.f("fk_spectrum_subject_id")),
        sa.PrimaryKeyConstraint("subject_id", "identity_id", name=op.f("pk_spectrum")),
    )
    op.create_index(op.f("ix_spectrum_identity_id"), "spectrum", ["identity_id"], unique=False)
    op.create_table(
        "coverage",
        sa.Column("analysis_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("layer_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("extractor_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("extractor", sa.Text(), nullable=False),
        sa.Column("is_primary", sa.Boolean(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("matrices", sa.Integer(), nullable=False),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("cols", sa.Integer(), nullable=False),
        sa.CheckConstraint("state IN ('analyzed', 'statistics', 'skipped', 'failed')", name=op.f("ck_coverage_state")),
        sa.ForeignKeyConstraint(["analysis_id"], ["analysis.id"], name=op.f("fk_coverage_analysis_id")),
        sa.ForeignKeyConstraint(["extractor_id"], ["identity.id"], name=op.f("fk_coverage_extractor_id")),
        sa.ForeignKeyConstraint(["layer_id"], ["layer.id"], name=op.f("fk_coverage_layer_id")),
        sa.PrimaryKeyConstraint("analysis_id", "position", name=op.f("pk_coverage")),
    )
    op.create_index(op.f("ix_coverage_extractor_id"), "coverage", ["extractor_id"], unique=False)
    op.create_index(op.f("ix_coverage_layer_id"), "coverage", ["layer_id"], unique=False)
    op.create_table(
        "in_force",
        sa.Column("label_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("profile", sa.Text(), nullable=False),
        sa.Column("analysis_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["analysis_id"], ["analysis.id"], name=op.f("fk_in_force_analysis_id")),
        sa.ForeignKeyConstraint(["label_id"], ["label.id"], name=op.f("fk_in_force_label_id")),
        sa.PrimaryKeyConstraint("label_id", "profile", name=op.f("pk_in_force")),
    )
    op.create_index(op.f("ix_in_force_analysis_id"), "in_force", ["analysis_id"], unique=False)
    op.create_table(
        "run",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("analysis_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("label_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("profile", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("request", sa.Text(), nullable=False),
        sa.Column("program", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("started_at", sa.String(length=32), nullable=False),
        sa.Column("finished_at", sa.String(length=32), nullable=True),
        sa.Column("computed", sa.Integer(), nullable=False),
        sa.Column("reused", sa.Integer(), nullable=False),
        sa.Column("failed", sa.Integer(), nullable=False),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.Column("warnings", sa.Text(), nullable=False),
        sa.CheckConstraint("state IN ('running', 'done', 'interrupted')", name=op.f("ck_run_state")),
        sa.ForeignKeyConstraint(["analysis_id"], ["analysis.id"], name=op.f("fk_run_analysis_id")),
        sa.ForeignKeyConstraint(["label_id"], ["label.id"], name=op.f("fk_run_label_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_run")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_run_analysis_id"), "run", ["analysis_id"], unique=False)
    op.create_index(op.f("ix_run_label_id"), "run", ["label_id"], unique=False)
    op.create_table(
        "table_value",
        sa.Column("subject_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("column_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("row", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("number", sa.Double(), nullable=True),
        sa.Column("text", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("origin_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.CheckConstraint("(state = 'ok') = ((number IS NULL) <> (text IS NULL))", name=op.f("ck_table_value_value")),
        sa.CheckConstraint("state = 'ok' OR (number IS NULL AND text IS NULL)", name=op.f("ck_table_value_empty")),
        sa.CheckConstraint(
            "state IN ('ok', 'nan', 'inf', '-inf', 'not_applicable', 'refused')", name=op.f("ck_table_value_state")
        ),
        sa.ForeignKeyConstraint(["column_id"], ["metric_column.id"], name=op.f("fk_table_value_column_id")),
        sa.ForeignKeyConstraint(["origin_id"], ["origin.id"], name=op.f("fk_table_value_origin_id")),
        sa.ForeignKeyConstraint(["subject_id"], ["subject.id"], name=op.f("fk_table_value_subject_id")),
        sa.PrimaryKeyConstraint("subject_id", "column_id", "row", name=op.f("pk_table_value")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_table_value_column_id"), "table_value", ["column_id"], unique=False)
    op.create_table(
        "value",
        sa.Column("subject_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("column_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("number", sa.Double(), nullable=True),
        sa.Column("text", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("origin_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.CheckConstraint("(state = 'ok') = ((number IS NULL) <> (text IS NULL))", name=op.f("ck_value_value")),
        sa.CheckConstraint("state = 'ok' OR (number IS NULL AND text IS NULL)", name=op.f("ck_value_empty")),
        sa.CheckConstraint(
            "state IN ('ok', 'nan', 'inf', '-inf', 'not_applicable', 'refused')", name=op.f("ck_value_state")
        ),
        sa.ForeignKeyConstraint(["column_id"], ["metric_column.id"], name=op.f("fk_value_column_id")),
        sa.ForeignKeyConstraint(["origin_id"], ["origin.id"], name=op.f("fk_value_origin_id")),
        sa.ForeignKeyConstraint(["subject_id"], ["subject.id"], name=op.f("fk_value_subject_id")),
        sa.PrimaryKeyConstraint("subject_id", "column_id", name=op.f("pk_value")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_value_column_id"), "value", ["column_id"], unique=False)
    op.create_table(
        "variant",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("column_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("extractors", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["column_id"], ["metric_column.id"], name=op.f("fk_variant_column_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_variant")),
        sa.UniqueConstraint("digest", name=op.f("uq_variant_digest")),
    )
    op.create_index(op.f("ix_variant_column_id"), "variant", ["column_id"], unique=False)
    op.create_table(
        "selection_variant",
        sa.Column("selection_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("variant_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("scope", sa.String(length=8), nullable=False),
        sa.Column("headline", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(["selection_id"], ["selection.id"], name=op.f("fk_selection_variant_selection_id")),
        sa.ForeignKeyConstraint(["variant_id"], ["variant.id"], name=op.f("fk_selection_variant_variant_id")),
        sa.PrimaryKeyConstraint("selection_id", "position", name=op.f("pk_selection_variant")),
    )
    op.create_index(op.f("ix_selection_variant_variant_id"), "selection_variant", ["variant_id"], unique=False)
    op.create_table(
        "run_failure",
        sa.Column("run_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("stage", sa.Text(), nullable=False),
        sa.Column("plugin", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_run_failure_run_id")),
        sa.PrimaryKeyConstraint("run_id", "position", name=op.f("pk_run_failure")),
    )
    op.create_table(
        "summary",
        sa.Column("analysis_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("variant_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("layers", sa.String(length=64), nullable=False),
        sa.Column("aggregate", sa.String(length=16), nullable=False),
        sa.Column("value", sa.Double(), nullable=True),
        sa.Column("present", sa.Integer(), nullable=False),
        sa.Column("missing", sa.Integer(), nullable=False),
        sa.Column("partial", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["analysis_id"], ["analysis.id"], name=op.f("fk_summary_analysis_id")),
        sa.ForeignKeyConstraint(["variant_id"], ["variant.id"], name=op.f("fk_summary_variant_id")),
        sa.PrimaryKeyConstraint("analysis_id", "variant_id", "layers", "aggregate", name=op.f("pk_summary")),
    )
    op.create_index(
        op.f("ix_summary_variant_id_aggregate_value"), "summary", ["variant_id", "aggregate", "value"], unique=False
    )
    for table, kinds in (("subject_kind", SUBJECT_KINDS), ("identity_kind", IDENTITY_KINDS)):
        op.bulk_insert(sa.table(table, sa.column("name", sa.String)), [{"name": kind} for kind in kinds])
    joined = "group_concat" if op.get_bind().dialect.name == "sqlite" else "string_agg"
    for view in VIEWS.values():
        op.execute(view.format(joined=joined))


def downgrade() -> None:
    for view in VIEWS:
        op.execute(f"DROP VIEW {view}")
    for table in reversed(TABLES):
        op.drop_table(table)
