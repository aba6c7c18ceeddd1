"""Every way into the bot has the same gates: whose it is, who is let in, how often, and for how much."""

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path

import docker

from bot.client import SandglassClient
from orchestrator import Execution
from tests.bot.conftest import OpenBot
from tests.bot.engine import STOPPED_WITHIN, died_after, running_execution
from tests.bot.test_commands import NOT_YOURS, ran
from tests.bot.test_turns import ended
from tests.discord.model import LocalModel, say
from tests.discord.server import Channel, LocalDiscord, Message, Person
from tests.discord.server.interactions import COMPONENT, Interaction

SLEEP = "import time\ntime.sleep(100)"
FENCED = "```python\nprint('fenced')\n```"
OPEN = "[cooldown]\nseconds = 0\n"
BUTTON, SELECT = 2, 3


async def test_nobody_kills_the_run_of_another(
    discord: LocalDiscord, bot: SandglassClient, docker_client: docker.DockerClient
) -> None:
    """The click is refused in private and the container lives; a moderator's click ends it at once."""
    alice, bob = discord.user("alice"), discord.user("bob")
    judge = discord.user("judge", permissions=1 << 13)
    asked = await alice.slash("run", channel=discord.general, code=SLEEP)
    running = await asked.wait_for(lambda m: "⏳ running" in m.content, 60)
    execution = await running_execution(bot, alice)
    refused = await bob.click(running, "Stop")
    assert NOT_YOURS in refused.message.content
    assert refused.message.ephemeral
    assert (await running_execution(bot, alice)) == execution
    assert execution.container_id in [each.id for each in docker_client.containers.list(ignore_removed=True)]
    clicked = time.time()
    await judge.click(running, "Stop")
    await asked.wait_for(lambda m: "cancelled" in m.content, 30)
    assert 0 < await died_after(docker_client, execution, clicked) < STOPPED_WITHIN


async def test_a_click_with_the_file_id_of_another_finds_nothing(
    discord: LocalDiscord, bot: SandglassClient
) -> None:
    """No button or menu opens, keeps or deletes a file for whoever is not its owner, not even a moderator."""
    alice, judge = discord.user("alice"), discord.user("judge", permissions=1 << 13)
    files = bot.services.orchestrator
    secret = await files.upload_file(alice.id, b"s", "secret.txt")
    await files.upload_file(judge.id, b"m", "mine.txt")
    seen = (await judge.slash("files", channel=discord.general)).message
    for verb in ("pick", "get", "keep", "ask", "gone"):
        of_file = {"component_type": BUTTON, "custom_id": f"sg:{verb}:{secret.file_id}", "id": 1}
        of_menu = {
            "component_type": SELECT,
            "custom_id": "sg:pick:file",
            "id": 1,
            "values": [secret.file_id],
        }
        data = of_menu if verb == "pick" else of_file
        clicked = discord.desk.open(COMPONENT, judge.account, discord.general, data, source=seen)
        answer = await clicked.wait_for(lambda m: "File not found or expired" in m.content)
        assert answer.ephemeral
        assert not answer.files
        assert "secret" not in answer.content.replace(secret.file_id, "")
    assert await files.get_file(secret.file_id, alice.id) == secret


@dataclass(frozen=True, kw_only=True)
class Known:
    """Somebody who was served before, and what is theirs from then."""

    who: Person
    where: Channel
    asked: Message
    shown: Message
    form: Interaction

    async def interactions(self) -> list[Interaction]:
        """A command, a button, a form and the message menu, each of which would run a program."""
        return [
            await self.who.slash("run", channel=self.where, code="print(1)"),
            await self.who.click(self.shown, "Run again"),
            await self.who.submit_modal(self.form, code="print(1)"),
            await self.who.context("Run this code", self.asked),
        ]

    async def asks(self) -> Message:
        """A question of the same person."""
        return await self.who.ask(self.where, FENCED)

    async def edits(self) -> None:
        """The first question is another one now."""
        await self.who.edit(self.asked, f"{self.asked.content} changed")


async def known(who: Person, where: Channel) -> Known:
    """A question, a program and an open form: three requests that the cooldown counts."""
    asked = await who.ask(where, FENCED)
    await where.wait_for(lambda m: "Served." in m.content and ended(m), 30, after=asked)
    shown = await ran(who, where, "print('before')")
    form = await who.slash("run", channel=where)
    assert form.modal
    return Known(who=who, where=where, asked=asked, shown=shown, form=form)


async def room_of(who: Person, channel: Channel, discord: LocalDiscord) -> Channel:
    """A thread in which everything is for the bot."""
    await (await who.slash("chat", channel=channel, topic=f"of {who.name}")).wait_for(lambda m: m.content)
    return discord.channel(f"of {who.name}")


async def only_execution(bot: SandglassClient, who: Person) -> Execution:
    """The one that this person ever had."""
    (execution,) = await bot.services.orchestrator.list_executions(who.id)
    return execution


