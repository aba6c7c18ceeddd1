"""A connection that is lost and replaced, and what was said meanwhile: nothing lost, nothing said twice."""

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from nextcord.utils import time_snowflake

from bot.client import SandglassClient
from bot.services import open_services
from bot.settings import BotSettings
from bot.supervise import keep_connected
from bot.turns import Turns
from orchestrator import Settings, open_orchestrator
from tests.discord.model import LocalModel, call, say
from tests.discord.server import LocalDiscord
from tests.discord.server.people import Person
from tests.discord.server.world import Channel, Message

type Watched = Callable[..., AbstractAsyncContextManager[list[SandglassClient]]]

STEPS = "import time\nfor _ in range({tenths}):\n    time.sleep(0.1)\nprint('the run is over')"


@pytest.fixture
def watched(discord: LocalDiscord, model: LocalModel, data_dir: Path) -> Watched:
    """Opens the bot under its watch, over the same data each time; gives the clients that were made."""

    @asynccontextmanager
    async def opened(**overrides: Any) -> AsyncIterator[list[SandglassClient]]:
        settings = await asyncio.to_thread(
            BotSettings.load,
            openai_api_key=model.api_key,
            openai_base_url=model.base_url,
            openai_model="local-large",
            **overrides,
        )
        ours = await asyncio.to_thread(Settings.load, data_dir=data_dir)
        turns = Turns()
        clients: list[SandglassClient] = []
        async with (
            open_orchestrator(ours) as orchestrator,
            open_services(settings, orchestrator, ours.data_dir) as services,
        ):

            def make() -> SandglassClient:
                clients.append(SandglassClient(services, turns, guild_ready_timeout=0.05))
                return clients[-1]

            watch = asyncio.create_task(keep_connected(make, discord.token, first_wait=0.05))
            try:
                await discord.connected(20)
                await asyncio.wait_for(clients[-1].synced.wait(), 20)
                yield clients
            finally:
                watch.cancel()
                await asyncio.gather(turns.close(), watch, return_exceptions=True)

    return opened


async def connections(discord: LocalDiscord, number: int, timeout: float = 20) -> None:
    """Wait until so many were made, and one is there."""
    gateway = discord.gateway
    await discord.world.until(
        lambda: (gateway.connected and gateway.identifies >= number) or None, timeout, f"not {number} clients"
    )


@pytest.mark.parametrize("fault", ["malformed event", "corrupt stream"])
async def test_a_command_outlives_the_connection_that_it_came_by(
    discord: LocalDiscord, model: LocalModel, watched: Watched, fault: str
) -> None:
    """The next client listens at once; the result arrives where "running" stood; then the session closes."""
    model.script([say("I hear you.")])
    alice = discord.user("alice")
    async with watched() as clients:
        made = await alice.slash("run", channel=discord.general, code=STEPS.format(tenths=60))
        await made.wait_for(lambda m: "running" in m.content, 20)
        discord.corrupt_gateway() if fault == "corrupt stream" else discord.confuse_gateway()
        await connections(discord, 2, 3)
        await discord.user("bob").ask(discord.general, "are you there?")
        await discord.general.wait_for(lambda m: "I hear you." in m.content and not m.components, 10)
        assert not [each for each in made.messages if "the run is over" in each.content]
        shown = await made.wait_for(lambda m: "the run is over" in m.content, 20)
        assert "running" not in shown.content
        assert len([each for each in made.messages if not each.deleted]) == 1
    first = clients[0].http._HTTPClient__session  # type: ignore[attr-defined]
    assert first.closed


async def test_an_answer_outlives_the_connection_that_its_question_came_by(
    discord: LocalDiscord, model: LocalModel, watched: Watched
) -> None:
    """Begun by one client, and said once, through its session, while the next one listens."""
    model.script([call("execute_python", {"code": STEPS.format(tenths=30)}), say("All is computed.")])
    async with watched():
        question = await discord.user("alice").ask(discord.general, "compute")
        await discord.general.wait_for(lambda m: "running" in m.content, 20)
        discord.confuse_gateway()
        await connections(discord, 2, 3)
        await discord.general.wait_for(lambda m: "All is computed." in m.content and not m.components, 30)
    assert not [m for m in discord.general.messages if "running" in m.content]
    assert len([m for m in discord.general.messages if m.reference == question.id]) == 1
    assert len(model.requests) == 2


async def test_a_shutdown_waits_for_the_last_words_of_every_client(
    discord: LocalDiscord, model: LocalModel, watched: Watched
) -> None:
    """What an earlier client has in hand is stopped, said to be, and no session is left open."""
    alice = discord.user("alice")
    async with watched() as clients:
        made = await alice.slash("run", channel=discord.general, code=STEPS.format(tenths=900))
        await made.wait_for(lambda m: "running" in m.content, 20)
        discord.confuse_gateway()
        await connections(discord, 2, 3)
    (shown,) = made.messages
    assert shown.content.startswith("-# ⏹️ cancelled")
    for client in clients:
        assert client.http._HTTPClient__session.closed  # type: ignore[attr-defined]


