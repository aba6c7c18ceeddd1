"""Who may change a workspace: an execution past its claim, or a sweep that holds it, never both.

Both are a compare-and-set in the index, so this is true for all processes. A hold lasts seconds:
that of a sweep which died lapses, and the owner's next execution goes on. Besides the one sweep that is
under way, whoever deletes a file or clears a workspace holds it: one that stands is somebody's, and waited
for or left alone. What a moment is worth is decided in the transaction: one that was read while waiting
for it takes a younger hold for one from before the clock was set back.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain.states import ExecutionState
from orchestrator.errors import Refused
from orchestrator.storage.tables import executions, owners

LENGTH = timedelta(seconds=20)
"""After this a hold is over, whoever has it."""

WORK = LENGTH / 2
"""For so long its holder goes on removing; the rest is for what cannot be interrupted."""

type Moment = datetime | sa.BindParameter[datetime]

_UNDER_WAY = (ExecutionState.RUNNING, ExecutionState.HARVESTING)
_CLAIMED = (ExecutionState.PREPARING, *_UNDER_WAY)


@dataclass(frozen=True, kw_only=True, slots=True)
class Held:
    """Owners whose workspaces are ours until then."""

    owners: frozenset[str]
    until: datetime


def is_claimed(owner: sa.ColumnElement[str]) -> sa.ColumnElement[bool]:
    """Whether an execution of the owner is past its claim and not over."""
    return sa.exists().where(executions.c.owner == owner, executions.c.state.in_(_CLAIMED))


def is_under_way(owner: str | sa.BindParameter[str]) -> sa.ColumnElement[bool]:
    """Whether a program of the owner may run now, or has just left what is being harvested."""
    return sa.exists().where(executions.c.owner == owner, executions.c.state.in_(_UNDER_WAY))


def is_held(owner: sa.ColumnElement[str], now: Moment, latest: Moment) -> sa.ColumnElement[bool]:
    """Whether somebody removes from the owner's workspace; `latest` is `LENGTH` after `now`."""
    return sa.exists().where(owners.c.id == owner, ~_lapsed(now, latest))


def was_held(then: datetime, now: datetime) -> sa.ColumnElement[bool]:
    """Whether a hold of `then` still stands; never for longer than `LENGTH`."""
    latest = min(then, now) + LENGTH
    return sa.exists().where(owners.c.swept_until > max(then, now), owners.c.swept_until <= latest)


async def hold(connection: AsyncConnection, wanted: sa.ColumnElement[bool], now: datetime) -> Held:
    """Hold the workspaces of the `wanted` rows of `owners` that nobody has; in a transaction, as is `now`."""
    until = now + LENGTH
    taken = await connection.scalars(
        sa.update(owners)
        .where(wanted, ~is_claimed(owners.c.id), _lapsed(now, until))
        .values(swept_until=until)
        .returning(owners.c.id)
    )
    return Held(owners=frozenset(taken.all()), until=until)


async def release(connection: AsyncConnection, held: Held) -> None:
    """Give back what is still ours: where ours has lapsed, another's ends at another moment."""
    if held.owners:
        ours = sa.and_(owners.c.id.in_(held.owners), owners.c.swept_until == held.until)
        await connection.execute(sa.update(owners).where(ours).values(swept_until=None))


@contextmanager
def only_one(path: Path) -> Iterator[None]:
    """Be the only one in here, by a lock on the file `path`, which is made; else `Refused`."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            # The kernel gives it back when we die, however we die.
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Refused("A sweep is under way already: wait until it has ended.") from None
        yield
    finally:
        os.close(descriptor)


def _lapsed(now: Moment, latest: Moment) -> sa.ColumnElement[bool]:
    # Nobody holds for longer than LENGTH: what ends later was written before the clock was set back.
    until = owners.c.swept_until
    return sa.or_(until.is_(None), until <= now, until > latest)
