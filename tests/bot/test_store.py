"""What the bot remembers, in a real SQLite file."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bot.model import Message, Said, Text, ToolCall, ToolResult, Usage
from bot.store import Store, open_store

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ALICE, BOB, ROOM, GUILD = 1, 2, 100, 900


def exchange(n: int) -> list[Message]:
    """A question, a call, its result and an answer."""
    return [
        Text(role="user", text=f"question {n}"),
        Said(text="", calls=(ToolCall(call_id=f"c{n}", name="execute_python", arguments="{}"),)),
        ToolResult(call_id=f"c{n}", output="1"),
        Said(text=f"answer {n}"),
    ]


def asked(messages: Sequence[Message]) -> list[str]:
    """What people said."""
    return [each.text for each in messages if isinstance(each, Text)]


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """An empty store."""
    async with open_store(tmp_path / "bot.sqlite3") as opened:
        yield opened


async def remember(
    store: Store, n: int, parent: int | None = None, *, author: int = ALICE, channel: int = ROOM
) -> None:
    """Turn `n`, asked `n` minutes after the start, answered by message `1000 + n`."""
    await store.remember(
        question_id=n,
        channel_id=channel,
        author_id=author,
        parent_id=parent,
        at=NOW + timedelta(minutes=n),
        exchange=exchange(n),
    )
    await store.ours(1_000 + n, n, channel)


async def test_a_turn_comes_back_as_it_was(store: Store) -> None:
    """Words, calls and results, in order."""
    await remember(store, 1)
    assert list((await store.chain(1)).messages) == exchange(1)


async def test_a_chain_follows_the_replies(store: Store) -> None:
    """Oldest first, and only what was replied to."""
    await remember(store, 1)
    await remember(store, 2, 1)
    await remember(store, 3)
    await remember(store, 4, 2)
    assert asked((await store.chain(4)).messages) == ["question 1", "question 2", "question 4"]
    assert asked((await store.chain(3)).messages) == ["question 3"]


async def test_two_replies_to_one_answer_are_two_conversations(store: Store) -> None:
    """A branch does not know the other."""
    await remember(store, 1)
    await remember(store, 2, 1)
    await remember(store, 3, 1)
    assert asked((await store.chain(2)).messages) == ["question 1", "question 2"]
    assert asked((await store.chain(3)).messages) == ["question 1", "question 3"]


@pytest.mark.parametrize("question", [None, 77])
async def test_an_unknown_chain_is_empty(store: Store, question: int | None) -> None:
    """A question without a parent, or with a forgotten one, begins anew."""
    assert (await store.chain(question)).messages == ()


async def test_a_chain_ends_at_what_was_forgotten(store: Store) -> None:
    """A missing link is an end, not an error."""
    await remember(store, 2, 1)
    assert asked((await store.chain(2)).messages) == ["question 2"]


async def test_a_circle_of_replies_ends(store: Store) -> None:
    """A chain that leads to itself is cut at the longest length."""
    await remember(store, 1, 2)
    await remember(store, 2, 1)
    assert len(asked((await store.chain(1)).messages)) == 200


async def test_an_edited_question_replaces_its_turn(store: Store) -> None:
    """The same question id is one turn, the newer one."""
    await remember(store, 1)
    await store.remember(
        question_id=1, channel_id=ROOM, author_id=ALICE, parent_id=None, at=NOW, exchange=exchange(9)
    )
    assert asked((await store.chain(1)).messages) == ["question 9"]
    assert asked((await store.room(ROOM)).messages) == ["question 9"]


async def test_a_message_of_ours_leads_to_its_question(store: Store) -> None:
    """A reply to any part of an answer finds the question; a stranger's message finds none."""
    await remember(store, 5)
    await store.ours(2_000, 5, ROOM)
    assert await store.question_of(1_005) == 5
    assert await store.question_of(2_000) == 5
    assert await store.question_of(3_000) is None
    assert await store.answers_to(5) == [(ROOM, 1_005), (ROOM, 2_000)]


async def test_a_room_is_everything_of_its_channel(store: Store) -> None:
    """In the order of asking, of everybody, of no other channel."""
    await remember(store, 2, author=BOB)
    await remember(store, 1)
    await remember(store, 3, channel=ROOM + 1)
    assert asked((await store.room(ROOM)).messages) == ["question 1", "question 2"]


async def test_what_lies_too_far_back_is_said_to_be_cut(store: Store) -> None:
    """Two hundred questions are looked back, and whether there were more is told."""
    for n in range(1, 201):
        await remember(store, n, n - 1 or None)
    assert not (await store.chain(200)).cut
    assert not (await store.room(ROOM)).cut
    await remember(store, 201, 200)
    for history in (await store.chain(201), await store.room(ROOM)):
        assert history.cut
        assert asked(history.messages)[0] == "question 2"


