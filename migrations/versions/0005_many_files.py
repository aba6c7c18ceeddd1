"""Let a sweep hold workspaces against executions, and find copies and unfinished executions by index."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the hold; no workspace is held. Replace two indexes that many rows made useless."""
    op.add_column("owners", sa.Column("swept_until", sa.DateTime(timezone=True)))
    op.drop_index("ix_files_owner_filename", "files")
    op.create_index(
        "ix_files_owner_workspace_path",
        "files",
        ["owner", "workspace_path"],
        sqlite_where=sa.text("workspace_path IS NOT NULL"),
    )
    op.drop_index("ix_executions_state", "executions")
    op.create_index("ix_executions_state_owner", "executions", ["state", "owner"])


def downgrade() -> None:
    """As it was."""
    op.drop_index("ix_executions_state_owner", "executions")
    op.create_index("ix_executions_state", "executions", ["state"])
    op.drop_index("ix_files_owner_workspace_path", "files")
    op.create_index("ix_files_owner_filename", "files", ["owner", "filename"])
    with op.batch_alter_table("owners") as table:
        table.drop_column("swept_until")
