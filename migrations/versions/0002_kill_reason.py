"""Remember why an execution is to be killed, so that any process may end what another one runs."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; rows of before were never killed from elsewhere."""
    op.add_column("executions", sa.Column("kill_reason", sa.Text))


def downgrade() -> None:
    """Drop the column."""
    with op.batch_alter_table("executions") as table:
        table.drop_column("kill_reason")