async def follow(bot: SandglassClient, policy: Path, text: str) -> None:
    """Change the file, and wait until it is what the bot goes by."""
    before = await bot.services.policy.rules()
    await asyncio.to_thread(policy.write_text, text)
    for _ in range(200):
        if await bot.services.policy.rules() != before:
            return
        await asyncio.sleep(0.05)
    raise AssertionError("the policy was not read again")


def refused_in(channel: Channel) -> int:
    """How many questions were too many."""
    return sum("too many questions" in each.content for each in channel.messages)


async def test_who_is_blocked_by_id_role_or_parent_channel_gets_in_by_no_way(
    discord: LocalDiscord, model: LocalModel, open_bot: OpenBot, tmp_path: Path
) -> None:
    """Neither by words nor by an edit, typing, a command, completion, button, form or the message menu."""
    policy = tmp_path / "policy.toml"
    policy.write_text(OPEN)
    model.answer_with(lambda _: say("Served."))
    guests, hall, cellar = discord.role("guests"), discord.channel("hall"), discord.channel("cellar")
    mallory, carol = discord.user("mallory"), discord.user("carol", roles=(guests,))
    dave, bob = discord.user("dave"), discord.user("bob")
    async with open_bot(policy=policy) as bot:
        control, *out = await asyncio.gather(
            known(bob, discord.general),
            known(mallory, hall),
            known(carol, await room_of(carol, hall, discord)),
            known(dave, await room_of(dave, cellar, discord)),
        )
        for each in out:
            await bot.services.orchestrator.upload_file(each.who.id, b"x", "a.txt")
            assert await each.who.autocomplete("download", "file", "", channel=each.where)
        await follow(
            bot,
            policy,
            f"{OPEN}[block]\nusers = [{mallory.id}]\nroles = [{guests.id}]\nchannels = [{cellar.id}]\n",
        )
        bot.services.warmer._told.clear()
        served, said = len(model.requests), [len(each.where.messages) for each in out]
        for each in out:
            await each.asks()
            await each.edits()
            await each.who.typing(mallory.dm_channel if each.who is mallory else each.where)
            assert await each.who.autocomplete("download", "file", "", channel=each.where) == []
            for refused in await each.interactions():
                assert "may not use this bot here" in refused.message.content
                assert refused.message.ephemeral
        await control.edits()
        asked = await control.asks()
        await discord.general.wait_for(lambda m: "Served." in m.content and ended(m), 30, after=asked)
        await model.until(lambda: len(model.requests) >= served + 2)
        assert len(model.requests) == served + 2
        assert [len(each.where.messages) for each in out] == [count + 1 for count in said]
        assert bot.services.warmer.told == {str(bob.id)}
        for each in out:
            assert (await only_execution(bot, each.who)).code == "print('before')"


async def test_the_cooldown_counts_every_way_of_asking(
    discord: LocalDiscord, model: LocalModel, open_bot: OpenBot, tmp_path: Path
) -> None:
    """The bucket of three is empty: no way sets work off, and what costs nothing is served all the same."""
    policy = tmp_path / "policy.toml"
    policy.write_text("[cooldown]\nburst = 3\nseconds = 600\n")
    model.answer_with(lambda _: say("Served."))
    async with open_bot(policy=policy) as bot:
        alice = await known(discord.user("alice"), discord.general)
        for refusals, ask in enumerate((alice.asks, alice.edits), 1):
            await ask()
            await discord.world.until(
                lambda wanted=refusals: refused_in(discord.general) == wanted or None,  # type: ignore[misc]
                10,
                "not refused",
            )
        for refused in await alice.interactions():
            assert "try again in" in refused.message.content
            assert refused.message.ephemeral
        for refused in (
            await alice.who.slash("chat", channel=discord.general),
            await alice.who.slash("download", channel=discord.general, file="a"),
            await alice.who.slash("upload", channel=discord.general, file=("a", b"")),
        ):
            assert "try again in" in refused.message.content
        assert "print('before')" in (await alice.who.click(alice.shown, "Code")).message.content
        await (await alice.who.slash("stop")).wait_for(lambda m: "try again" not in m.content)
        assert len(model.requests) == 1
        assert (await only_execution(bot, alice.who)).code == "print('before')"


async def test_a_spent_budget_is_met_by_every_way_of_asking(
    discord: LocalDiscord, model: LocalModel, open_bot: OpenBot, tmp_path: Path
) -> None:
    """The day's computing is used up: nothing is asked of the model, and nothing runs."""
    policy = tmp_path / "policy.toml"
    policy.write_text(f"{OPEN}[budget.user]\ncpu_seconds = 0.001\n")
    model.answer_with(lambda _: say("Served."))
    async with open_bot(policy=policy) as bot:
        alice = await known(discord.user("alice"), discord.general)
        asked = await alice.asks()
        await discord.general.wait_for(lambda m: "is used up" in m.content and ended(m), 30, after=asked)
        await alice.edits()
        await discord.general.wait_for(
            lambda m: "is used up" in m.content and ended(m) and m.reference == alice.asked.id, 30
        )
        for refused in await alice.interactions():
            await refused.wait_for(lambda m: "is used up" in m.content, 30)
        assert len(model.requests) == 1
        assert (await only_execution(bot, alice.who)).code == "print('before')"
