"""An owner is forgotten, in this process and over HTTP: nothing is left, or it is said what is."""

import asyncio
import secrets
from collections.abc import Sequence
from itertools import permutations

import pytest
import sqlalchemy as sa

from orchestrator import Orchestrator, Sandglass, StoredFile, Stream, erase_owner
from orchestrator.errors import ExecutionNotFound
from orchestrator.storage.tables import executions, files

MAKES = """
import os
for path in ("a.txt", "out/b.txt", ".dot", ".cache/c", "__pycache__/d"):
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    open(path, "w").write("of the owner")
"""


async def left(orchestrator: Orchestrator, owner: str) -> list[str]:
    """Paths and rows that still say something of an owner, but for an empty workspace."""
    data = orchestrator.settings.data_dir

    def paths() -> list[str]:
        blobs = [str(path) for path in (data / "blobs").rglob(f"{owner}_*")]
        return blobs + [str(path) for path in (data / "workspaces" / owner).rglob("*")]

    async with orchestrator.database.session() as connection:
        rows = [
            await connection.scalars(sa.select(files.c.filename).where(files.c.owner == owner)),
            await connection.scalars(sa.select(executions.c.code).where(executions.c.owner == owner)),
        ]
    return await asyncio.to_thread(paths) + [text for found in rows for text in found]


async def test_an_erased_owner_has_left_nothing(sandglass: Sandglass, orchestrator: Orchestrator) -> None:
    """Every copy and every row is gone when the answer is there, and the answer counts; another keeps all."""
    await sandglass.upload_file("u", b"uploaded", "upload.txt")
    for owner in ("u", "v"):
        assert (await sandglass.execute_code(MAKES, owner)).success
    assert len(await left(orchestrator, "u")) > 10
    theirs = await left(orchestrator, "v")
    erasure = await erase_owner(sandglass, "u")
    assert await left(orchestrator, "u") == []
    assert (erasure.owner, erasure.files, erasure.executions, erasure.under_way) == ("u", 4, 1, ())
    assert erasure.workspace_files == 2
    assert await left(orchestrator, "v") == theirs
    again = await erase_owner(sandglass, "u")
    assert (again.files, again.workspace_files, again.executions) == (0, 0, 0)


@pytest.mark.parametrize("steps", list(permutations(("files", "workspace", "executions"))), ids="-".join)
async def test_the_order_of_forgetting_is_the_callers(
    orchestrator: Orchestrator, steps: tuple[str, ...]
) -> None:
    """Deleted files take their copies with them, whether the workspace was cleared before or is after."""
    assert (await orchestrator.execute_code(MAKES, "u")).success
    for step in steps:
        if step == "files":
            for file in await orchestrator.list_user_files("u"):
                await orchestrator.delete_user_file(file.file_id, "u")
        elif step == "workspace":
            await orchestrator.clear_workspace("u")
        else:
            await orchestrator.forget_executions("u")
    assert await left(orchestrator, "u") == []


async def test_what_is_under_way_is_told_and_not_ended(
    sandglass: Sandglass, orchestrator: Orchestrator
) -> None:
    """The running one and the one that waits are named; after their end an erasure takes the rest."""
    begun = asyncio.Event()
    runs, waits = (f"{name}-{secrets.token_hex(4)}" for name in ("runs", "waits"))

    async def hear(_: Stream, __: bytes) -> None:
        begun.set()

    code = MAKES + "print('begun', flush=True)\nimport time\nwhile True: time.sleep(0.1)"
    running = asyncio.create_task(
        sandglass.execute_code(code, "u", timeout=100, on_output=hear, execution_id=runs)
    )
    await asyncio.wait_for(begun.wait(), 60)
    waiting = asyncio.create_task(sandglass.execute_code("print(1)", "u", execution_id=waits))
    while len(await sandglass.list_executions("u")) < 2:  # noqa: ASYNC110  # rows have no event
        await asyncio.sleep(0.01)
    assert (await erase_owner(sandglass, "u")).under_way == (runs, waits)
    assert await left(orchestrator, "u") != []
    await sandglass.cancel(waits)
    await sandglass.cancel(runs)
    await asyncio.gather(running, waiting)
    assert (await erase_owner(sandglass, "u")).under_way == ()
    assert await left(orchestrator, "u") == []


@pytest.mark.parametrize("programs", [1, 100])
async def test_what_begins_and_ends_meanwhile_is_erased_or_told(
    sandglass: Sandglass, orchestrator: Orchestrator, monkeypatch: pytest.MonkeyPatch, programs: int
) -> None:
    """A program that made files after they were listed leaves none; one after the other ends in an answer."""
    listed = sandglass.list_user_files
    ran: list[str] = []

    async def list_and_run(user_id: str | int) -> Sequence[StoredFile]:
        found = await listed(user_id)
        if len(ran) < programs:
            ran.append((await orchestrator.execute_code(MAKES, user_id)).execution_id)
        return found

    monkeypatch.setattr(sandglass, "list_user_files", list_and_run)
    erasure = await erase_owner(sandglass, "u")
    if programs == 1:
        assert await left(orchestrator, "u") == []
        assert (erasure.files, erasure.executions, erasure.under_way) == (3, 1, ())
    else:
        assert erasure.under_way == (ran[-1],)


async def test_executions_are_paged_through(sandglass: Sandglass, orchestrator: Orchestrator) -> None:
    """Each page begins where the last one ended, of one owner; an id that nobody knows is said so."""
    ran = [(await orchestrator.execute_code("pass", owner)).execution_id for owner in "uvuuv"]
    seen: list[str] = []
    before = None
    while page := await sandglass.list_executions("u", 2, before=before):
        assert len(page) <= 2
        seen += [each.execution_id for each in page]
        before = seen[-1]
    assert seen == [ran[3], ran[2], ran[0]]
    with pytest.raises(ExecutionNotFound):
        await sandglass.list_executions("u", before="nobody")
