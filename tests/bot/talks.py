"""Whom the model talks to in these tests, and how it is reached."""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from bot.conversation import Record, converse
from bot.model import Message, Model, Said, Text, ToolCall, ToolResult, connect
from bot.runs import Run
from bot.settings import BotSettings
from bot.tools import Toolbox
from tests.discord.model import LocalModel

ALICE, BOB = "1", "2"
QUESTION = Text(role="user", text="what is it?")


class Ears:
    """Hears what would be shown."""

    def __init__(self) -> None:
        self.text = ""
        self.calls = 0

    async def piece(self, text: str) -> None:
        """Words."""
        self.text += text

    async def code_is_coming(self) -> None:
        """A call has begun."""
        self.calls += 1


class Eyes:
    """Sees executions; nothing here should run one unless it says so."""

    def __init__(self) -> None:
        self.began_with: list[str] = []

    async def began(self, execution_id: str, code: str) -> None:
        """Note the code."""
        assert execution_id
        self.began_with.append(code)

    async def ended(self, run: Run) -> None:
        """Nothing to show."""
        assert run.code in self.began_with


@asynccontextmanager
async def connected(server: LocalModel, api: str) -> AsyncIterator[Model]:
    """The real client of one API."""
    settings = BotSettings(openai_api_key=server.api_key, openai_base_url=server.base_url, openai_api=api)
    async with connect(settings) as make:
        assert make is not None
        yield make("local-large")


async def answered(model: Model, toolbox: Toolbox, ears: Ears, *, rounds: int = 4) -> Record:
    """One question, to its end."""
    record = Record()
    await converse(model, toolbox, [QUESTION], record, ears, max_rounds=rounds)
    return record


def unanswered(messages: Sequence[Message]) -> set[str]:
    """Calls without a result."""
    made = {one.call_id for each in messages if isinstance(each, Said) for one in each.calls}
    return made - {each.call_id for each in messages if isinstance(each, ToolResult)}


BOTH = pytest.mark.parametrize("api", ["responses", "chat"])


async def served(toolbox: Toolbox, name: str, arguments: str) -> dict[str, object]:
    """What a call is answered."""
    result = await toolbox.answer(ToolCall(call_id="c", name=name, arguments=arguments))
    assert result.call_id == "c"
    return dict(json.loads(result.output))
