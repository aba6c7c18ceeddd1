"""Who waits, who is stopped where, whose budget is spent, and what is made ready ahead."""

import asyncio
import time
from pathlib import Path

import docker
import pytest
from pydantic import SecretStr

from bot.check import discord_finding
from bot.client import SandglassClient
from bot.registry import differences
from bot.warm import Warmer
from orchestrator import ExecutionState, Settings, open_orchestrator
from tests.bot.conftest import OpenBot
from tests.bot.engine import STOPPED_WITHIN, died_after, running_execution
from tests.bot.test_commands import ran
from tests.discord.model import LocalModel, call, say
from tests.discord.server import LocalDiscord, Message

SLEEP = {"code": "import time\ntime.sleep(100)"}


def ended(message: Message) -> bool:
    """An answer whose Stop button is gone."""
    return bool(message.content) and not message.components


async def test_stop_in_the_queue_shows_the_place_and_starts_no_container(
    discord: LocalDiscord, model: LocalModel, open_bot: OpenBot, docker_client: docker.DockerClient
) -> None:
    """With one slot the second person's execution is number 1 in the line; Stop takes it out of it."""
    alice, bob = discord.user("alice"), discord.user("bob")
    other = discord.channel("other")
    model.script([call("execute_python", SLEEP)])
    async with open_bot(sandbox={"slots": 1}) as bot:
        await bob.ask(other, "sleep")
        first = await other.wait_for(lambda m: "⏳ running" in m.content, 60)
        model.script([call("execute_python", {"code": "print('never')"}), say("Not run."), say("Slept.")])
        await alice.ask(discord.general, "run")
        waiting = await discord.general.wait_for(lambda m: "queued: number 1" in m.content, 60)
        await alice.click(waiting, "Stop")
        await discord.general.wait_for(lambda m: "cancelled" in m.content, 30)
        await discord.general.wait_for(lambda m: "Not run." in m.content and ended(m), 30)
        (execution,) = await bot.services.orchestrator.list_executions(alice.id)
        assert execution.container_id is None
        await bob.click(first, "Stop")
        await other.wait_for(lambda m: "Slept." in m.content and ended(m), 30)


async def test_the_place_in_the_line_moves(
    discord: LocalDiscord, model: LocalModel, open_bot: OpenBot
) -> None:
    """What was queued is shown as running once it runs, and then as its result, in the same message."""
    alice, bob = discord.user("alice"), discord.user("bob")
    other = discord.channel("other")
    model.script([call("execute_python", SLEEP)])
    async with open_bot(sandbox={"slots": 1}):
        await bob.ask(other, "sleep")
        first = await other.wait_for(lambda m: "⏳ running" in m.content, 60)
        model.script([call("execute_python", {**SLEEP, "timeout": 8}), say("One."), say("Two.")])
        await alice.ask(discord.general, "run")
        shown = await discord.general.wait_for(lambda m: "queued: number 1" in m.content, 60)
        await bob.click(first, "Stop")
        await discord.world.until(lambda: "timed out" in shown.content or None, 60, "no result")
        assert any("⏳ running" in each.content for each in shown.revisions)
        for where in (discord.general, other):
            await where.wait_for(lambda m: m.content.startswith(("One.", "Two.")) and ended(m), 30)


async def test_stop_while_it_runs_leaves_no_container(
    discord: LocalDiscord, bot: SandglassClient, docker_client: docker.DockerClient
) -> None:
    """It is dead within two seconds, and when the result is there; gone or about to be removed."""
    alice = discord.user("alice")
    asked = await alice.slash("run", channel=discord.general, code=SLEEP["code"])
    running = await asked.wait_for(lambda m: "⏳ running" in m.content, 60)
    await running_execution(bot, alice)
    clicked = time.time()
    await alice.click(running, "Stop")
    await asked.wait_for(lambda m: "cancelled" in m.content, 30)
    (execution,) = await bot.services.orchestrator.list_executions(alice.id)
    assert execution.state is ExecutionState.COMPLETED
    assert 0 < await died_after(docker_client, execution, clicked) < STOPPED_WITHIN
    alive = [each.id for each in docker_client.containers.list(ignore_removed=True)]
    assert execution.container_id not in alive


@pytest.mark.parametrize(
    "case",
    [
        ("[budget.user]\ncpu_seconds = 0.001\n", "local-large", "Your daily budget of 0.001 seconds"),
        ("[budget.guild]\ntokens = 5\n", "local-large", "This server's daily budget of 5 tokens"),
        ("[budget.bot]\ndollars = 0.000001\n", "gpt-4o", "The bot's daily budget of $1e-06"),
    ],
)
async def test_an_exhausted_budget_of_user_guild_or_bot_is_said(
    discord: LocalDiscord, model: LocalModel, open_bot: OpenBot, tmp_path: Path, case: tuple[str, str, str]
) -> None:
    """Questions and /run meet it; of the guild it stops others there but no DM, of the bot everybody."""
    policy = tmp_path / "policy.toml"
    budget, model_name, sentence = case
    policy.write_text(budget)
    alice, bob = discord.user("alice"), discord.user("bob")
    model.answer_with(lambda _: say("Served."))
    async with open_bot(policy=policy, openai_model=model_name):
        if "cpu_seconds" in budget:
            await ran(alice, discord.channel("other"), "print(1)")
        else:
            model.script([say("First served.")])
            await alice.ask(discord.general, "one")
            await discord.general.wait_for(lambda m: "First served." in m.content and ended(m), 60)
        asks = alice if "user" in budget else bob
        await asks.ask(discord.general, "two")
        await discord.general.wait_for(lambda m: sentence in m.content and ended(m), 30)
        run = await asks.slash("run", channel=discord.general, code="print(1)")
        await run.wait_for(lambda m: "used up" in m.content, 30)
        await bob.dm("three")
        word = "used up" if "bot" in budget else "Served."
        await bob.dm_channel.wait_for(lambda m: word in m.content and ended(m), 30)


