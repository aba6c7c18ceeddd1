"""Many files, several processes: a sweep that is killed, and one beside executions and deletions."""

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from orchestrator.bench.stored import fill, sweep_once
from orchestrator.domain.limits import Limits
from orchestrator.errors import Refused
from orchestrator.storage import sweep as sweep_module
from tests.storage.world import Store, open_store

FILES = 5000
LATER = timedelta(hours=49)

DYING_SWEEP = """
import asyncio, os, signal, sys
from pathlib import Path
from orchestrator.bench.stored import sweep_once

left, unlink = int(sys.argv[2]), os.unlink

def die_at_the_last(*arguments, **named):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return unlink(*arguments, **named)

os.unlink = die_at_the_last
asyncio.run(sweep_once(Path(sys.argv[1])))
"""

SWEEPS = """
import asyncio, sys
from pathlib import Path
from orchestrator.bench.stored import LaterClock, sweep_once
from orchestrator.storage import sweep

sweep.BATCH = 50
sweep.GRACE += LaterClock().by  # of a blob just written, which this clock thinks is old
print("begun", flush=True)
for _ in range(int(sys.argv[2])):
    asyncio.run(sweep_once(Path(sys.argv[1])))
"""

DELETIONS = """
import asyncio, sys
from pathlib import Path
from orchestrator.bench.stored import LaterClock
from orchestrator.errors import FileNotFoundOrExpired
from orchestrator.storage.blobs import DirectoryBlobs
from orchestrator.storage.database import Database
from orchestrator.storage.files import SqlFiles

async def main():
    root = Path(sys.argv[1])
    database = await Database.open(root / "index.sqlite3")
    files = SqlFiles(database, DirectoryBlobs(root / "blobs"), LaterClock(), None, 10**6)
    print("begun", flush=True)
    while True:
        for file in await files.list("alice"):
            try:
                await files.delete(file.file_id, "alice")
            except FileNotFoundOrExpired:
                pass

asyncio.run(main())
"""


