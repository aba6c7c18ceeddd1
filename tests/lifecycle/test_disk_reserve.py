"""Before the disk is full nothing new starts, and everything that frees it still works."""

import pytest

from orchestrator import open_orchestrator
from orchestrator.errors import DiskReserveReached
from orchestrator.settings import Settings
from tests.lifecycle.faulty import FaultyEngine

MORE_THAN_THERE_IS = 2**62


async def test_a_short_disk_refuses_with_the_remedy_and_keeps_what_it_has(
    settings: Settings, engine: FaultyEngine
) -> None:
    """No row, no container, no upload; what is stored can be had and deleted, and no slot is held."""
    async with open_orchestrator(settings, engine=engine, maintain=False) as roomy:
        kept = await roomy.upload_file("alice", b"1", "kept.txt")
    short = settings.model_copy(update={"disk_reserve": MORE_THAN_THERE_IS})
    async with open_orchestrator(short, engine=engine, maintain=False) as orchestrator:
        for _ in range(2):
            with pytest.raises(DiskReserveReached, match=r"^Less than .* are free .* SANDGLASS_DISK_RESERVE"):
                await orchestrator.execute_code("print(1)", "alice")
        with pytest.raises(DiskReserveReached):
            await orchestrator.upload_file("alice", b"2", "new.txt")
        status = await orchestrator.get_interpreter_status()
        assert (status.running, status.queued) == (0, 0)
        assert await orchestrator.list_executions() == []
        assert engine.created == []
        assert await orchestrator.load_file(kept.file_id, "alice") == b"1"
        await orchestrator.delete_user_file(kept.file_id, "alice")
        assert await orchestrator.list_user_files("alice") == []
    async with open_orchestrator(settings, engine=engine, maintain=False) as roomy:
        assert (await roomy.execute_code("print(1)", "alice")).output == "1\n"