async def test_a_blocked_user_gets_nothing_by_messages_commands_or_buttons(
    discord: LocalDiscord, model: LocalModel, open_bot: OpenBot, tmp_path: Path
) -> None:
    """Also not by the buttons of what was theirs before."""
    policy = tmp_path / "policy.toml"
    policy.write_text("")
    mallory, bob = discord.user("mallory"), discord.user("bob")
    async with open_bot(policy=policy, with_model=False):
        mine = await ran(mallory, discord.general, "print('before')")
    policy.write_text(f"[block]\nusers = [{mallory.id}]\n")
    async with open_bot(policy=policy, with_model=False) as bot:
        for label in ("Run again", "Edit and run", "Code", "Delete"):
            refused = await mallory.click(mine, label)
            assert "may not use" in refused.message.content
            assert refused.message.ephemeral
        assert not mine.deleted
        refused = await mallory.slash("files")
        assert "may not use" in refused.message.content
        await mallory.ask(discord.general, "```python\nprint('by', 'mallory')\n```")
        await mallory.dm("```python\nprint('by', 'mallory')\n```")
        await bob.ask(discord.general, "```python\nprint('by', 'bob')\n```")
        await discord.general.wait_for(lambda m: "by bob" in m.content, 60)
        assert len(await bot.services.orchestrator.list_executions(mallory.id)) == 1
        assert [m.author.name for m in mallory.dm_channel.messages] == ["mallory"]


async def test_older_messages_that_were_left_out_are_noted(
    discord: LocalDiscord, model: LocalModel, open_bot: OpenBot
) -> None:
    """The window is full: the answer says how many were cut, and the stored files are told all the same."""
    alice = discord.user("alice")
    model.script([say("First. " + "word " * 800), say("Second.")])
    async with open_bot(model_window=2_000):
        await alice.dm("remember amber " + "word " * 300, files=[("kept.csv", b"a\n1\n")])
        await alice.dm_channel.wait_for(lambda m: "First." in m.content and ended(m), 30)
        await alice.dm("and now? " + "word " * 300)
        answer = await alice.dm_channel.wait_for(lambda m: "Second." in m.content and ended(m), 30)
    assert "✂️ 2 older messages no longer fit and were left out" in answer.content
    assert "amber" not in model.requests[-1].everything
    assert "kept.csv" in model.requests[-1].everything


async def test_typing_in_a_conversation_with_us_makes_a_standby_that_the_answer_uses(
    discord: LocalDiscord, model: LocalModel, bot: SandglassClient
) -> None:
    """Typing in a DM is enough; typing elsewhere makes nothing ready."""
    alice, bob = discord.user("alice"), discord.user("bob")
    await bob.typing(discord.general)
    await alice.typing(alice.dm_channel)
    for _ in range(600):
        if (await bot.services.orchestrator.get_interpreter_status()).standby:
            break
        await asyncio.sleep(0.1)
    assert bot.services.warmer.told == {str(alice.id)}
    model.script([call("execute_python", {"code": "print('warm', 'hands')"}), say("Done.")])
    await alice.dm("go")
    result = await alice.dm_channel.wait_for(lambda m: "warm hands" in m.content, 60)
    assert " · warm" in result.content
    await alice.dm_channel.wait_for(lambda m: "Done." in m.content and ended(m), 30)


async def test_preparing_is_once_for_many_words_and_keeps_nobody_waiting(data_dir: Path) -> None:
    """Three words about a person within seconds are one preparation; the caller goes on at once."""
    async with open_orchestrator(Settings(data_dir=data_dir)) as orchestrator:
        warmer = Warmer(orchestrator)
        for _ in range(3):
            warmer.coming("1")
        warmer.coming("2")
        assert warmer.under_way == 2
        assert warmer.told == {"1", "2"}
        await warmer.close()
        assert warmer.under_way == 0


async def test_the_set_of_commands_is_ours_and_a_difference_is_told(
    discord: LocalDiscord, bot: SandglassClient
) -> None:
    """After the sync nothing differs; what was changed there is named; the check mends it."""
    assert await differences(bot) == []
    book = discord.commands.registered[None]
    for number, command in list(book.items()):
        if command["name"] == "files":
            del book[number]
        if command["name"] == "help":
            book[number] = {**command, "name": "halp"}
        if command["name"] == "run":
            book[number] = {**command, "description": "Something else"}
    wrong = await differences(bot)
    assert wrong == [
        "'files' is missing",
        "'halp' is not ours",
        "'help' is missing",
        "'run' has other options or another description",
    ]
    discord.commands.stubborn = True
    found = await checked(bot, discord.token)
    assert "it keeps other commands than it is given" in found
    discord.commands.stubborn = False
    assert "its commands are ours" in await checked(bot, discord.token)
    assert await differences(bot) == []


async def checked(bot: SandglassClient, token: str) -> str:
    """What --check says of Discord."""
    settings = bot.services.settings.model_copy(update={"discord_token": SecretStr(token)})
    return (await discord_finding(settings)).sentence
