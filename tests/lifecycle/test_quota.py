"""A workspace has a quota: far over it nothing starts, past it a program is ended, and there is a way out."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import structlog.testing

from orchestrator import Orchestrator, Outcome, open_orchestrator
from orchestrator.domain.files import Space
from orchestrator.domain.limits import MIB, Limits
from orchestrator.domain.states import ExecutionState as State
from orchestrator.errors import WorkspaceFull
from orchestrator.storage.workspaces import DirectoryWorkspaces
from tests.lifecycle.faulty import FaultyEngine, settings_for, staged_in, until

FOR_EVER = "\nimport time\ntime.sleep(60)"


def writing(megabytes: int, name: str = "big.bin") -> str:
    """Code that makes a file of so many megabytes."""
    return f"import os\nopen({name!r}, 'wb').write(os.urandom({megabytes} * 2**20))\nprint('written')"


def making(count: int) -> str:
    """Code that makes so many files."""
    return f"print('making')\nfor number in range({count}): open(f'{{number}}.txt', 'w')"


@pytest.fixture
async def orchestrator(data_dir: Path, engine: FaultyEngine) -> AsyncIterator[Orchestrator]:
    """Four megabytes in a hundred files for everybody."""
    settings = await settings_for(data_dir, workspace_bytes=4 * MIB, workspace_inodes=100, standby_count=1)
    async with open_orchestrator(settings, engine=engine, maintain=False) as opened:
        yield opened


async def fill(data_dir: Path, engine: FaultyEngine, code: str) -> None:
    """What the owner made while the quota was larger."""
    async with open_orchestrator(await settings_for(data_dir), engine=engine, maintain=False) as roomy:
        assert (await roomy.execute_code(code, "o")).success


@pytest.mark.parametrize(
    ("code", "hint"),
    [(f"print('writing')\n{writing(5)}", "may hold 4 MiB"), (making(150), "may hold 100 files")],
)
@pytest.mark.parametrize("warm", [False, True])
async def test_a_program_past_its_quota_is_ended_and_keeps_what_it_made(
    orchestrator: Orchestrator, code: str, hint: str, *, warm: bool
) -> None:
    """It is told which quota, with what it had printed and written, long before its time is over."""
    if warm:
        assert await orchestrator.prewarm("o")
    result = await orchestrator.execute_code(code + FOR_EVER, "o", timeout=50)
    assert (result.outcome, result.warm) == (Outcome.DISK_LIMIT, warm)
    assert result.output.startswith(("writing\n", "making\n"))
    assert result.hint is not None
    assert hint in result.hint
    assert result.generated_files


async def test_a_program_under_its_quota_is_left_alone(
    orchestrator: Orchestrator, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hole in a file is no disk; the file may look as large as it likes."""
    seen: list[Space] = []
    measure = DirectoryWorkspaces.usage

    async def looking_on(self: DirectoryWorkspaces, owner: str, limits: Limits, bound: Space) -> Space:
        seen.append(await measure(self, owner, limits, bound))
        if len(seen) == 2:
            await asyncio.to_thread((data_dir / "workspaces" / owner / "go").touch)
        return seen[-1]

    monkeypatch.setattr(DirectoryWorkspaces, "usage", looking_on)
    code = """
import os, time
with open('sparse', 'wb') as file:
    file.truncate(2**33)
while not os.path.exists('go'):
    time.sleep(0.01)
print(os.stat('sparse').st_size)
"""
    result = await orchestrator.execute_code(code, "o")
    assert (result.outcome, result.output) == (Outcome.OK, f"{2**33}\n")
    assert seen[1].inodes == 1


async def test_who_is_a_little_over_may_come_in_to_delete_and_not_to_write(
    orchestrator: Orchestrator, data_dir: Path, engine: FaultyEngine
) -> None:
    """Code is the owner's first way out; until it has deleted something, more of the same is ended."""
    await fill(data_dir, engine, writing(5))
    more = await orchestrator.execute_code(writing(1, "more.bin") + FOR_EVER, "o", timeout=50)
    assert more.outcome is Outcome.DISK_LIMIT
    cleaning = "import os\nos.unlink('big.bin')\nprint(os.listdir())"
    assert (await orchestrator.execute_code(cleaning, "o")).output == "['more.bin']\n"
    again = await orchestrator.execute_code(writing(2, "again.bin"), "o")
    assert again.outcome is Outcome.OK


