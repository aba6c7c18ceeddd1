"""What a turn has cost is booked by the API's own figures, also when it ends badly."""

from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from bot.conversation import Record, converse
from bot.model import ModelError, Usage
from bot.tools import Toolbox
from orchestrator import Settings, open_orchestrator
from tests.bot.talks import ALICE, BOTH, QUESTION, Ears, Eyes, connected
from tests.discord.model import LocalModel, call, cut, error, failed, incomplete, say, usage
from tests.discord.model.steps import Step


@pytest.fixture
async def toolbox(data_dir: Path) -> AsyncIterator[Toolbox]:
    """Alice's tools, over an empty data directory."""
    async with open_orchestrator(Settings(data_dir=data_dir)) as opened:
        yield Toolbox(orchestrator=opened, owner=ALICE, witness=Eyes(), sees=True)


async def spent(server: LocalModel, toolbox: Toolbox, api: str, turns: Sequence[Sequence[Step]]) -> Usage:
    """What is booked of a question that ends badly."""
    server.script(list(turns))
    record = Record()
    async with connected(server, api) as asked:
        with pytest.raises(ModelError):
            await converse(asked, toolbox, [QUESTION], record, Ears(), max_rounds=4)
    return record.usage


@BOTH
@pytest.mark.parametrize("reason", ["length", "content_filter"])
async def test_an_answer_that_was_cut_off_is_booked(
    model: LocalModel, toolbox: Toolbox, api: str, reason: str
) -> None:
    """Its tokens were used, whatever became of the words; those of the rounds before it count as well."""
    turns: list[list[Step]] = [
        [call("list_files"), usage(10, 1)],
        [say("So far"), usage(4_000, 2_000, cached=5), incomplete(reason)],
    ]
    assert await spent(model, toolbox, api, turns) == Usage(prompt=4_010, completion=2_001, cached=5)


async def test_a_response_that_failed_is_booked(model: LocalModel, toolbox: Toolbox) -> None:
    """`response.failed` has figures too."""
    assert await spent(model, toolbox, "responses", [[say("x"), usage(7, 3), failed("no")]]) == Usage(
        prompt=7, completion=3
    )


@BOTH
@pytest.mark.parametrize("end", [error("no"), cut()])
async def test_nothing_is_invented_where_the_api_told_nothing(
    model: LocalModel, toolbox: Toolbox, api: str, end: Step
) -> None:
    """A stream that breaks has no figures, so none are booked."""
    assert await spent(model, toolbox, api, [[say("x"), usage(7, 3), end]]) == Usage()
