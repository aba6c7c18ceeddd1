"""A file that was deleted is deleted, whatever becomes of its copy in the workspace."""

import asyncio
import sqlite3
from contextlib import closing

from orchestrator import Orchestrator, Settings


async def test_a_copy_that_cannot_be_removed_now_fails_no_deletion(
    settings: Settings, orchestrator: Orchestrator
) -> None:
    """The answer is the file; its copy goes with the next sweep, or when the workspace is cleared."""
    copy = settings.data_dir / "workspaces" / "alice" / "a.txt"
    assert (await orchestrator.execute_code("open('a.txt', 'w').write('x')", "alice")).success

    def rename(old: str, new: str) -> None:
        with closing(sqlite3.connect(orchestrator.database.path)) as index:
            index.execute(f"ALTER TABLE {old} RENAME TO {new}")

    await asyncio.to_thread(rename, "owners", "away")  # so that nobody can hold a workspace
    assert (await orchestrator.delete_user_file("a.txt", "alice")).filename == "a.txt"
    assert await orchestrator.list_user_files("alice") == []
    await asyncio.to_thread(rename, "away", "owners")
    assert copy.exists()
    assert await orchestrator.clear_workspace("alice") == 1
    assert not copy.exists()