@asynccontextmanager
async def nobody_listening(discord: LocalDiscord) -> AsyncIterator[None]:
    """A client is lost, and the next one is let in only afterwards."""
    gateway, before = discord.gateway, discord.gateway.identifies
    gateway.refuse = 1_000_000
    discord.confuse_gateway()
    await discord.world.until(lambda: None if gateway.connected else True, 10, "still connected")
    gateway.sessions.clear()
    yield
    gateway.refuse = 0
    await connections(discord, before + 1)


async def answered(channel: Channel, question: Message, text: str) -> Message:
    """The finished answer to a question."""
    return await channel.wait_for(
        lambda m: m.reference == question.id and text in m.content and not m.components, 30
    )


async def talked(discord: LocalDiscord, person: Person, channel: Channel) -> Message:
    """The answer to a first question, which makes the channel one that we have spoken in."""
    question = await person.say(channel, "hello", mention=channel.guild is not None)
    return await answered(channel, question, "Hello.")


async def test_what_was_said_between_two_clients_is_answered_in_order(
    discord: LocalDiscord, model: LocalModel, watched: Watched
) -> None:
    """In DMs, in our threads and as replies, before what is said once we listen; and nothing else is."""
    said = ("Hello.", "Hello.", "One.", "Two.", "Three.", "Dear.", "Thread.")
    model.script([say(each) for each in said])
    alice, bob = discord.user("alice"), discord.user("bob")
    async with watched():
        first = await talked(discord, alice, discord.general)
        await talked(discord, bob, bob.dm_channel)
        opened = await alice.slash("chat", channel=discord.general, topic="room")
        await opened.wait_for(lambda m: "The thread is open" in m.content)
        room = discord.channel("room")
        async with nobody_listening(discord):
            one = await alice.say(discord.general, "the first", reply_to=first)
            await alice.say(discord.general, "chatter of no concern")
            gone = await alice.say(discord.general, "deleted meanwhile", reply_to=first)
            await alice.delete(gone)
            two = await alice.say(discord.general, "the second", reply_to=first)
        three = await alice.say(discord.general, "the third", reply_to=first)
        for question, text in ((one, "One."), (two, "Two."), (three, "Three.")):
            await answered(discord.general, question, text)
        async with nobody_listening(discord):
            dear = await bob.dm("privately")
        await answered(bob.dm_channel, dear, "Dear.")
        async with nobody_listening(discord):
            inside = await alice.say(room, "in the thread")
        await answered(room, inside, "Thread.")
    assert len(model.requests) == 7


async def test_a_session_that_cannot_be_resumed_is_caught_up(
    discord: LocalDiscord, model: LocalModel, bot: SandglassClient
) -> None:
    """The same client begins another session, and answers once what was said before it."""
    model.script([say("Hello."), say("Meanwhile.")])
    alice = discord.user("alice")
    await talked(discord, alice, alice.dm_channel)
    discord.invalidate_session(resumable=False)
    missed = await alice.dm("are you there?")
    await answered(alice.dm_channel, missed, "Meanwhile.")
    assert discord.gateway.identifies == 2


async def test_a_restart_answers_what_came_while_the_bot_was_down(
    discord: LocalDiscord, model: LocalModel, watched: Watched
) -> None:
    """Once; what the end of the process has stopped was answered with that."""
    model.script([say("Hello."), call("execute_python", {"code": STEPS.format(tenths=900)}), say("Back.")])
    alice = discord.user("alice")
    async with watched():
        await talked(discord, alice, alice.dm_channel)
        stopped = await alice.dm("a long one")
        await alice.dm_channel.wait_for(lambda m: "running" in m.content, 20)
    await answered(alice.dm_channel, stopped, "stopped")
    missed = await alice.dm("while you were down")
    async with watched():
        await answered(alice.dm_channel, missed, "Back.")
    async with watched() as clients:
        await asyncio.wait_for(clients[0]._catch_up.passed(alice.dm_channel.id), 10)
    assert len(model.requests) == 3


async def test_what_was_heard_already_is_not_answered_twice(
    discord: LocalDiscord, model: LocalModel, watched: Watched
) -> None:
    """One client has heard it and has said nothing yet when the next one reads the same message."""
    model.script([say("Hello."), say("Once.")])
    alice = discord.user("alice")
    async with watched() as clients:
        await talked(discord, alice, alice.dm_channel)
        discord.fail_next("POST /channels/*/messages", 503, 2)
        question = await alice.dm("only once")
        discord.confuse_gateway()
        await connections(discord, 2, 3)
        await asyncio.wait_for(clients[-1].wait_until_ready(), 10)
        await asyncio.wait_for(clients[-1]._catch_up.passed(alice.dm_channel.id), 10)
        await answered(alice.dm_channel, question, "Once.")
    assert len([m for m in alice.dm_channel.messages if m.reference == question.id]) == 1
    assert len(model.requests) == 2