async def test_who_is_far_over_is_refused_until_stored_files_are_deleted(
    orchestrator: Orchestrator, data_dir: Path, engine: FaultyEngine
) -> None:
    """Refused before anything runs, with the remedy; deleting the stored file frees the workspace too."""
    await fill(data_dir, engine, writing(7))
    with pytest.raises(WorkspaceFull, match=r"holds 7\.0 MiB .* may hold 4\.0 MiB.*sandglass files rm"):
        await orchestrator.execute_code("print(1)", "o", execution_id="x")
    row = await orchestrator.get_execution("x")
    assert row.state is State.FAILED
    assert row.started_at is None
    await orchestrator.delete_user_file("big.bin", "o")
    assert (await orchestrator.execute_code("print(1)", "o")).output == "1\n"
    await orchestrator.close()
    assert (engine.sandboxes, staged_in(orchestrator)) == ({}, [])


async def test_who_is_far_over_in_files_that_were_never_stored_can_have_them_cleared(
    orchestrator: Orchestrator, data_dir: Path, engine: FaultyEngine
) -> None:
    """What a harvest left alone cannot be deleted by name, so there is a word for all of it."""
    await fill(data_dir, engine, "import os\nos.mkdir('.hidden')\nos.chdir('.hidden')\n" + making(180))
    with pytest.raises(WorkspaceFull, match=r"in 181 files .*sandglass files clear"):
        await orchestrator.execute_code("print(1)", "o")
    assert await orchestrator.clear_workspace("o") == 180
    assert (await orchestrator.execute_code("print(1)", "o")).output == "1\n"


async def test_a_refused_owner_costs_no_standby(
    orchestrator: Orchestrator, data_dir: Path, engine: FaultyEngine
) -> None:
    """The container that was warm for them goes, and no other is made for the refusal."""
    await fill(data_dir, engine, writing(7))
    assert await orchestrator.prewarm("o")
    created = len(engine.created)
    with pytest.raises(WorkspaceFull):
        await orchestrator.execute_code("print(1)", "o")
    assert len(engine.created) == created
    await orchestrator.close()
    assert (engine.sandboxes, staged_in(orchestrator)) == ({}, [])


@pytest.mark.parametrize(
    ("code", "kept"),
    [
        (writing(2), ["big.bin"]),
        ("f = open('x', 'wb', 0)\nimport os\nos.unlink('x')\nf.write(bytes(2**22))\nprint('written')", []),
    ],
    ids=["seen-to-write", "in-a-file-without-a-name"],
)
async def test_on_a_disk_without_room_programs_are_ended(
    orchestrator: Orchestrator, monkeypatch: pytest.MonkeyPatch, code: str, kept: list[str]
) -> None:
    """The reserve that refuses new executions ends those under way, also what hides from a walk."""
    world = await orchestrator._ready_world()
    orchestrator._world = replace(world, disk_reserve=2**20)
    room, written = DirectoryWorkspaces.room, asyncio.Event()

    async def full_when_written(self: DirectoryWorkspaces) -> Space:
        return Space(bytes=2**19, inodes=2**19) if written.is_set() else await room(self)

    monkeypatch.setattr(DirectoryWorkspaces, "room", full_when_written)
    result = await orchestrator.execute_code(
        f"{code}{FOR_EVER}", "o", timeout=50, on_output=lambda *_: written.set()
    )
    assert (result.outcome, result.output) == (Outcome.DISK_LIMIT, "written\n")
    assert result.hint is not None
    assert "nearly full" in result.hint
    assert [file.filename for file in result.generated_files] == kept


async def test_a_workspace_that_cannot_be_measured_ends_nobody(
    orchestrator: Orchestrator, data_dir: Path
) -> None:
    """The watch says so and goes on looking; here everything is away until it has noticed."""
    workspaces, away = data_dir / "workspaces", data_dir / "away"
    code = "import os, time\nopen('ready', 'w')\nwhile not os.path.exists('go'): time.sleep(0.01)\nprint(1)"

    async def is_ready() -> bool:
        return (workspaces / "o" / "ready").exists()

    with structlog.testing.capture_logs() as logged:

        async def has_noticed() -> bool:
            return any(entry["event"] == "workspace not measured" for entry in logged)

        running = asyncio.create_task(orchestrator.execute_code(code, "o"))
        await until(is_ready)
        workspaces.rename(away)
        await until(has_noticed)
        away.rename(workspaces)
        (workspaces / "o" / "go").touch()
        result = await running
    assert (result.outcome, result.output) == (Outcome.OK, "1\n")