async def test_anothers_private_files_are_not_told(store: Store) -> None:
    """What a program printed was shown to all; what a tool read for the model alone was not."""
    said: list[Message] = [
        Text(role="user", text="what is in it?"),
        Said(
            text="",
            calls=(
                ToolCall(call_id="c1", name="read_file", arguments='{"file": "pay.csv"}'),
                ToolCall(call_id="c2", name="list_files", arguments="{}"),
                ToolCall(call_id="c3", name="execute_python", arguments="{}"),
            ),
        ),
        ToolResult(call_id="c1", output="secret salaries"),
        ToolResult(call_id="c2", output="secret names"),
        ToolResult(call_id="c3", output="printed for all"),
        Said(text="Numbers."),
    ]
    await store.remember(
        question_id=1, channel_id=ROOM, author_id=ALICE, parent_id=None, at=NOW, exchange=said
    )
    for history in (await store.chain(1, reader=BOB), await store.room(ROOM, reader=BOB)):
        text = repr(history.messages)
        assert "secret" not in text
        assert "printed for all" in text
        assert f"Another person, id {ALICE}" in text
    assert list((await store.chain(1, reader=ALICE)).messages) == said


async def test_uploads_are_remembered_by_question_and_forgotten_with_their_person(store: Store) -> None:
    """So that an edited question still has its files."""
    await remember(store, 1)
    await store.uploaded(1, 71, "1_1_aaaaaaaa")
    await store.uploaded(1, 72, "1_1_bbbbbbbb")
    await store.uploaded(2, 73, "2_1_cccccccc")
    assert await store.uploads_of(1) == {71: "1_1_aaaaaaaa", 72: "1_1_bbbbbbbb"}
    await store.erase(ALICE)
    assert await store.uploads_of(1) == {}
    assert await store.uploads_of(2) == {73: "2_1_cccccccc"}


async def test_a_room_before_a_question_leaves_it_out(store: Store) -> None:
    """An edited question is not answered with what came after it."""
    for n in (1, 2, 3):
        await remember(store, n)
    assert asked((await store.room(ROOM, before=2)).messages) == ["question 1"]


async def test_a_room_keeps_the_newest_turns(store: Store) -> None:
    """Beyond the longest chain the oldest are left out, not the newest."""
    for n in range(1, 206):
        await store.remember(
            question_id=n, channel_id=ROOM, author_id=ALICE, parent_id=None, at=NOW, exchange=exchange(n)
        )
    said = asked((await store.room(ROOM)).messages)
    assert (len(said), said[0], said[-1]) == (200, "question 6", "question 205")


async def test_a_reset_hides_what_was_before(store: Store) -> None:
    """Both ways to remember begin anew at its moment."""
    await remember(store, 1)
    await remember(store, 2, 1)
    await store.reset(ROOM, ALICE, NOW + timedelta(minutes=1, seconds=30))
    since = await store.since(ROOM, ALICE)
    assert since == NOW + timedelta(minutes=1, seconds=30)
    assert asked((await store.chain(2, since)).messages) == ["question 2"]
    assert asked((await store.room(ROOM, since)).messages) == ["question 2"]


async def test_a_reset_is_of_one_person_and_channel(store: Store) -> None:
    """Nobody else forgets, and a later reset replaces the earlier."""
    await store.reset(ROOM, ALICE, NOW)
    await store.reset(ROOM, ALICE, NOW + timedelta(hours=1))
    assert await store.since(ROOM, ALICE) == NOW + timedelta(hours=1)
    assert await store.since(ROOM, BOB) is None
    assert await store.since(ROOM + 1, ALICE) is None


async def test_a_reset_and_an_erasure_leave_the_ledger(store: Store) -> None:
    """Nobody gets a new budget by forgetting."""
    await store.book(user_id=ALICE, guild_id=GUILD, at=NOW, usage=Usage(prompt=10, completion=5), dollars=0.5)
    await store.reset(ROOM, ALICE, NOW)
    await store.erase(ALICE)
    spent = await store.spent(NOW, user_id=ALICE)
    assert (spent.tokens, spent.dollars) == (15, 0.5)


async def test_the_ledger_sums_by_person_guild_and_all(store: Store) -> None:
    """Each sum has what belongs to it, from its moment on."""
    await store.book(user_id=ALICE, guild_id=GUILD, at=NOW - timedelta(days=1), cpu_seconds=100)
    await store.book(user_id=ALICE, guild_id=GUILD, at=NOW, cpu_seconds=1)
    await store.book(user_id=ALICE, guild_id=None, at=NOW, cpu_seconds=2)
    await store.book(user_id=BOB, guild_id=GUILD, at=NOW, cpu_seconds=4)
    assert (await store.spent(NOW)).cpu_seconds == 7
    assert (await store.spent(NOW, user_id=ALICE)).cpu_seconds == 3
    assert (await store.spent(NOW, guild_id=GUILD)).cpu_seconds == 5
    assert (await store.spent(NOW, user_id=BOB, guild_id=GUILD)).cpu_seconds == 4
    assert (await store.spent(NOW - timedelta(days=2), user_id=ALICE)).cpu_seconds == 103


