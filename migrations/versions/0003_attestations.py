"""Remember what attacks on this host have shown, so that an execution need not ask again."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table, and an index by circumstances."""
    op.create_table(
        "attestations",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("host", sa.Text, nullable=False),
        sa.Column("engine", sa.Text, nullable=False),
        sa.Column("runtime", sa.Text, nullable=False),
        sa.Column("image", sa.Text, nullable=False),
        sa.Column("code", sa.Text, nullable=False),
        sa.Column("results", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_attestations"),
    )
    op.create_index(
        "ix_attestations_circumstances", "attestations", ["host", "engine", "runtime", "image", "code"]
    )


def downgrade() -> None:
    """Drop the table."""
    op.drop_table("attestations")
