"""Work that a cancellation must not cut in two: it is finished first, then the cancellation goes on."""

import asyncio
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any


def unbroken[**P, R](
    work: Callable[P, Coroutine[Any, Any, R]],
) -> Callable[P, Coroutine[Any, Any, R]]:
    """Let a coroutine function always run to its end, such as a statement that holds a connection."""

    @wraps(work)
    async def to_the_end(*args: P.args, **kwargs: P.kwargs) -> R:
        task = asyncio.create_task(work(*args, **kwargs))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            await asyncio.wait({task})
            raise

    return to_the_end
