"""The local Discord is Discord to the real nextcord client: messages, files, gateway, limits."""

import asyncio
import io

import aiohttp
import nextcord
import pytest

from .clients import Echo, running
from .server import LocalDiscord


async def test_a_message_with_a_file_is_answered_with_the_same_bytes(discord: LocalDiscord) -> None:
    """Message, upload, CDN, reply and multipart come back whole."""
    alice = discord.user("alice")
    async with running(Echo(), discord):
        asked = await alice.say(discord.general, "hello", files=[("my data.csv", b"a,b\n1,2\n")])
        answer = await discord.general.wait_for(lambda m: m.content.startswith("echo:"))
    assert answer.content == "echo: hello"
    assert answer.reference == asked.id
    assert answer.files == {"my_data.csv": b"a,b\n1,2\n"}
    assert "**sandglass** `APP`" in discord.transcript(discord.general)


async def test_a_dm_is_answered(discord: LocalDiscord) -> None:
    """A DM channel that the client never saw works."""
    alice = discord.user("alice")
    async with running(Echo(), discord):
        await alice.dm("psst")
        answer = await alice.dm_channel.wait_for(lambda m: m.content == "echo: psst")
    assert answer.channel.recipient is alice.account


async def test_typing_is_seen(discord: LocalDiscord) -> None:
    """TYPING_START reaches the client before the message."""
    alice = discord.user("alice")
    async with running(Echo(), discord) as client:
        await alice.typing(discord.general)
        await alice.say(discord.general, "x")
        await discord.general.wait_for(lambda m: m.content == "echo: x")
        assert client.typists == [alice.id]


async def test_a_drop_in_the_middle_is_resumed_without_losing_a_message(discord: LocalDiscord) -> None:
    """What was said while the client was away is replayed."""
    alice = discord.user("alice")
    async with running(Echo(), discord) as client:
        discord.drop_gateway(4000)
        await alice.say(discord.general, "while away")
        await discord.general.wait_for(lambda m: m.content == "echo: while away")
        assert client.resumed == 1
        assert client.heard == ["while away"]
    assert discord.gateway.identifies == 1


@pytest.mark.parametrize("order", ["reconnect", "invalid", "forgotten"])
async def test_the_client_comes_back_after_every_order_to_leave(discord: LocalDiscord, order: str) -> None:
    """Op 7, op 9 and a lost session end in a connected client."""
    alice = discord.user("alice")
    async with running(Echo(), discord):
        if order == "reconnect":
            discord.ask_reconnect()
        elif order == "invalid":
            discord.invalidate_session(resumable=False)
        else:
            discord.drop_gateway(4000, forget=True)
        away = discord.gateway.lines.copy()
        await discord.world.until(
            lambda: (discord.gateway.connected and not discord.gateway.lines & away) or None, 20, "not back"
        )
        await alice.say(discord.general, "again")
        await discord.general.wait_for(lambda m: m.content == "echo: again")


async def test_a_wrong_token_is_refused(discord: LocalDiscord) -> None:
    """401 at login."""
    client = Echo()
    with pytest.raises(nextcord.LoginFailure):
        await client.start("wrong")
    await client.close()


async def test_an_intent_that_is_off_closes_with_4014(discord: LocalDiscord) -> None:
    """The portal's switch decides."""
    discord.withhold_intent("message_content")
    client = Echo()
    with pytest.raises(nextcord.PrivilegedIntentsRequired):
        await client.start(discord.token)
    await client.close()


async def test_a_close_with_4004_ends_the_client(discord: LocalDiscord) -> None:
    """A fatal close code is not reconnected."""
    client = Echo()
    task = asyncio.create_task(client.start(discord.token))
    await discord.connected()
    await discord.user("alice").say(discord.general, "hi")
    await discord.general.wait_for(lambda m: m.content == "echo: hi")
    discord.drop_gateway(4004)
    with pytest.raises(nextcord.ConnectionClosed) as caught:
        await task
    await client.close()
    assert caught.value.code == 4004


async def test_server_errors_and_ordered_429s_are_retried(discord: LocalDiscord) -> None:
    """500, 502 and 429 with `Via` are retried by the client and not counted against it."""
    alice = discord.user("alice")
    async with running(Echo(), discord):
        discord.fail_next("POST /channels/*/messages", 502)
        discord.rate_limit_next("POST /channels/*/messages", retry_after=0.1)
        await alice.say(discord.general, "persist")
        await discord.general.wait_for(lambda m: m.content == "echo: persist")
    assert [each.status for each in discord.rest.requests if each.method == "POST"] == [502, 429, 200]
    assert discord.limits.caused == []