async def test_a_missed_message_passes_the_policy_with_its_author_s_roles(
    discord: LocalDiscord, model: LocalModel, watched: Watched, tmp_path: Path
) -> None:
    """Discord does not tell them with a message that is fetched."""
    role = discord.role("friends")
    policy = tmp_path / "policy.toml"
    await asyncio.to_thread(policy.write_text, f"[allow]\nroles = [{role.id}]\n")
    alice, mallory = discord.user("alice", roles=(role,)), discord.user("mallory")
    model.script([say("Hello."), say("Friend.")])
    async with watched(policy=policy):
        first = await talked(discord, alice, discord.general)
        async with nobody_listening(discord):
            await mallory.say(discord.general, "let me in", reply_to=first)
            question = await alice.say(discord.general, "a friend", reply_to=first)
        await answered(discord.general, question, "Friend.")
    assert len(model.requests) == 2


async def test_what_is_too_old_is_left_alone(
    discord: LocalDiscord, model: LocalModel, watched: Watched
) -> None:
    """A quarter of an hour; what is younger is answered, though the conversation rested for longer."""
    model.script([say("Young.")])
    alice = discord.user("alice")
    ago = {minutes: datetime.now(UTC) - timedelta(minutes=minutes) for minutes in (30, 16, 14)}
    async with watched() as clients:
        store = clients[0].services.store
        mark = time_snowflake(ago[30])
        await store.ours(mark + 1, mark, alice.dm_channel.id)
    old, young = [
        Message(
            id=time_snowflake(ago[minutes]),
            channel=alice.dm_channel,
            author=alice.account,
            content=f"{minutes} minutes ago",
            at=ago[minutes],
        )
        for minutes in (16, 14)
    ]
    alice.dm_channel.log += [old, young]
    async with watched():
        await answered(alice.dm_channel, young, "Young.")
    assert len(model.requests) == 1
    assert "14 minutes ago" in model.requests[0].everything


async def test_an_answer_given_while_nobody_listens_hides_no_question(
    discord: LocalDiscord, model: LocalModel, watched: Watched
) -> None:
    """Our own newest message is no sign of how far we have heard."""
    steps = [call("execute_python", {"code": code}) for code in (STEPS.format(tenths=20), "print('again')")]
    model.script([*steps, say("Done."), say("Bob.")])
    alice, bob = discord.user("alice"), discord.user("bob")
    async with watched():
        question = await alice.ask(discord.general, "compute")
        await discord.general.wait_for(lambda m: "running" in m.content, 20)
        async with nobody_listening(discord):
            missed = await bob.say(discord.general, "and me?", reply_to=discord.general.messages[-1])
            await discord.general.wait_for(lambda m: "again" in m.content, 20, after=missed)
            await answered(discord.general, question, "Done.")
        await answered(discord.general, missed, "Bob.")
    assert len(model.requests) == 4


async def beat(client: SandglassClient, *, noted_before: float, unanswered_for: float = 0) -> None:
    """One heartbeat as nextcord's thread sends it, which has noted only the one before; then its answer."""
    line: Any = client.ws
    keeper = line._keep_alive
    keeper._last_send = time.perf_counter() - noted_before
    last = keeper._last_ack
    await line.send_heartbeat(keeper.get_payload())
    keeper._last_send -= unanswered_for
    async with asyncio.timeout(10):
        while keeper._last_ack == last:  # noqa: ASYNC110  (nextcord tells nobody of an answer)
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("resumed", [False, True])
async def test_only_a_line_that_is_behind_is_said_to_be(
    discord: LocalDiscord, bot: SandglassClient, caplog: pytest.LogCaptureFixture, *, resumed: bool
) -> None:
    """An answer that is heard before the thread has noted the sending is not late."""
    if resumed:
        discord.ask_reconnect()
        await discord.world.until(lambda: discord.gateway.resumes or None, 20, "not resumed")
        await bot.wait_for("resumed", timeout=10)
        await asyncio.sleep(0)  # its handler was started after us
    await beat(bot, noted_before=41)
    assert "Can't keep up" not in caplog.text
    await beat(bot, noted_before=41, unanswered_for=20)
    assert "websocket is 20.0s behind" in caplog.text


# nextcord leaves the line that was lost to the collector.
@pytest.mark.filterwarnings("ignore:Unclosed connection:ResourceWarning")
async def test_every_close_that_may_pass_is_outlived(
    discord: LocalDiscord, model: LocalModel, watched: Watched
) -> None:
    """Whether Discord keeps the session or not: what was said meanwhile is answered, and once."""
    model.answer_with(lambda _: say("Hello."))
    alice, codes = discord.user("alice"), (1000, 4007, 4009)
    async with watched():
        await talked(discord, alice, discord.general)
        for code in codes:
            gone = discord.gateway.lines.copy()
            discord.drop_gateway(code)
            await discord.world.until(
                lambda gone=gone: not discord.gateway.lines & gone or None,  # type: ignore[misc]
                10,
                "not hung up",
            )
            asked = await alice.ask(discord.general, f"after {code}")
            await answered(discord.general, asked, "Hello.")
    gc.collect()
    assert len(model.requests) == 1 + len(codes)
