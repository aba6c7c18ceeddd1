"""Whoever removes from a workspace is alone in it: beside others that remove, and beside programs."""

import asyncio
import os
import threading
from datetime import timedelta

import pytest

from orchestrator.domain.results import ExecutionRequest
from orchestrator.errors import Refused
from orchestrator.storage import holds, sweep
from orchestrator.storage.tables import owners
from tests.storage.world import Store


async def hold(store: Store) -> holds.Held:
    """Alice's workspace, where it is to be had."""
    async with store.database.begin() as connection:
        return await holds.hold(connection, owners.c.id == "alice", store.clock.now())


async def release(store: Store, held: holds.Held) -> None:
    """Give it back."""
    async with store.database.begin() as connection:
        await holds.release(connection, held)


async def wait_in_line(store: Store) -> None:
    """An execution `x` of alice that nobody has claimed."""
    until = store.clock.now() + timedelta(days=1)
    await store.executions.add("x", ExecutionRequest(code="", owner="alice"), holder="test", until=until)


async def claimed(store: Store) -> bool:
    """Whether `x` may begin now."""
    until = store.clock.now() + timedelta(days=1)
    return await store.executions.claim("x", holder="test", until=until, image="i", runtime="r")


async def test_a_hold_that_stands_is_nobody_elses(store: Store) -> None:
    """Neither to be taken nor to be given back; one that lapsed is, and no more its first holder's."""
    await store.workspace()
    await wait_in_line(store)
    first = await hold(store)
    store.clock.offset += timedelta(seconds=1)
    second = await hold(store)
    assert (sorted(first.owners), sorted(second.owners)) == (["alice"], [])
    await release(store, second)
    assert not await claimed(store)
    store.clock.offset += holds.LENGTH
    third = await hold(store)
    assert third.owners == {"alice"}
    await release(store, first)
    assert not await claimed(store)
    await release(store, third)
    assert await claimed(store)


async def test_a_claim_that_waited_for_the_index_sees_the_hold_before_it(store: Store) -> None:
    """The moment of a claim is that of its transaction: a younger hold is none of a clock set back."""
    await store.workspace()
    await wait_in_line(store)
    async with store.database.begin() as connection:
        claiming = asyncio.create_task(claimed(store))
        await asyncio.sleep(0.01)
        await holds.hold(connection, owners.c.id == "alice", store.clock.now())
    assert not await claiming


async def test_a_deletion_lets_no_program_into_a_workspace_that_is_being_cleared(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it cannot remove is left to whoever clears, and that one takes it before it is done."""
    workspace = await store.workspace()
    (workspace / "stored.txt").write_text("x")
    await store.keep("first")
    for number in range(3):
        (workspace / f"left{number}").write_text("x")
    await wait_in_line(store)
    inside, go_on, unlink = threading.Event(), threading.Event(), os.unlink

    def wait(path: str, **named: int) -> None:
        if os.fsdecode(path).startswith("left"):
            inside.set()
            assert go_on.wait(30)
        unlink(path, **named)

    monkeypatch.setattr(os, "unlink", wait)
    clearing = asyncio.create_task(store.sweeper.clear("alice"))
    assert await asyncio.to_thread(inside.wait, 30)
    await store.files.delete("stored.txt", "alice")
    assert await store.sweeper.end("alice") == 0
    assert not await claimed(store)
    go_on.set()
    assert (await clearing).files == 4
    assert list(workspace.iterdir()) == []
    assert await claimed(store)


@pytest.mark.parametrize("kind", ["leaving", "deleted"])
async def test_whoever_clears_waits_for_others_that_remove(store: Store, kind: str) -> None:
    """A workspace is not said to be empty while it is not."""
    workspace = await store.workspace()
    (workspace / "a.txt").write_text("x")
    if kind == "deleted":
        await store.keep("first")
    held = await hold(store)
    if kind == "deleted":
        await store.files.delete("a.txt", "alice")
    clearing = asyncio.create_task(store.sweeper.clear("alice"))
    await asyncio.wait({clearing}, timeout=0.3)
    assert not clearing.done()
    assert (workspace / "a.txt").exists()
    await release(store, held)
    assert (await clearing).files == 1
    assert list(workspace.iterdir()) == []


async def test_others_that_never_leave_are_told_of(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Waiting is bounded, and its end is no empty workspace."""
    monkeypatch.setattr(sweep, "_PATIENCE", 0.0)
    workspace = await store.workspace()
    (workspace / "a.txt").write_text("x")
    await hold(store)
    with pytest.raises(Refused, match="not all is gone"):
        await store.sweeper.clear("alice")
    assert (workspace / "a.txt").exists()
