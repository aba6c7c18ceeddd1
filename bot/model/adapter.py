"""What both APIs share: ask, hear the stream to its end, and turn every failure into one sentence."""

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Iterator, Sequence
from typing import Any

from openai import AsyncOpenAI

from bot.model.faults import in_one_sentence, while_streaming
from bot.model.port import Event, Finished, Message, ToolSpec

type Json = dict[str, Any]


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
            async with opened as stream:
                async for event in stream:
                    for each in heard.take(event):
                        yield each
                    if heard.over:
                        break
            yield heard.finished()

    @abstractmethod
    async def _ask(self, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> Any:
        """The stream, opened."""

    @abstractmethod
    def _heard(self) -> Heard:
        """An empty record of it."""
