"""A result that was computed is seen, whatever Discord refuses, loses or forgets on the way."""

import asyncio
import re

import nextcord
import pytest

from bot.client import SandglassClient
from bot.dialogue import ChannelPlace
from bot.held import IN_HAND
from bot.runs import Run
from bot.show import Show
from tests.bot.conftest import OpenBot
from tests.bot.test_commands import ran
from tests.discord.server import LocalDiscord, Message
from tests.discord.server.world import MANAGE_MESSAGES

FILES = "open('a.csv', 'w').write('1')\nopen('b.csv', 'w').write('2')\n"
SLOW = f"import time\nprint('so', 'far')\n{FILES}time.sleep(2.5)"
REFUSED = "Discord refused the files here: /files has them."


def running(message: Message) -> bool:
    """The sign of an execution."""
    return "⏳ running" in message.content


def shows(message: Message) -> bool:
    """The end of an execution, with its buttons and without Stop."""
    labels = {each.get("label") for each in message.widgets()}
    return "✅ ok" in message.content and "Run again" in labels and "Stop" not in labels


async def announced(discord: LocalDiscord, code: str = SLOW) -> Message:
    """The announcement of code that was asked for with a message."""
    await discord.user("alice").ask(discord.general, f"```python\n{code}\n```")
    return await discord.general.wait_for(running, 60)


@pytest.mark.parametrize("status", [413, 403])
async def test_refused_files_leave_the_result_and_a_sentence(
    discord: LocalDiscord, open_bot: OpenBot, status: int
) -> None:
    """Too large, or no right to attach: status, output and buttons are there, and where the files are."""
    async with open_bot(with_model=False):
        message = await announced(discord)
        discord.fail_next(f"PATCH /channels/*/messages/{message.id}", status)
        await discord.world.until(lambda: shows(message) or None, 60, "no result")
    assert "so far" in message.content
    assert message.content.endswith(REFUSED)
    assert not message.files


async def test_an_output_that_was_refused_is_seen_in_short(discord: LocalDiscord, open_bot: OpenBot) -> None:
    """It is in no store, so that its head and tail are in the message."""
    code = "import time\nfor n in range(2_000): print('line', n)\ntime.sleep(2)"
    async with open_bot(with_model=False):
        message = await announced(discord, code)
        discord.fail_next(f"PATCH /channels/*/messages/{message.id}", 413)
        await discord.world.until(lambda: shows(message) or None, 60, "no result")
    assert "line 0\n" in message.content
    assert "line 1999" in message.content
    assert "left out" in message.content


@pytest.mark.parametrize("fault", ["503", "lost"])
async def test_a_lost_request_is_made_again(discord: LocalDiscord, open_bot: OpenBot, fault: str) -> None:
    """A fault of Discord's own, a broken connection: the result is there with its files, once."""
    async with open_bot(with_model=False):
        message = await announced(discord)
        route = f"PATCH /channels/*/messages/{message.id}"
        discord.drop_next(route) if fault == "lost" else discord.fail_next(route, 503)
        await discord.world.until(lambda: shows(message) or None, 60, "no result")
    assert set(message.files) == {"a.csv", "b.csv"}
    assert REFUSED not in message.content
    assert len([each for each in discord.general.messages if shows(each)]) == 1


async def test_a_lost_message_of_a_quick_execution_is_sent_again(
    discord: LocalDiscord, open_bot: OpenBot
) -> None:
    """Also where there was no announcement to write into."""
    async with open_bot(with_model=False):
        discord.drop_next("POST /webhooks/*")
        shown = await ran(discord.user("alice"), discord.general, "print('quick')")
    assert "quick" in shown.content


async def test_a_result_whose_announcement_was_deleted_is_a_new_message(
    discord: LocalDiscord, open_bot: OpenBot
) -> None:
    """With its files and its buttons."""
    async with open_bot(with_model=False):
        message = await announced(discord)
        await discord.user("alice").delete(message)
        shown = await discord.general.wait_for(shows, 60)
    assert shown is not message
    assert set(shown.files) == {"a.csv", "b.csv"}


@pytest.mark.parametrize("gone", [False, True])
async def test_the_result_of_a_command_outlives_its_interaction(
    discord: LocalDiscord, bot: SandglassClient, gone: bool
) -> None:
    """After 15 minutes the token is dead: the channel takes it, into the announcement or as a new message."""
    alice = discord.user("alice")
    asked = await alice.slash("run", channel=discord.general, code=SLOW)
    message = await asked.wait_for(running, 60)
    if gone:
        await alice.delete(message)
    discord.clock.advance(16 * 60)
    shown = await discord.general.wait_for(shows, 60)
    assert (shown is message) is not gone
    assert set(shown.files) == {"a.csv", "b.csv"}


async def test_what_is_for_one_person_is_never_said_in_public(
    discord: LocalDiscord, bot: SandglassClient
) -> None:
    """A download that took more than 15 minutes: nothing, rather than the file for everybody."""
    alice = discord.user("alice")
    await bot.services.orchestrator.upload_file(alice.id, b"secret", "secret.txt")
    async with IN_HAND.hold(10**9):
        await alice.slash("download", channel=discord.general, file="secret.txt")
        discord.clock.advance(16 * 60)
    await discord.world.until(
        lambda: [each.status for each in discord.rest.requests][-2:] == [401, 401] or None, 10, "not tried"
    )
    assert discord.general.messages == []


