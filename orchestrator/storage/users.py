"""Owners in figures, and the inputs of an execution as they were."""

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa

from orchestrator.domain.operations import RecordedInput, User
from orchestrator.domain.states import ExecutionState
from orchestrator.storage.database import Database
from orchestrator.storage.tables import execution_inputs, executions, files, owners

_TERMINAL = [state.value for state in ExecutionState if state.is_terminal]


class SqlUsers:
    """Reads only."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list(self, now: datetime, owner: str | None = None) -> Sequence[User]:
        """Every owner that has a workspace, by name, or the one asked for."""
        ran = (
            sa.select(
                executions.c.owner,
                sa.func.count().label("executions"),
                sa.func.count().filter(executions.c.state.not_in(_TERMINAL)).label("unfinished"),
                sa.func.max(executions.c.created_at).label("last_execution_at"),
            )
            .group_by(executions.c.owner)
            .subquery()
        )
        live = sa.and_(
            files.c.deleted_at.is_(None), sa.or_(files.c.expires_at.is_(None), files.c.expires_at > now)
        )
        kept = (
            sa.select(files.c.owner, sa.func.count().label("files"), sa.func.sum(files.c.size).label("bytes"))
            .where(live)
            .group_by(files.c.owner)
            .subquery()
        )
        query = (
            sa.select(
                owners.c.id.label("owner"),
                owners.c.uid,
                owners.c.created_at,
                sa.func.coalesce(ran.c.executions, 0).label("executions"),
                sa.func.coalesce(ran.c.unfinished, 0).label("unfinished"),
                ran.c.last_execution_at,
                sa.func.coalesce(kept.c.files, 0).label("files"),
                sa.func.coalesce(kept.c.bytes, 0).label("bytes"),
            )
            .outerjoin(ran, ran.c.owner == owners.c.id)
            .outerjoin(kept, kept.c.owner == owners.c.id)
            .order_by(owners.c.id)
        )
        if owner is not None:
            query = query.where(owners.c.id == owner)
        async with self._database.session() as connection:
            rows = (await connection.execute(query)).mappings().all()
        return [User(**row) for row in rows]

    async def inputs(self, execution_id: str) -> Sequence[RecordedInput]:
        """What an execution was given, in order."""
        query = (
            sa.select(execution_inputs.c.file_id, execution_inputs.c.sha256)
            .where(execution_inputs.c.execution_id == execution_id)
            .order_by(execution_inputs.c.position)
        )
        async with self._database.session() as connection:
            return [RecordedInput(**row) for row in (await connection.execute(query)).mappings()]
