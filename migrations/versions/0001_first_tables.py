"""Make the first tables: owners, executions and their inputs, files, sweeps."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# Spelled out, not imported from the code: a step must go on meaning what it meant when it was written.
_MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Make the tables and their indexes."""
    op.create_table(
        "owners",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("uid", sa.Integer, nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_owners"),
        sa.UniqueConstraint("uid", name="uq_owners_uid"),
    )
    op.create_table(
        "executions",
        sa.Column("seq", sa.Integer, nullable=False),
        sa.Column("execution_id", sa.Text, nullable=False),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("code", sa.Text, nullable=False),
        sa.Column("user_files", sa.JSON),
        sa.Column("timeout", sa.Float),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.Column("started_at", _MOMENT),
        sa.Column("finished_at", _MOMENT),
        sa.Column("container_id", sa.Text),
        sa.Column("lease_holder", sa.Text),
        sa.Column("lease_expires_at", _MOMENT),
        sa.Column("image", sa.Text),
        sa.Column("runtime", sa.Text),
        sa.Column("failure", sa.Text),
        sa.Column("result", sa.Text),
        sa.PrimaryKeyConstraint("seq", name="pk_executions"),
        sa.UniqueConstraint("execution_id", name="uq_executions_execution_id"),
    )
    op.create_index("ix_executions_state", "executions", ["state"])
    op.create_index("ix_executions_owner_seq", "executions", ["owner", "seq"])
    op.create_table(
        "execution_inputs",
        sa.Column("execution_id", sa.Text, nullable=False),
        sa.Column("file_id", sa.Text, nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("sha256", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("execution_id", "file_id", name="pk_execution_inputs"),
        sa.ForeignKeyConstraint(
            ["execution_id"],
            ["executions.execution_id"],
            name="fk_execution_inputs_execution_id",
            ondelete="CASCADE",
        ),
    )
    _create_files()
    op.create_table(
        "sweeps",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("started_at", _MOMENT, nullable=False),
        sa.Column("duration", sa.Float, nullable=False),
        sa.Column("report", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_sweeps"),
    )


def _create_files() -> None:
    op.create_table(
        "files",
        sa.Column("seq", sa.Integer, nullable=False),
        sa.Column("file_id", sa.Text, nullable=False),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("execution_id", sa.Text),
        sa.Column("filename", sa.Text, nullable=False),
        sa.Column("path", sa.Text, nullable=False),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("media_type", sa.Text, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("sha256", sa.Text, nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.Column("expires_at", _MOMENT),
        sa.Column("deleted_at", _MOMENT),
        sa.Column("workspace_path", sa.LargeBinary),
        sa.Column("ws_inode", sa.BigInteger),
        sa.Column("ws_size", sa.BigInteger),
        sa.Column("ws_mtime_ns", sa.BigInteger),
        sa.Column("ws_ctime_ns", sa.BigInteger),
        sa.PrimaryKeyConstraint("seq", name="pk_files"),
        sa.UniqueConstraint("file_id", name="uq_files_file_id"),
        sa.ForeignKeyConstraint(
            ["execution_id"], ["executions.execution_id"], name="fk_files_execution_id", ondelete="SET NULL"
        ),
    )
    op.create_index("ix_files_execution_id", "files", ["execution_id"])
    op.create_index("ix_files_owner_expires_at", "files", ["owner", "expires_at"])
    op.create_index("ix_files_owner_filename", "files", ["owner", "filename"])
    op.create_index("ix_files_expires_at", "files", ["expires_at"])
    op.create_index(
        "ix_files_deleted_at", "files", ["deleted_at"], sqlite_where=sa.text("deleted_at IS NOT NULL")
    )


def downgrade() -> None:
    """Drop everything."""
    for table in ("sweeps", "files", "execution_inputs", "executions", "owners"):
        op.drop_table(table)
