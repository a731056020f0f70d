"""Scores keep what a correction replaced; tables of others are known by their content, and shown in views.

Revision 0002, after 0001.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

REPORTED = """
CREATE VIEW v_reported AS
SELECT
    reported_subject.source AS source,
    reported_subject.provider AS provider,
    reported_subject."row" AS table_row,
    reported_subject.model AS model,
    nullif(reported_subject.version, '') AS version,
    nullif(reported_subject.layer, '') AS layer,
    metric_column.name AS column_name,
    meaning.key AS metric,
    meaning.version AS metric_version,
    meaning.parameters AS parameters,
    value.number AS value,
    value.text AS text,
    value.state AS state,
    value.reason AS reason,
    metric_column.better AS better,
    metric_column.unit AS unit
FROM reported_subject
CROSS JOIN value
CROSS JOIN metric_column
CROSS JOIN identity AS meaning
WHERE value.subject_id = reported_subject.subject_id
    AND metric_column.id = value.column_id
    AND meaning.id = metric_column.identity_id
"""

SERIES = """
CREATE VIEW v_series AS
SELECT
    series.name AS series,
    coalesce(model.name, reported_subject.model) AS model,
    nullif(reported_subject.version, '') AS version,
    series_member.model_id IS NULL AS is_reported
FROM series
JOIN series_member ON series_member.series_id = series.id
LEFT JOIN model ON model.id = series_member.model_id
LEFT JOIN reported_subject ON reported_subject.subject_id = series_member.subject_id
"""

VIEWS = {"v_reported": REPORTED, "v_series": SERIES}


def upgrade() -> None:
    op.create_table(
        "imported_table",
        sa.Column("id", KEY, nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("content", sa.String(length=64), nullable=False),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.String(length=32), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_imported_table")),
        sa.UniqueConstraint("source", name=op.f("uq_imported_table_source")),
    )
    op.create_table(
        "replaced_score",
        sa.Column("id", KEY, nullable=False),
        sa.Column("score_id", KEY, nullable=False),
        sa.Column("value", sa.Double(), nullable=False),
        sa.Column("low", sa.Double(), nullable=True),
        sa.Column("high", sa.Double(), nullable=True),
        sa.Column("unit", sa.Text(), nullable=False),
        sa.Column("better", sa.String(length=8), nullable=False),
        sa.Column("created_at", sa.String(length=32), nullable=False),
        sa.Column("replaced_at", sa.String(length=32), nullable=False),
        sa.ForeignKeyConstraint(["score_id"], ["score.id"], name=op.f("fk_replaced_score_score_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_replaced_score")),
    )
    op.create_index(op.f("ix_replaced_score_score_id"), "replaced_score", ["score_id"])
    op.create_index(op.f("ix_reported_subject_model_version"), "reported_subject", ["model", "version"])
    op.create_index(op.f("ix_reported_subject_source"), "reported_subject", ["source"])
    op.create_table(
        "column_caveat",
        sa.Column("column_id", KEY, nullable=False),
        sa.Column("caveat", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["column_id"], ["metric_column.id"], name=op.f("fk_column_caveat_column_id")),
        sa.PrimaryKeyConstraint("column_id", name=op.f("pk_column_caveat")),
    )
    for view in VIEWS.values():
        op.execute(view)


def downgrade() -> None:
    for view in VIEWS:
        op.execute(f"DROP VIEW {view}")
    op.drop_table("column_caveat")
    op.drop_index(op.f("ix_reported_subject_source"), "reported_subject")
    op.drop_index(op.f("ix_reported_subject_model_version"), "reported_subject")
    op.drop_table("replaced_score")
    op.drop_table("imported_table")
