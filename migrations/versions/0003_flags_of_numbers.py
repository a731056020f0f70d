"""A column of yes or no says which numbers are not to be trusted where it holds.

Revision 0003, after 0002.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "column_doubt",
        sa.Column("column_id", KEY, nullable=False),
        sa.Column("doubts", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["column_id"], ["metric_column.id"], name=op.f("fk_column_doubt_column_id")),
        sa.PrimaryKeyConstraint("column_id", name=op.f("pk_column_doubt")),
    )


def downgrade() -> None:
    op.drop_table("column_doubt")