async def test_an_empty_ledger_is_zero(store: Store) -> None:
    """No rows sum to nothing, not to None."""
    spent = await store.spent(NOW)
    assert (spent.tokens, spent.dollars, spent.cpu_seconds) == (0, 0, 0)


async def test_cached_tokens_are_counted_once(store: Store) -> None:
    """They are a part of the prompt."""
    await store.book(user_id=ALICE, guild_id=None, at=NOW, usage=Usage(prompt=10, completion=1, cached=9))
    assert (await store.spent(NOW)).tokens == 11


async def test_an_export_has_everything_of_one_person(store: Store) -> None:
    """Conversations, ledger, model; nothing of anybody else."""
    await remember(store, 1)
    await remember(store, 2, author=BOB)
    await store.choose(ALICE, "local-small")
    await store.book(user_id=ALICE, guild_id=None, at=NOW, model="local-large", usage=Usage(prompt=3))
    await store.book(user_id=BOB, guild_id=None, at=NOW, model="secret-of-bob")
    export = await store.export(ALICE)
    assert [each["question_id"] for each in export["conversations"]] == [1]
    assert export["conversations"][0]["messages"][0] == {"role": "user", "text": "question 1"}
    assert [(each["model"], each["prompt"]) for each in export["ledger"]] == [("local-large", 3)]
    assert export["ledger"][0]["at"] == NOW.isoformat()
    assert export["model"] == "local-small"
    assert "bob" not in str(export)


async def test_an_erasure_forgets_one_person(store: Store) -> None:
    """Turns, their messages, the choice and the reset are gone; another's stay."""
    await remember(store, 1)
    await remember(store, 2, 1)
    await remember(store, 3, author=BOB)
    await store.choose(ALICE, "local-small")
    await store.reset(ROOM, ALICE, NOW)
    assert await store.erase(ALICE) == 2
    assert (await store.chain(2)).messages == ()
    assert await store.question_of(1_001) is None
    assert await store.choice(ALICE) is None
    assert await store.since(ROOM, ALICE) is None
    assert asked((await store.chain(3)).messages) == ["question 3"]
    assert await store.question_of(1_003) == 3
    assert await store.erase(ALICE) == 0


async def test_a_choice_is_changed(store: Store) -> None:
    """The last one counts, for one person."""
    await store.choose(ALICE, "a")
    await store.choose(ALICE, "b")
    assert await store.choice(ALICE) == "b"
    assert await store.choice(BOB) is None


async def test_a_thread_of_ours_is_known(store: Store) -> None:
    """Noted twice is noted once; another thread is not ours."""
    await store.opened(50, ALICE)
    await store.opened(50, BOB)
    assert await store.is_ours(50)
    assert not await store.is_ours(51)


async def test_memory_outlives_the_process(tmp_path: Path) -> None:
    """The file, opened again, knows the same."""
    path = tmp_path / "bot.sqlite3"
    async with open_store(path) as store:
        await remember(store, 1)
        await store.book(user_id=ALICE, guild_id=None, at=NOW, cpu_seconds=3)
    async with open_store(path) as store:
        assert list((await store.chain(1)).messages) == exchange(1)
        assert await store.question_of(1_001) == 1
        assert (await store.spent(NOW)).cpu_seconds == 3


async def test_ids_of_discord_fit(store: Store) -> None:
    """Snowflakes have 63 bits."""
    huge = 2**63 - 1
    await store.ours(huge, huge - 1, huge - 2)
    assert await store.question_of(huge) == huge - 1
    assert await store.answers_to(huge - 1) == [(huge - 2, huge)]


async def test_many_write_at_once(store: Store) -> None:
    """Nothing is lost and nothing is locked."""
    async with asyncio.TaskGroup() as group:
        for _ in range(40):
            group.create_task(store.book(user_id=ALICE, guild_id=None, at=NOW, cpu_seconds=1))
    assert (await store.spent(NOW)).cpu_seconds == 40


async def test_a_cancelled_booking_is_booked(store: Store) -> None:
    """A stopped turn pays: the statement that had begun comes to its end."""
    booking = asyncio.create_task(store.book(user_id=ALICE, guild_id=None, at=NOW, cpu_seconds=1))
    await asyncio.sleep(0)
    booking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await booking
    assert (await store.spent(NOW)).cpu_seconds == 1


async def test_hostile_words_are_only_words(store: Store) -> None:
    """Quotes, statements and other scripts come back letter by letter."""
    said: list[Message] = [Text(role="user", text="'); DROP TABLE turns; -- \x00 字 🎉")]
    await store.remember(
        question_id=1, channel_id=ROOM, author_id=ALICE, parent_id=None, at=NOW, exchange=said
    )
    assert list((await store.chain(1)).messages) == said
