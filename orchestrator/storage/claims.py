"""Changes of an execution's state, put together once: building a statement costs more than running it."""

from functools import cache

import sqlalchemy as sa

from orchestrator.domain.states import ExecutionState as State
from orchestrator.storage.holds import is_held
from orchestrator.storage.tables import executions

_CLAIMED = [State.PREPARING.value, State.RUNNING.value, State.HARVESTING.value]
_WITH_A_CONTAINER = [State.PREPARING.value, State.RUNNING.value]


@cache
def claim_statement(*, bounded: bool) -> sa.Update:
    """`QUEUED -> PREPARING` where the owner is not busy and, if `bounded`, the host has room.

    Parameters: `its_id`, `its_holder`, `now`, `latest` (see `is_held`), the new values `until`, `its_image`,
    `its_runtime`, `its_memory`, `its_attestation`, and `slots` and `capacity` where it is bounded.
    """
    other = executions.alias("other")
    busy = sa.exists().where(other.c.owner == executions.c.owner, other.c.state.in_(_CLAIMED))
    return (
        sa.update(executions)
        .where(
            executions.c.execution_id == sa.bindparam("its_id"),
            executions.c.state == State.QUEUED,
            executions.c.lease_holder == sa.bindparam("its_holder"),
            ~busy,
            ~is_held(executions.c.owner, sa.bindparam("now"), sa.bindparam("latest")),
            _has_room() if bounded else sa.true(),
        )
        .values(
            state=State.PREPARING,
            lease_expires_at=sa.bindparam("until"),
            image=sa.bindparam("its_image"),
            runtime=sa.bindparam("its_runtime"),
            memory=sa.bindparam("its_memory"),
            attestation_id=sa.bindparam("its_attestation"),
        )
    )


@cache
def move_statement(changed: tuple[str, ...], *, held: bool, unkilled: bool) -> sa.Update:
    """From one state to the next, with these columns changed; where it is `held`, only by its holder.

    Parameters: `its_id`, `its_state`, `its_holder`, and `new_<column>` for each that is changed.
    """
    conditions = [
        executions.c.execution_id == sa.bindparam("its_id"),
        executions.c.state == sa.bindparam("its_state"),
    ]
    if held:
        conditions.append(executions.c.lease_holder == sa.bindparam("its_holder"))
    if unkilled:
        conditions.append(executions.c.kill_reason.is_(None))
    values: dict[str, object] = {name: sa.bindparam(f"new_{name}") for name in changed}
    return sa.update(executions).where(*conditions).values(values)


def _has_room() -> sa.ColumnElement[bool]:
    """Beside those that have a container; what a crash left there counts no longer than its lease."""
    other = executions.alias("claimed")
    past = sa.and_(other.c.state.in_(_WITH_A_CONTAINER), other.c.lease_expires_at > sa.bindparam("now"))
    count = sa.select(sa.func.count()).select_from(other).where(past).scalar_subquery()
    taken = sa.select(sa.func.coalesce(sa.func.sum(other.c.memory), 0)).where(past).scalar_subquery()
    wanted = sa.bindparam("its_memory", type_=sa.Integer)
    fits = taken + wanted <= sa.bindparam("capacity", type_=sa.Integer)
    return sa.or_(count == 0, sa.and_(count < sa.bindparam("slots", type_=sa.Integer), fits))
