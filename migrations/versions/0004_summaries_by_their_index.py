"""The index of summaries has all of them: those of a variant are read in one sweep, and no row is looked up for it.

Revision 0004, after 0003.
"""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

NAME = "ix_summary_variant_id_aggregate_value"
COLUMNS = ["variant_id", "aggregate", "value"]
REST = ["analysis_id", "layers", "present", "missing", "partial"]


def upgrade() -> None:
    op.drop_index(op.f(NAME), table_name="summary")
    op.create_index(op.f(NAME), "summary", [*COLUMNS, *REST])


def downgrade() -> None:
    op.drop_index(op.f(NAME), table_name="summary")
    op.create_index(op.f(NAME), "summary", COLUMNS)
