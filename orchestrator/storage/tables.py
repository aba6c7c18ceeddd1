"""The tables of the index as SQLAlchemy Core sees them; `migrations/` makes them, a test compares the two."""

from datetime import UTC, datetime
from typing import override

import sqlalchemy as sa


class UtcDateTime(sa.TypeDecorator[datetime]):
    """An aware UTC moment to the microsecond; SQLite keeps text of one width, so that `<` in SQL is right."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    @override
    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a naive datetime has no place in the index; pass an aware one")
        return value.astimezone(UTC)

    @override
    def process_result_value(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

owners = sa.Table(
    "owners",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("uid", sa.Integer, nullable=False, unique=True),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("swept_until", UtcDateTime),
)
"""Whoever has a workspace, with the uid that their sandboxes run as; `swept_until`: see `holds`."""

executions = sa.Table(
    "executions",
    metadata,
    # Ours, counting up: what is newest is decided without trusting that two moments differ.
    sa.Column("seq", sa.Integer, primary_key=True),
    sa.Column("execution_id", sa.Text, nullable=False, unique=True),
    sa.Column("owner", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("code", sa.Text, nullable=False),
    sa.Column("user_files", sa.JSON(none_as_null=True)),
    sa.Column("timeout", sa.Float),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("started_at", UtcDateTime),
    sa.Column("finished_at", UtcDateTime),
    sa.Column("container_id", sa.Text),
    sa.Column("lease_holder", sa.Text),
    sa.Column("lease_expires_at", UtcDateTime),
    sa.Column("image", sa.Text),
    sa.Column("runtime", sa.Text),
    sa.Column("failure", sa.Text),
    sa.Column("result", sa.Text),
    sa.Column("kill_reason", sa.Text),
    sa.Column("memory", sa.BigInteger),
    # No foreign key: an attestation is never deleted, and SQLite would have to rebuild the table.
    sa.Column("attestation_id", sa.Integer),
    sa.Index("ix_executions_owner_seq", "owner", "seq"),
    sa.Index("ix_executions_state_owner", "state", "owner"),
)
"""One row per execution; `result`: the JSON of `ExecutionResult`; `kill_reason`: noted before a kill;
`memory`: the bytes it may take, from its claim on."""

execution_inputs = sa.Table(
    "execution_inputs",
    metadata,
    sa.Column(
        "execution_id",
        sa.Text,
        sa.ForeignKey("executions.execution_id", ondelete="CASCADE"),
        primary_key=True,
    ),
    # No foreign key: what an execution has read is remembered when the file itself is gone.
    sa.Column("file_id", sa.Text, primary_key=True),
    sa.Column("position", sa.Integer, nullable=False),
    sa.Column("sha256", sa.Text, nullable=False),
)
"""What was staged for an execution, in the order that it was asked for."""

files = sa.Table(
    "files",
    metadata,
    sa.Column("seq", sa.Integer, primary_key=True),
    sa.Column("file_id", sa.Text, nullable=False, unique=True),
    sa.Column("owner", sa.Text, nullable=False),
    sa.Column(
        "execution_id",
        sa.Text,
        sa.ForeignKey("executions.execution_id", ondelete="SET NULL"),
        index=True,
    ),
    sa.Column("filename", sa.Text, nullable=False),
    sa.Column("path", sa.Text, nullable=False),
    sa.Column("type", sa.Text, nullable=False),
    sa.Column("media_type", sa.Text, nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("sha256", sa.Text, nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("expires_at", UtcDateTime),
    sa.Column("deleted_at", UtcDateTime),
    sa.Column("workspace_path", sa.LargeBinary),
    sa.Column("ws_inode", sa.BigInteger),
    sa.Column("ws_size", sa.BigInteger),
    sa.Column("ws_mtime_ns", sa.BigInteger),
    sa.Column("ws_ctime_ns", sa.BigInteger),
    sa.Index("ix_files_owner_expires_at", "owner", "expires_at"),
    sa.Index(
        "ix_files_owner_workspace_path",
        "owner",
        "workspace_path",
        sqlite_where=sa.text("workspace_path IS NOT NULL"),
    ),
    sa.Index("ix_files_expires_at", "expires_at"),
    sa.Index("ix_files_deleted_at", "deleted_at", sqlite_where=sa.text("deleted_at IS NOT NULL")),
)
"""One row per stored file; `deleted_at`: its bytes are about to go; `ws_*`: its workspace copy."""

sweeps = sa.Table(
    "sweeps",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("started_at", UtcDateTime, nullable=False),
    sa.Column("duration", sa.Float, nullable=False),
    sa.Column("report", sa.JSON, nullable=False),
)
"""What each sweep did, newest last."""

attestations = sa.Table(
    "attestations",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("at", UtcDateTime, nullable=False),
    sa.Column("host", sa.Text, nullable=False),
    sa.Column("engine", sa.Text, nullable=False),
    sa.Column("runtime", sa.Text, nullable=False),
    sa.Column("image", sa.Text, nullable=False),
    sa.Column("code", sa.Text, nullable=False),
    sa.Column("results", sa.JSON, nullable=False),
    sa.Index("ix_attestations_circumstances", "host", "engine", "runtime", "image", "code"),
)
"""What attacks on this host have shown, and under which circumstances."""