def a_show(bot: SandglassClient, discord: LocalDiscord) -> Show:
    """Of executions in the general channel."""

    async def note(message: nextcord.Message) -> None:
        await bot.services.store.ours(message.id, 1, message.channel.id)

    channel = bot.place(discord.general.id)
    return Show(bot.services, ChannelPlace(channel, None), user_id=1, guild_id=None, on_message=note)


@pytest.mark.parametrize(("end", "sign"), [("abandon", "stopped"), ("failed", "went wrong")])
async def test_every_bad_end_takes_the_sign_away(
    discord: LocalDiscord, bot: SandglassClient, end: str, sign: str
) -> None:
    """Once and for all: a second word about it says that it was told, and changes nothing."""
    show = a_show(bot, discord)
    await show.began("e1", "")
    message = await discord.general.wait_for(running, 10)
    assert await getattr(show, end)() is True
    assert sign in message.content
    assert not message.components
    edits = discord.sent("PATCH")
    assert await show.abandon() is True
    assert await show.failed() is True
    assert discord.sent("PATCH") == edits


async def test_nothing_is_taken_back_that_was_never_said(discord: LocalDiscord, bot: SandglassClient) -> None:
    """An end before the announcement calls it off, and whoever ends it must say so himself."""
    show = a_show(bot, discord)
    await show.began("e1", "")
    assert await show.abandon() is False
    assert await show.abandon() is False
    assert discord.general.messages == []


async def test_a_sent_message_is_noted_though_the_turn_is_cancelled(
    discord: LocalDiscord, bot: SandglassClient
) -> None:
    """A message of ours that we did not know could be neither deleted nor followed."""
    show = a_show(bot, discord)
    ending = asyncio.create_task(show.ended(Run(execution_id="e1", owner="1", code="", fault="no engine")))
    message = await discord.general.wait_for(lambda m: "no engine" in m.content)
    ending.cancel()
    await asyncio.wait({ending})
    assert await bot.services.store.shown_of("e1") == [(discord.general.id, message.id)]
    assert await bot.services.store.question_of(message.id) == 1


async def test_a_sign_is_taken_away_though_that_is_cancelled(
    discord: LocalDiscord, bot: SandglassClient
) -> None:
    """A second stop while the first cleans up."""
    show = a_show(bot, discord)
    await show.began("e1", "")
    message = await discord.general.wait_for(running, 10)
    ending = asyncio.create_task(show.abandon())
    await asyncio.sleep(0)
    ending.cancel()
    await asyncio.wait({ending})
    assert "stopped" in message.content


async def test_the_result_is_seen_though_the_ledger_is_broken(
    discord: LocalDiscord, open_bot: OpenBot
) -> None:
    """A fault of ours after the execution costs neither the result nor the sign."""
    async with open_bot(with_model=False) as bot:
        async with bot.services.store._engine.begin() as connection:
            await connection.exec_driver_sql(
                "CREATE TRIGGER full BEFORE INSERT ON ledger BEGIN SELECT RAISE(ABORT, 'full'); END"
            )
        shown = await ran(discord.user("alice"), discord.general, "print('computed')")
        assert shows(shown)
        assert "computed" in shown.content


async def test_every_file_is_attached_named_or_counted(discord: LocalDiscord, bot: SandglassClient) -> None:
    """Twelve over the limit: as many notes as fit, and one line for the others; each message fits."""
    discord.desk.attachment_size_limit = 20_000
    code = "import os\nfor n in range(12): open(f'big{n:02}.bin', 'wb').write(os.urandom(30_000))"
    shown = await ran(discord.user("alice"), discord.general, f"{code}\nprint('x' * 900)")
    named = set(re.findall(r"`(big\d\d\.bin)` \(30\.0 KB\)", shown.content))
    (more,) = re.findall(r"(\d+) more files are over 20\.0 KB: see /files", shown.content)
    assert len(named) >= 2
    assert len(named) + int(more) == 12
    assert len(shown.content) <= 2_000


async def test_each_message_says_what_its_files_are(discord: LocalDiscord, bot: SandglassClient) -> None:
    """Type, size, id and expiry of each are with it, not with another."""
    code = "for n in range(13): open(f'f{n:02}.txt', 'w').write('x')"
    await ran(discord.user("alice"), discord.general, code)
    second = await discord.general.wait_for(lambda m: len(m.files) == 3, 30)
    (first,) = [each for each in discord.general.messages if len(each.files) == 10]
    for message in (first, second):
        for name in message.files:
            assert re.search(rf"`{name}` · text · 1 B · id `\S+` · until <t:\d+:R>", message.content)
    assert "f12.txt" not in first.content


async def test_delete_removes_every_message_of_an_execution(discord: LocalDiscord, open_bot: OpenBot) -> None:
    """Also after a restart, and where one of them is gone already."""
    alice, judge = discord.user("alice"), discord.user("judge", permissions=MANAGE_MESSAGES)
    code = "for n in range(23): open(f'f{n:02}.txt', 'w').write('x')"
    async with open_bot():
        other = await ran(alice, discord.general, "print('stays')")
        shown = await ran(alice, discord.general, code)
        await discord.general.wait_for(lambda m: len(m.files) == 3, 30)
    second = next(each for each in discord.general.messages if each.files and each is not shown)
    await judge.delete(second)
    async with open_bot():
        await alice.click(shown, "Delete")
        await discord.world.until(lambda: discord.general.messages == [other] or None, 10, "not deleted")