@contextmanager
def beside(code: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """Another process that is at work when this is entered, and is killed at the end."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture
async def later(tmp_path: Path) -> AsyncIterator[Store]:
    """A store whose clock is that of the sweeps beside it: whatever is on the disk has long been old."""
    root = tmp_path / "data"
    root.mkdir(mode=0o700)
    async with open_store(root) as opened:
        opened.clock.offset = LATER
        yield opened


def ask(root: Path, query: str) -> list[tuple[str, ...]]:
    with closing(sqlite3.connect(f"file:{root / 'index.sqlite3'}?mode=ro", uri=True, timeout=30)) as index:
        return index.execute(query).fetchall()


def live(root: Path) -> set[str]:
    """The file ids that somebody can ask for."""
    return {row[0] for row in ask(root, "SELECT file_id FROM files WHERE deleted_at IS NULL")}


def on_disk(root: Path) -> set[str]:
    return {name for _, _, names in os.walk(root / "blobs") for name in names}


def assert_agreement(root: Path) -> None:
    """Every row has its blob, every blob its row, every workspace file its row, and nothing is half done."""
    assert ask(root, "SELECT file_id FROM files WHERE deleted_at IS NOT NULL") == []
    assert on_disk(root) == live(root)
    copies = ask(root, "SELECT owner, workspace_path FROM files WHERE workspace_path IS NOT NULL")
    workspaces = root / "workspaces"
    files = {path for path in workspaces.rglob("*") if path.is_file()}
    assert files == {workspaces / owner / os.fsdecode(path) for owner, path in copies}


def test_after_any_sigkill_the_next_sweep_makes_index_and_disk_agree(tmp_path: Path) -> None:
    """Killed at four depths of its work, one after the other, no living file is ever without its bytes.

    5 000 files, about 25 seconds: the last sweep waits until the holds of the dead one have lapsed.
    """
    asyncio.run(fill(tmp_path, FILES))
    for deletions in (1, 777, 1800, 1500):
        with closing(sqlite3.connect(tmp_path / "index.sqlite3")) as index, index:
            index.execute("UPDATE owners SET swept_until = NULL")  # as when time has passed
        command = [sys.executable, "-c", DYING_SWEEP, str(tmp_path), str(deletions)]
        assert subprocess.run(command, check=False, capture_output=True).returncode == -signal.SIGKILL
        assert live(tmp_path) <= on_disk(tmp_path)
    assert len(on_disk(tmp_path)) > FILES // 2
    asyncio.run(sweep_once(tmp_path))
    assert_agreement(tmp_path)
    assert len(live(tmp_path)) == FILES // 2


async def test_an_execution_commits_while_a_sweep_goes_on(
    later: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between two batches of one process there is room for the whole life of an execution."""
    monkeypatch.setattr(sweep_module, "BATCH", 20)
    await fill(later.root, 1000)
    workspace = await later.workspace("bob")
    steps, amid = [], asyncio.Event()

    def note(what: str, done: int, total: int) -> None:
        steps.append((what, done, total))
        if done:
            amid.set()

    sweep = asyncio.create_task(later.sweeper.sweep(on_progress=note))
    await amid.wait()
    (workspace / "a.txt").write_text("made meanwhile")
    await later.keep("beside", "bob")
    what, done, total = steps[-1]
    assert what == "expired files"
    assert 0 < done < total == 500
    report = await sweep
    assert report.expired_files == 500
    [file] = await later.files.list("bob")
    assert await later.files.read(file.file_id, "bob") == b"made meanwhile"


async def test_executions_of_another_process_commit_while_a_sweep_goes_on(later: Store) -> None:
    """The writer of the index changes hands between batches, whoever waits for it."""
    await fill(later.root, 2000)
    await later.workspace("bob")
    amid, number = 0, 0
    with beside(SWEEPS, later.root, 1) as sweep:
        while sweep.poll() is None:
            before = len(live(later.root))
            await later.keep(f"beside-{number}", "bob")
            amid += 1000 < len(live(later.root)) <= before < 2000
            number += 1
    assert sweep.returncode == 0
    assert amid > 0
    assert_agreement(later.root)


async def test_a_sweep_never_takes_what_a_running_program_wrote(later: Store) -> None:
    """Files that look old are rewritten, harvested and committed while another process sweeps and sweeps."""
    names = [f"{number}.txt" for number in range(20)]
    workspace = await later.workspace()
    with beside(SWEEPS, later.root, 1000) as sweeps:
        for round_ in range(16):
            await later.begin(f"round-{round_}")
            before = await later.workspaces.survey("alice", Limits())
            written = [*names, f"only-{round_}.txt"]
            for name in written:
                (workspace / name).write_text(f"{name} of round {round_}")
            # What every other round stores has expired at once, so that the sweeps have copies to take.
            later.clock.offset = LATER if round_ % 2 else timedelta()
            harvest = await later.workspaces.harvest("alice", before, Limits())
            later.clock.offset = LATER
            assert sorted(found.file.path for found in harvest.files) == sorted(written)
            await later.finish(f"round-{round_}", harvest)
            for found in harvest.files if round_ % 2 else ():
                content = await later.files.read(found.file.file_id, "alice")
                assert content.decode() == f"{found.file.path} of round {round_}"
                assert (workspace / found.file.path).read_bytes() == content
        assert sweeps.poll() is None
    await later.sweeper.sweep()
    assert_agreement(later.root)
    assert len(live(later.root)) == 8 * (len(names) + 1)


async def test_a_file_deleted_during_a_harvest_leaves_no_trace_and_no_error(later: Store) -> None:
    """Another process deletes whatever it sees, while executions write the same names anew."""
    names = [f"{number}.txt" for number in range(10)]
    workspace = await later.workspace()
    with beside(DELETIONS, later.root) as deletions:
        for round_ in range(15):
            await later.begin(f"round-{round_}")
            before = await later.workspaces.survey("alice", Limits())
            for name in names:
                (workspace / name).write_text(f"{name} of round {round_}")
            harvest = await later.workspaces.harvest("alice", before, Limits())
            assert len(harvest.files) == len(names)
            await later.finish(f"round-{round_}", harvest)
        assert deletions.poll() is None
    await later.sweeper.sweep()
    assert_agreement(later.root)


async def test_only_one_sweep_is_under_way(later: Store) -> None:
    """A second one is refused with a sentence; a dry run is welcome, and the first goes on."""
    await fill(later.root, 400)
    refused = []

    async def second() -> None:
        with pytest.raises(Refused, match="under way already"):
            await later.sweeper.sweep()
        refused.append((await later.sweeper.sweep(dry_run=True)).dry_run)

    others: list[asyncio.Task[None]] = []

    def note(what: str, done: int, total: int) -> None:
        if not others:
            others.append(asyncio.create_task(second()))

    report = await later.sweeper.sweep(on_progress=note)
    await others[0]
    assert (refused, report.expired_files) == ([True], 200)
