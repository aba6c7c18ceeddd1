"""Real programs and another process that sweeps without end: neither takes what is the other's."""

import asyncio
from datetime import timedelta

from orchestrator import Settings, open_orchestrator
from tests.e2e.support import MovableClock
from tests.storage.test_many_files import LATER, SWEEPS, assert_agreement, beside

CODE = """
import os
for number in range(40):
    with open(f'{number}.txt', 'w') as file:
        file.write(f'ROUND ' * number)
os.makedirs('only/once', exist_ok=True)
with open('only/once/ROUND', 'w') as file:
    file.write('never written again')
"""


async def test_all_that_programs_write_is_harvested_while_sweeps_go_on(
    settings: Settings, clock: MovableClock
) -> None:
    """To these sweeps every file on the disk is old: only the claim keeps them off what is not stored yet."""
    clock.move(hours=LATER / timedelta(hours=1))
    async with open_orchestrator(settings, clock=clock, maintain=False) as orchestrator:
        await orchestrator.execute_code("pass", "ann")
        with beside(SWEEPS, settings.data_dir, 10_000) as sweeps:
            for round_ in range(8):
                result = await orchestrator.execute_code(CODE.replace("ROUND", str(round_)), "ann")
                assert len(result.generated_files) == 41, result.skipped_files
                for file in result.generated_files[:3]:
                    await orchestrator.load_file(file.file_id, "ann")
            assert sweeps.poll() is None
        await orchestrator.sweep()
    await asyncio.to_thread(assert_agreement, settings.data_dir)
