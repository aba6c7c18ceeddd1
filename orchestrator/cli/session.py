"""What every command shares: the orchestrator opened for one call, and where its log lines go."""

import logging
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orchestrator import Orchestrator, Settings
    from orchestrator.clock import SystemClock

DEFAULT_OWNER = "local"


@asynccontextmanager
async def opened(
    settings: "Settings | None" = None, *, clock: "SystemClock | None" = None
) -> AsyncIterator["Orchestrator"]:
    """The orchestrator over the settings of the environment, or over those given."""
    from orchestrator import open_orchestrator

    log_to_stderr()
    async with open_orchestrator(settings, clock=clock) as orchestrator:
        yield orchestrator


def ask[T](question: Callable[["Orchestrator"], Awaitable[T]]) -> T:
    """Open the orchestrator, put one question to it, close it."""

    async def _ask() -> T:
        async with opened() as orchestrator:
            return await question(orchestrator)

    return wait_for(_ask())


def wait_for[T](work: Coroutine[Any, Any, T]) -> T:
    """Run `work` on an event loop of its own."""
    import asyncio

    return asyncio.run(work)


def log_to_stderr() -> None:
    """Warnings to stderr: stdout belongs to results, and `--json` to one object alone."""
    import structlog

    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),  # the stderr of that moment
    )
