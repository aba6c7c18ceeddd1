"""`sandglass logs -f`: the output of an execution as it comes, whichever process runs it."""

import asyncio
import signal
from typing import TYPE_CHECKING

from orchestrator.cli import errors, show
from orchestrator.cli.session import ask, opened, wait_for
from orchestrator.cli.streaming import Outlet

if TYPE_CHECKING:
    from orchestrator import Execution, Orchestrator

_BEFORE = "From here on; what it had printed before is shown by `sandglass logs` when it has ended."


def is_under_way(execution_id: str) -> bool:
    """Whether there is something to follow; raises `ExecutionNotFound`."""
    return not ask(lambda orchestrator: orchestrator.get_execution(execution_id)).state.is_terminal


def follow(execution_id: str) -> int:
    """Write what is printed until it ends or the reader has enough; the execution itself goes on."""
    return wait_for(_follow(execution_id))


async def _follow(execution_id: str) -> int:
    async with opened() as orchestrator:
        row = await orchestrator.get_execution(execution_id)
        if row.started_at is not None:
            show.console(stderr=True).print(_BEFORE)
        following = asyncio.ensure_future(_pass_on(orchestrator, row))
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, following.cancel)
        # A follower that is suspended reads nothing, and the engine would hold the program up.
        loop.add_signal_handler(signal.SIGTSTP, following.cancel)
        await asyncio.wait((following,))
        if not following.cancelled():
            following.result()
        row = await orchestrator.get_execution(row.execution_id)
        state = row.result.outcome if row.result else row.state
        show.console(stderr=True).print(show.cell(f"{row.execution_id}: {state}"))
    return errors.DONE


async def _pass_on(orchestrator: "Orchestrator", row: "Execution") -> None:
    me = asyncio.current_task()
    assert me is not None  # a task runs this

    def _enough() -> None:
        me.cancel()

    outlet = Outlet(_enough)  # takes every piece at once, so that a slow terminal holds nothing up
    async for stream, piece in orchestrator.operations.follow(row.execution_id):
        outlet(stream, piece)
    await outlet.drain()
