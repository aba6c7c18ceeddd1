"""One index, several processes: all of them write, and the file decides."""

import subprocess
import sys
from pathlib import Path

import sqlalchemy as sa

from orchestrator.storage.database import Database
from orchestrator.storage.tables import executions, files

PUTTER = """
import asyncio, sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from orchestrator.storage.blobs import DirectoryBlobs
from orchestrator.storage.database import Database
from orchestrator.storage.files import SqlFiles

class Stopped:
    def now(self):
        return datetime(2026, 3, 1, tzinfo=UTC)

async def main():
    root, mine = Path(sys.argv[1]), sys.argv[2]
    database = await Database.open(root / "index.sqlite3")
    files = SqlFiles(database, DirectoryBlobs(root / "blobs"), Stopped(), timedelta(hours=48), 1000)
    for index in range(25):
        await files.put("ann", f"{mine}-{index}.txt", f"{mine}-{index}".encode())
    await database.close()

asyncio.run(main())
"""

CLAIMER = """
import asyncio, sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from orchestrator.domain.results import ExecutionRequest
from orchestrator.storage.database import Database
from orchestrator.storage.executions import SqlExecutions

class Stopped:
    def now(self):
        return datetime(2026, 3, 1, tzinfo=UTC)

async def main():
    root, mine = Path(sys.argv[1]), sys.argv[2]
    database = await Database.open(root / "index.sqlite3")
    rows, until = SqlExecutions(database, Stopped()), Stopped().now() + timedelta(hours=1)
    won = 0
    for index in range(10):
        name = f"{mine}{index}"
        await rows.add(name, ExecutionRequest(code="1", owner=f"owner{index}"), holder=mine, until=until)
        won += await rows.claim(name, holder=mine, until=until, image="i", runtime="r")
    print(won)
    await database.close()

asyncio.run(main())
"""


def _both(root: Path, code: str) -> list[str]:
    """Run `code` in two processes at once over `root`; what each printed."""
    started = [
        subprocess.Popen([sys.executable, "-c", code, root, name], stdout=subprocess.PIPE, text=True)
        for name in ("p", "q")
    ]
    printed = [process.communicate(timeout=60)[0].strip() for process in started]
    assert [process.returncode for process in started] == [0, 0]
    return printed


async def test_two_processes_that_store_at_once_lose_nothing(tmp_path: Path) -> None:
    """Every file of both has its own id and its own bytes, from a first start on (about two seconds)."""
    _both(tmp_path, PUTTER)
    database = await Database.open(tmp_path / "index.sqlite3")
    async with database.session() as connection:
        rows = (await connection.execute(sa.select(files.c.file_id, files.c.filename))).all()
    await database.close()
    assert sorted(row.filename for row in rows) == sorted(
        f"{name}-{index}.txt" for name in "pq" for index in range(25)
    )
    blobs = {path.name: path.read_text() for path in (tmp_path / "blobs").rglob("*") if path.is_file()}
    assert {row.file_id: row.filename.removesuffix(".txt") for row in rows} == blobs


async def test_of_two_processes_one_claims_each_owner(tmp_path: Path) -> None:
    """Two processes never run the same owner's executions side by side (about two seconds)."""
    won = [int(printed) for printed in _both(tmp_path, CLAIMER)]
    assert sum(won) == 10
    database = await Database.open(tmp_path / "index.sqlite3")
    async with database.session() as connection:
        claimed = sa.select(executions.c.owner).where(executions.c.state == "PREPARING")
        owners = (await connection.scalars(claimed)).all()
    await database.close()
    assert sorted(owners) == sorted(f"owner{index}" for index in range(10))