async def test_a_bucket_counts_what_the_client_causes(discord: LocalDiscord) -> None:
    """Five messages in five seconds pass; the sixth, sent against the headers, is a 429 of its own."""
    headers = {"Authorization": f"Bot {discord.token}"}
    url = f"{discord.base}/channels/{discord.general.id}/messages"
    async with aiohttp.ClientSession(headers=headers) as session:
        answers = [await session.post(url, json={"content": str(n)}) for n in range(6)]
    assert [each.status for each in answers] == [200] * 5 + [429]
    assert answers[0].headers["X-RateLimit-Remaining"] == "4"
    assert answers[5].headers["Via"]
    assert len(discord.limits.caused) == 1


async def test_nextcord_waits_for_its_bucket(discord: LocalDiscord) -> None:
    """Seven sends at once cause no 429."""
    discord.limits.windows["POST /channels/{channel_id}/messages"] = (5, 1.0)
    async with running(Echo(), discord) as client:
        channel = client.get_channel(discord.general.id)
        assert isinstance(channel, nextcord.TextChannel)
        for n in range(7):
            await channel.send(str(n))
    assert [each.content for each in discord.general.messages] == [str(n) for n in range(7)]
    assert discord.limits.caused == []


@pytest.mark.parametrize(
    ("tier", "size", "fits"), [(0, 10, True), (0, 11, False), (2, 20, True), (2, 26, False)], ids=str
)
async def test_files_meet_the_limits_of_guild_and_request(tier: int, size: int, fits: bool) -> None:
    """10 MiB a file, 50 at tier 2, and 25 MiB a request, refused with 40005."""
    data = bytes(size * 1024 * 1024)[: size * 1024 * 1024 - (1024 if fits else 0)]
    async with LocalDiscord(tier=tier) as discord, running(Echo(), discord) as client:
        channel = client.get_channel(discord.general.id)
        assert isinstance(channel, nextcord.TextChannel)
        if fits:
            await channel.send(file=nextcord.File(io.BytesIO(data), "big.bin"))
            assert discord.general.messages[0].attachments[0].size == len(data)
        else:
            with pytest.raises(nextcord.HTTPException) as caught:
                await channel.send(file=nextcord.File(io.BytesIO(data), "big.bin"))
            assert (caught.value.status, caught.value.code) == (413, 40005)


async def test_edits_keep_only_the_attachments_that_they_name(discord: LocalDiscord) -> None:
    """`attachments` names what stays; a new file beside it is added."""
    async with running(Echo(), discord) as client:
        channel = client.get_channel(discord.general.id)
        assert isinstance(channel, nextcord.TextChannel)
        files = [nextcord.File(io.BytesIO(b"1"), "a.txt"), nextcord.File(io.BytesIO(b"2"), "b.txt")]
        message = await channel.send("two", files=files)
        message = await message.edit(content="still two")
        assert len(message.attachments) == 2
        more = nextcord.File(io.BytesIO(b"3"), "c.txt")
        message = await message.edit(attachments=message.attachments[:1], file=more)
    assert discord.general.messages[0].files == {"a.txt": b"1", "c.txt": b"3"}


async def test_bad_messages_get_discords_own_errors(discord: LocalDiscord) -> None:
    """2000 characters, an empty message, an unknown reference, a message of somebody else."""
    alice = discord.user("alice")
    async with running(Echo(), discord) as client:
        channel = client.get_channel(discord.general.id)
        assert isinstance(channel, nextcord.TextChannel)
        with pytest.raises(nextcord.HTTPException, match="Must be 2000 or fewer in length") as caught:
            await channel.send("x" * 2001)
        assert caught.value.code == 50035
        with pytest.raises(nextcord.HTTPException) as caught:
            await channel.send("  ")
        assert caught.value.code == 50006
        said = await alice.say(discord.general, "mine")
        with pytest.raises(nextcord.Forbidden):
            await channel.get_partial_message(said.id).edit(content="ours")
        await alice.delete(said)
        with pytest.raises(nextcord.HTTPException, match="Unknown message"):
            await channel.send(
                "late", reference=nextcord.MessageReference(message_id=said.id, channel_id=channel.id)
            )


async def test_threads_open_on_a_message_and_talk(discord: LocalDiscord) -> None:
    """A thread has its message's id; what is said inside is answered inside."""
    alice = discord.user("alice")
    async with running(Echo(), discord) as client:
        said = await alice.say(discord.general, "start")
        answer = await discord.general.wait_for(lambda m: m.content == "echo: start")
        channel = client.get_channel(discord.general.id)
        assert isinstance(channel, nextcord.TextChannel)
        thread = await (await channel.fetch_message(said.id)).create_thread(name="talk")
        await alice.say(discord.channel("talk"), "inside")
        await discord.channel("talk").wait_for(lambda m: m.content == "echo: inside")
        assert thread.id == said.id
        history = [each.content async for each in channel.history(limit=10)]
    assert history == ["echo: start", "start"]
    assert answer.channel is discord.general
