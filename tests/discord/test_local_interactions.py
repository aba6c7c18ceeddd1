"""The local Discord's interactions, driven through the real nextcord client."""

import io
from typing import Any

import nextcord
import pytest

from .clients import make_bot, running
from .server import LocalDiscord


async def test_commands_are_synced(discord: LocalDiscord) -> None:
    """Slash and message commands arrive, and a second sync changes nothing."""
    async with running(make_bot(), discord) as bot:
        await _synced(discord)
        before = discord.sent("POST", "/commands")
        await bot.sync_all_application_commands()
        assert discord.sent("POST", "/commands") == before
    assert before == 6


async def _synced(discord: LocalDiscord) -> None:
    wanted = {"run", "download", "privacy", "panel", "slow", "Run this code"}

    def complete() -> bool | None:
        return (discord.commands.names() | discord.commands.names("message")) == wanted or None

    await discord.world.until(complete, 5, "commands are not synced")


async def test_a_deferred_answer_fills_the_thinking_message_and_goes_on(discord: LocalDiscord) -> None:
    """The first followup fills the thinking message, the second is a message of its own, with a file."""
    alice = discord.user("alice")
    async with running(make_bot(), discord):
        await _synced(discord)
        run = await alice.slash("run", channel=discord.general, code="1+1", data=("d.csv", b"12345"))
        more = await run.wait_for(lambda m: m.content == "and more")
    assert [each.content for each in run.messages] == ["ran 1+1 on 5 bytes", "and more"]
    assert run.message.ephemeral
    assert run.message.seen_by is alice.account
    assert more.files == {"x.txt": b"x"}


async def test_a_modal_is_opened_and_submitted(discord: LocalDiscord) -> None:
    """A modal is a first answer; its submission is an interaction of its own."""
    alice = discord.user("alice")
    async with running(make_bot(), discord):
        await _synced(discord)
        opened = await alice.slash("run")
        sent = await alice.submit_modal(opened, code="print(1)")
        answer = await sent.wait_for(lambda m: m.content == "got print(1)")
    assert opened.modal is not None
    assert answer.channel is alice.dm_channel


async def test_buttons_and_selects(discord: LocalDiscord) -> None:
    """A click edits its message, a selection answers in private, a button may open a modal."""
    alice = discord.user("alice")
    async with running(make_bot(), discord):
        await _synced(discord)
        panel = (await alice.slash("panel", channel=discord.general)).message
        picked = await alice.select(panel, "pick:1", "a")
        assert picked.message.content == "picked a"
        assert picked.message.ephemeral
        opened = await alice.click(panel, "Edit")
        sent = await alice.submit_modal(opened, Code="x")
        await sent.wait_for(lambda m: m.content == "got x")
        await alice.click(panel, "again:")
        assert panel.content == "clicked"
    assert "`[Again]`" in discord.transcript(discord.general)


async def test_autocomplete_context_and_subcommands(discord: LocalDiscord) -> None:
    """Choices by what was typed, the message of a context command, a subcommand by two words."""
    alice, bob = discord.user("alice"), discord.user("bob")
    async with running(make_bot(), discord):
        await _synced(discord)
        choices = await alice.autocomplete("download", "file", "pl")
        assert [each["value"] for each in choices] == ["plot.png"]
        said = await bob.say(discord.general, "print(2)")
        ran = await alice.context("Run this code", said)
        assert ran.message.content == "running print(2)"
        assert (await alice.slash("privacy export")).message.content == "exported"


async def test_three_seconds_and_fifteen_minutes_are_kept(discord: LocalDiscord) -> None:
    """A late first answer is 10062, a late followup 50027, a second first answer 40060."""
    alice = discord.user("alice")
    bot = make_bot()
    seen: list[nextcord.Interaction[nextcord.Client]] = []

    async def keep(interaction: nextcord.Interaction[nextcord.Client]) -> None:
        seen.append(interaction)
        discord.world.changed()

    bot.add_listener(keep, "on_interaction")
    async with running(bot, discord):
        await _synced(discord)
        with pytest.raises(AssertionError, match="did not respond"):
            await (await alice.slash("slow", wait=False)).answer(timeout=0.2)
        discord.clock.advance(3.1)
        with pytest.raises(nextcord.NotFound) as late:
            await seen[0].response.send_message("late")
        assert late.value.code == 10062
        await alice.slash("download", file="x")
        seen[1].response._responded = False
        with pytest.raises(nextcord.HTTPException) as twice:
            await seen[1].response.send_message("twice")
        assert twice.value.code == 40060
        discord.clock.advance(15 * 60)
        with pytest.raises(nextcord.HTTPException) as expired:
            await seen[1].followup.send("too late")
        assert expired.value.code == 50027


async def test_people_cannot_do_what_discord_does_not_offer(discord: LocalDiscord) -> None:
    """An unknown command, a missing option and somebody else's ephemeral message are errors of the test."""
    alice, bob = discord.user("alice"), discord.user("bob")
    async with running(make_bot(), discord):
        await _synced(discord)
        with pytest.raises(AssertionError, match="no command 'nope'"):
            await alice.slash("nope")
        with pytest.raises(AssertionError, match="needs \\['file'\\]"):
            await alice.slash("download")
        shown = (await alice.slash("download", channel=discord.general, file="x")).message
        with pytest.raises(AssertionError, match="cannot see"):
            await bob.click(shown, "x")


async def test_an_interaction_says_and_keeps_its_own_size_limit(discord: LocalDiscord) -> None:
    """`attachment_size_limit` is in the payload, and a followup over it is refused with 40005."""
    alice, limits = discord.user("alice"), []
    discord.desk.attachment_size_limit = 1000
    bot = make_bot()
    seen: list[nextcord.Interaction[nextcord.Client]] = []
    plain = bot.get_interaction

    def keep(data: Any, *, cls: Any = nextcord.Interaction) -> Any:
        limits.append(data["attachment_size_limit"])
        seen.append(plain(data, cls=cls))
        return seen[-1]

    bot.get_interaction = keep  # type: ignore[method-assign]
    async with running(bot, discord):
        await _synced(discord)
        await alice.slash("download", channel=discord.general, file="x")
        await seen[0].followup.send("fits", file=nextcord.File(io.BytesIO(bytes(1000)), "a.bin"))
        with pytest.raises(nextcord.HTTPException) as caught:
            await seen[0].followup.send("not", file=nextcord.File(io.BytesIO(bytes(1001)), "b.bin"))
    assert limits == [1000]
    assert caught.value.code == 40005
