"""What both APIs share: ask, hear the stream to its end, and turn every failure into one sentence."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import aclosing, suppress
from typing import Any

from httpx2 import HTTPError
from openai import AsyncOpenAI, OpenAIError

from bot.model.faults import in_one_sentence, while_streaming
from bot.model.port import Event, Finished, Message, ToolSpec

type Json = dict[str, Any]

_REST_SECONDS = 0.02
"""How long the server may take to end a stream in which everything was said."""


class Heard(ABC):
    """What the stream has said so far."""

    over = False
    """True as soon as nothing of worth can follow."""

    @abstractmethod
    def take(self, event: Any) -> Iterator[Event]:
        """The next event of the server, as events of ours; raises `ModelError`."""

    @abstractmethod
    def finished(self) -> Finished:
        """The whole turn; raises `ModelError` where the stream ended before it."""


class Adapter(ABC):
    """A model behind one API."""

    def __init__(self, client: AsyncOpenAI, name: str) -> None:
        self._client = client
        self.name = name

    async def turn(self, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> AsyncGenerator[Event]:
        """See `Model.turn`."""
        async with in_one_sentence():
            opened = await self._ask(messages, tools)
        heard = self._heard()
        async with while_streaming():
            async with opened as stream, aclosing(aiter(stream)) as events:
                async for event in events:
                    for each in heard.take(event):
                        yield each
                    if heard.over:
                        break
                await _to_its_end(events)
            yield heard.finished()

    @abstractmethod
    async def _ask(self, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> Any:
        """The stream, opened."""

    @abstractmethod
    def _heard(self) -> Heard:
        """An empty record of it."""


async def _to_its_end(events: AsyncIterator[object]) -> None:
    """Hear out a stream that has nothing more to say: only then can its connection be used again.

    One that was left in the middle costs a new connection each turn, and is kept alive by a cycle until the
    garbage collector comes by. What goes wrong here is of no account: everything was said.
    """
    with suppress(TimeoutError, OpenAIError, HTTPError, ValueError):
        async with asyncio.timeout(_REST_SECONDS):
            async for _ in events:
                pass
