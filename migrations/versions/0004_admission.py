"""Let a row say what it takes of the host, and which attack on the host it stands on."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; rows of before took and stood on what nobody noted."""
    op.add_column("executions", sa.Column("memory", sa.BigInteger))
    op.add_column("executions", sa.Column("attestation_id", sa.Integer))


def downgrade() -> None:
    """Drop the columns."""
    with op.batch_alter_table("executions") as table:
        table.drop_column("attestation_id")
        table.drop_column("memory")
