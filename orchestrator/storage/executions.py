"""The rows of executions: every change of state is one compare-and-set, the end is one transaction."""

import asyncio
import builtins
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain.files import Harvest, HarvestedFile
from orchestrator.domain.limits import Capacity
from orchestrator.domain.outcomes import KillReason
from orchestrator.domain.results import Execution, ExecutionRequest, ExecutionResult
from orchestrator.domain.states import TRANSITIONS, check_transition
from orchestrator.domain.states import ExecutionState as State
from orchestrator.errors import ExecutionNotFound, InvalidRequest, LeaseLost, StorageFault
from orchestrator.storage.claims import claim_statement, move_statement
from orchestrator.storage.clock import Clock
from orchestrator.storage.database import Database
from orchestrator.storage.holds import LENGTH
from orchestrator.storage.tables import execution_inputs, executions, files

_UNFINISHED = [state.value for state in State if TRANSITIONS[state]]
_KILLABLE = [State.PREPARING.value, State.RUNNING.value]
_FORGOTTEN_AT_ONCE = 50
"""Rows of one transaction: each is overwritten, code and output, while every other process waits."""
_BATCHES_A_LOG = 10
_AFTER_ANY_ID = "\U0010ffff"


class SqlExecutions:
    """`ports.Executions` over the index. `LeaseLost` always means that nothing was written.

    Only an end is waited for until the disk has it; the states before it are of a process that a power cut
    ends as well.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def add(
        self, execution_id: str, request: ExecutionRequest, *, holder: str, until: datetime
    ) -> Execution:
        """Write the row in QUEUED, leased to `holder`; raises `InvalidRequest` when the id is taken."""
        execution = Execution(
            execution_id=execution_id,
            owner=request.owner,
            state=State.QUEUED,
            code=request.code,
            user_files=None if request.user_files is None else tuple(request.user_files),
            timeout=request.timeout,
            created_at=self._clock.now(),
            lease_holder=holder,
            lease_expires_at=until,
        )
        row = execution.model_dump(exclude={"input_file_ids", "result"})
        try:
            async with self._database.begin(durable=False) as connection:
                await connection.execute(sa.insert(executions), row)
        except IntegrityError as error:
            raise InvalidRequest(
                f"The execution id {execution_id!r} is already used: choose another."
            ) from error
        return execution

    async def claim(
        self,
        execution_id: str,
        *,
        holder: str,
        until: datetime,
        image: str,
        runtime: str,
        memory: int = 0,
        capacity: Capacity | None = None,
        attestation_id: int | None = None,
    ) -> bool:
        """`QUEUED -> PREPARING`, or False while the owner or the host is busy, in any process.

        The owner is busy with an execution past its claim, or for moments with a sweep of the workspace.
        The host is busy while those that have a container, and a lease that stands, fill the slots of
        `capacity`, or leave less than `memory` bytes of it; the only one of all is never too big.
        """
        values: dict[str, object] = {
            "its_id": execution_id,
            "its_holder": holder,
            "until": until,
            "its_image": image,
            "its_runtime": runtime,
            "its_memory": memory,
            "its_attestation": attestation_id,
        }
        if capacity is not None:
            values |= {"slots": capacity.slots, "capacity": capacity.memory}
        async with self._database.begin(durable=False) as connection:
            now = self._clock.now()
            values |= {"now": now, "latest": now + LENGTH}
            claimed = await connection.execute(claim_statement(bounded=capacity is not None), values)
            if claimed.rowcount == 1:
                return True
            # Not ours any more is an end; a busy owner or host is only a wait.
            still = sa.select(executions.c.seq).where(_is_ours(execution_id, State.QUEUED, holder))
            if await connection.scalar(still) is None:
                raise _lost(execution_id)
            return False

    async def get(self, execution_id: str) -> Execution:
        """One execution by its whole id; raises `ExecutionNotFound`."""
        found = await self._select(executions.c.execution_id == execution_id, limit=1)
        if not found:
            raise _not_found(execution_id)
        return found[0]

    async def find(self, prefix: str) -> Execution:
        """One execution by its id or by a beginning that only it has; raises `ExecutionNotFound`."""
        column = executions.c.execution_id
        found = (
            await self._select(column >= prefix, column < prefix + _AFTER_ANY_ID, limit=2) if prefix else []
        )
        for execution in found:
            if execution.execution_id == prefix:
                return execution
        if len(found) > 1:
            raise ExecutionNotFound(f"Several executions begin with {prefix!r}: give more of the id.")
        if not found:
            raise _not_found(prefix)
        return found[0]

    async def list(
        self, owner: str | None = None, limit: int = 50, *, before: str | None = None
    ) -> Sequence[Execution]:
        """The newest executions first, of one owner or of all, at most `limit`; with `before`, older ones.

        Raises `ExecutionNotFound` where nothing is known of `before`.
        """
        condition = sa.true() if owner is None else executions.c.owner == owner
        if before is None:
            return await self._select(condition, limit=limit)
        last = sa.select(executions.c.seq).where(executions.c.execution_id == before).scalar_subquery()
        found = await self._select(condition, executions.c.seq < last, limit=limit)
        if not found:
            await self.get(before)
        return found

    async def unfinished(self) -> Sequence[Execution]:
        """Every row that is not terminal, oldest first."""
        found = await self._select(executions.c.state.in_(_UNFINISHED), limit=None)
        return found[::-1]

    async def states(self, execution_ids: Sequence[str]) -> dict[str, State]:
        """Where these executions are; the unknown are absent."""
        query = sa.select(executions.c.execution_id, executions.c.state).where(
            executions.c.execution_id.in_(execution_ids)
        )
        async with self._database.session() as connection:
            return {row.execution_id: State(row.state) for row in await connection.execute(query)}

    async def move(
        self,
        execution_id: str,
        old: State,
        new: State,
        *,
        holder: str | None = None,
        input_file_ids: Sequence[str] | None = None,
        **changes: object,
    ) -> None:
        """`old -> new` with column changes, where the row is in `old` and, if given, leased to `holder`.

        `input_file_ids` are remembered with the hashes that the files have now. Nothing whose kill is
        noted becomes RUNNING. Raises `IllegalTransition` or `LeaseLost`.
        """
        check_transition(old, new)
        async with self._database.begin(durable=False) as connection:
            await _change(connection, execution_id, old, holder, state=new, **changes)
            if input_file_ids:
                await _remember_inputs(connection, execution_id, input_file_ids)

    async def renew(self, execution_id: str, holder: str, until: datetime) -> None:
        """Hold an unfinished execution until then; raises `LeaseLost`."""
        ours = sa.and_(
            executions.c.execution_id == execution_id,
            executions.c.lease_holder == holder,
            executions.c.state.in_(_UNFINISHED),
        )
        async with self._database.begin(durable=False) as connection:
            renewed = await connection.execute(
                sa.update(executions).where(ours).values(lease_expires_at=until)
            )
            if renewed.rowcount != 1:
                raise _lost(execution_id)

    async def take_over(self, execution: Execution, *, holder: str, until: datetime) -> bool:
        """Become the holder of a row as it was read; False where state or lease have changed since."""
        async with self._database.begin(durable=False) as connection:
            taken = await connection.execute(
                sa.update(executions)
                .where(
                    executions.c.execution_id == execution.execution_id,
                    executions.c.state == execution.state,
                    executions.c.lease_holder.is_not_distinct_from(execution.lease_holder),
                    executions.c.lease_expires_at.is_not_distinct_from(execution.lease_expires_at),
                )
                .values(lease_holder=holder, lease_expires_at=until)
            )
            return taken.rowcount == 1

    async def note_kill(self, execution_id: str, reason: KillReason) -> bool:
        """Note why it is to die, before the kill; False where it is not under way, or a reason stands."""
        async with self._database.begin(durable=False) as connection:
            noted = await connection.execute(
                sa.update(executions)
                .where(
                    executions.c.execution_id == execution_id,
                    executions.c.state.in_(_KILLABLE),
                    executions.c.kill_reason.is_(None),
                )
                .values(kill_reason=reason)
            )
            return noted.rowcount == 1

    async def kill_noted(self, execution_id: str) -> KillReason | None:
        """The reason that stands in the row, if there is one."""
        query = sa.select(executions.c.kill_reason).where(executions.c.execution_id == execution_id)
        async with self._database.session() as connection:
            noted = await connection.scalar(query)
        return None if noted is None else KillReason(noted)

    async def commit(
        self,
        result: ExecutionResult,
        harvest: Harvest,
        *,
        old: State,
        new: State,
        holder: str,
        failure: str | None = None,
    ) -> None:
        """File rows, result and terminal state in one transaction, or an error and nothing.

        Raises `LeaseLost` when the row is no longer in `old` or ours, `IllegalTransition` when
        there is no such edge, `StorageFault` when the index refuses.
        """
        check_transition(old, new)
        end: dict[str, object] = {
            "result": result.model_dump_json(),
            "finished_at": self._clock.now(),
            "failure": failure,
            "lease_expires_at": None,
        }
        rows = [_file_row(result.owner, result.execution_id, found) for found in harvest.files]
        try:
            async with self._database.begin() as connection:
                await _change(connection, result.execution_id, old, holder, state=new, **end)
                if rows:
                    await connection.execute(sa.insert(files), rows)
        except IntegrityError as error:
            raise StorageFault(
                f"A file of execution {result.execution_id} has an id that is taken; run it again."
            ) from error

    async def forget(self, owner: str) -> int:
        """Delete every row of the owner that is terminal, with its code and output; how many there were.

        No byte of them is left in the file, nor in its log unless somebody else holds that up.
        """
        count, batches, emptied, gone = 0, 0, True, _FORGOTTEN_AT_ONCE
        while gone == _FORGOTTEN_AT_ONCE:
            begun = time.monotonic()
            gone = await self._forget_some(owner)
            count, batches = count + gone, batches + 1
            # Other processes ask for the index again and again: as long as we had it they find it free.
            await asyncio.sleep(time.monotonic() - begun if gone == _FORGOTTEN_AT_ONCE else 0)
            if emptied and batches % _BATCHES_A_LOG == 0:
                emptied = await self._database.empty_log()
        await self._database.empty_log()
        return count

    async def _forget_some(self, owner: str) -> int:
        over = sa.select(executions.c.seq).where(
            executions.c.owner == owner, executions.c.state.not_in(_UNFINISHED)
        )
        some = executions.c.seq.in_(over.limit(_FORGOTTEN_AT_ONCE))
        async with self._database.begin() as connection:
            return (await connection.execute(sa.delete(executions).where(some))).rowcount

    async def _select(
        self, *conditions: sa.ColumnElement[bool], limit: int | None
    ) -> builtins.list[Execution]:
        wanted = sa.select(executions).where(*conditions).order_by(executions.c.seq.desc()).limit(limit)
        async with self._database.session() as connection:
            rows = (await connection.execute(wanted)).mappings().all()
            inputs = await _inputs_of(connection, [row["execution_id"] for row in rows])
        return [_execution(row, inputs.get(row["execution_id"], ())) for row in rows]


def _is_ours(execution_id: str, state: State, holder: str | None) -> sa.ColumnElement[bool]:
    condition = (executions.c.execution_id == execution_id) & (executions.c.state == state)
    return condition if holder is None else condition & (executions.c.lease_holder == holder)


async def _change(
    connection: AsyncConnection,
    execution_id: str,
    old: State,
    holder: str | None,
    *,
    state: State,
    **changes: object,
) -> None:
    values: dict[str, object] = {
        "its_id": execution_id,
        "its_state": old,
        "its_holder": holder,
        "new_state": state,
    }
    values |= {f"new_{name}": value for name, value in changes.items()}
    statement = move_statement(("state", *changes), held=holder is not None, unkilled=state is State.RUNNING)
    if (await connection.execute(statement, values)).rowcount != 1:
        raise _lost(execution_id)


async def _remember_inputs(connection: AsyncConnection, execution_id: str, file_ids: Sequence[str]) -> None:
    known = sa.select(files.c.file_id, files.c.sha256).where(files.c.file_id.in_(file_ids))
    hashes = {row.file_id: row.sha256 for row in await connection.execute(known)}
    rows = [
        {"execution_id": execution_id, "file_id": file_id, "position": position, "sha256": hashes[file_id]}
        for position, file_id in enumerate(dict.fromkeys(file_ids))
        if file_id in hashes
    ]
    if rows:
        await connection.execute(sa.insert(execution_inputs), rows)


async def _inputs_of(connection: AsyncConnection, ids: Iterable[str]) -> dict[str, tuple[str, ...]]:
    if not (wanted := list(ids)):
        return {}
    rows = await connection.execute(
        sa.select(execution_inputs.c.execution_id, execution_inputs.c.file_id)
        .where(execution_inputs.c.execution_id.in_(wanted))
        .order_by(execution_inputs.c.execution_id, execution_inputs.c.position)
    )
    inputs: dict[str, tuple[str, ...]] = {}
    for row in rows:
        inputs[row.execution_id] = (*inputs.get(row.execution_id, ()), row.file_id)
    return inputs


def _execution(row: Mapping[Any, Any], input_file_ids: tuple[str, ...]) -> Execution:
    result = row["result"] and ExecutionResult.model_validate_json(row["result"])
    return Execution.model_validate({**row, "input_file_ids": input_file_ids, "result": result})


def _file_row(owner: str, execution_id: str, found: HarvestedFile) -> dict[str, object]:
    return {
        **found.file.model_dump(),
        "owner": owner,
        "execution_id": execution_id,
        "workspace_path": found.workspace_path,
        "ws_inode": found.entry.inode,
        "ws_size": found.entry.size,
        "ws_mtime_ns": found.entry.mtime_ns,
        "ws_ctime_ns": found.entry.ctime_ns,
    }


def _lost(execution_id: str) -> LeaseLost:
    return LeaseLost(
        f"Execution {execution_id} has moved on or belongs to another process; nothing was written: "
        f"see `sandglass executions show {execution_id}`."
    )


def _not_found(execution_id: str) -> ExecutionNotFound:
    return ExecutionNotFound(f"No execution {execution_id[:80]!r}: see `sandglass executions ls`.")
