"""Every question comes to its end: whatever is lost, stopped, edited, deleted or asked at the same time."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from bot.catchup import DELETED, EDITED
from bot.client import SandglassClient
from tests.bot.conftest import OpenBot
from tests.bot.test_turns import ended
from tests.discord.model import LocalModel, call, hang, say
from tests.discord.server import LocalDiscord


async def test_a_lost_edit_costs_no_answer(
    discord: LocalDiscord, model: LocalModel, bot: SandglassClient
) -> None:
    """Connections break while the words stream and at the last edit; the whole answer is there."""
    model.script([[say("The first half, "), hang(), say("the second half.")]])
    discord.drop_next("PATCH /channels/*/messages/*", 1)
    await discord.user("alice").ask(discord.general, "go")
    await model.until(lambda: model.hanging)
    await discord.world.until(lambda: not discord.limits.pending or None, 20, "nothing was lost")
    discord.drop_next("PATCH /channels/*/messages/*", 2)
    model.release()
    await discord.general.wait_for(lambda m: "the second half." in m.content and ended(m), 40)


async def test_a_discord_that_is_away_for_a_moment_gets_the_last_edit_later(
    discord: LocalDiscord, model: LocalModel, bot: SandglassClient
) -> None:
    """503 is not repeated by the library; the answer is."""
    model.script([say("All of it.")])
    discord.fail_next("PATCH /channels/*/messages/*", 503, 3)
    await discord.user("alice").ask(discord.general, "go")
    await discord.general.wait_for(lambda m: "All of it." in m.content and ended(m), 40)


async def test_an_answer_that_somebody_deleted_is_given_again(
    discord: LocalDiscord, model: LocalModel, bot: SandglassClient
) -> None:
    """Where the message of the answer is gone, at its end or before an edit, there is a new one."""
    model.script([[say("Begun, "), hang(), say("done.")], say("Once more.")])
    alice = discord.user("alice")
    asked = await alice.ask(discord.general, "go")
    first = await discord.general.wait_for(lambda m: "Begun" in m.content, 20)
    await alice.delete(first)
    model.release()
    second = await discord.general.wait_for(lambda m: "done." in m.content and ended(m), 30, after=first)
    await alice.delete(second)
    await alice.edit(asked, f"{discord.me} go on")
    await discord.general.wait_for(lambda m: "Once more." in m.content and ended(m), 30, after=second)


async def test_stop_in_the_moment_of_the_last_edit_cuts_nothing(
    discord: LocalDiscord, model: LocalModel, bot: SandglassClient
) -> None:
    """The model has said everything: a late Stop takes the button away, not the words."""
    model.script([[say("Part one, "), hang(), say("part two, the end.")]])
    alice = discord.user("alice")
    await alice.ask(discord.general, "go")
    answer = await discord.general.wait_for(lambda m: "Part one" in m.content, 20)
    model.release()
    await model.until(lambda: model.spoken)
    await alice.click(answer, "Stop")
    await discord.general.wait_for(lambda m: "part two, the end." in m.content and ended(m), 20)


async def test_a_second_click_on_stop_does_not_stop_the_stopping(
    discord: LocalDiscord, model: LocalModel, bot: SandglassClient
) -> None:
    """What was said stays, with the sign that it was stopped and without a button."""
    model.script([[say("I was about to"), hang()]])
    alice = discord.user("alice")
    await alice.ask(discord.general, "go")
    answer = await discord.general.wait_for(lambda m: "about to" in m.content, 20)
    await asyncio.gather(*(alice.click(answer, "Stop", wait=False) for _ in range(3)))
    await discord.general.wait_for(lambda m: "stopped" in m.content and ended(m), 20)
    assert "I was about to" in answer.content


async def test_a_stop_button_of_before_a_restart_takes_no_words_and_obeys_only_its_author(
    discord: LocalDiscord, model: LocalModel, open_bot: OpenBot
) -> None:
    """The bot died in the middle of an answer: its words stay, and only its author clears the button."""
    alice, bob = discord.user("alice"), discord.user("bob")
    model.script([[say("Half of it"), hang()]])
    async with open_bot() as bot:
        await alice.ask(discord.general, "go")
        answer = await discord.general.wait_for(lambda m: "Half of it" in m.content, 20)
        for turn in bot.turns.of_user(alice.id):
            bot.turns._by_question.clear()
            turn.stopping = True  # nobody cleans up, as after kill -9
        async with open_bot() as again:
            assert again.turns.of_question(answer.id) is None
            refused = await bob.click(answer, "Stop")
            assert "author" in refused.message.content
            assert answer.components
            await alice.click(answer, "Stop")
            await discord.world.until(lambda: ended(answer) or None, 10, "the button stayed")
            assert "Half of it" in answer.content
        model.release()


async def test_edits_at_the_same_time_end_with_an_answer_to_the_last(
    discord: LocalDiscord, model: LocalModel, bot: SandglassClient
) -> None:
    """However fast they come: one answer, and it is to what the question says in the end."""
    model.answer_with(lambda asked: say(f"Echo {asked.text.split()[-1]}."))
    alice = discord.user("alice")
    asked = await alice.ask(discord.general, "zero")
    for word in ("one", "two", "three"):
        await alice.edit(asked, f"{discord.me} {word}")
    answer = await discord.general.wait_for(lambda m: "Echo three." in m.content and ended(m), 40)
    assert [m for m in discord.general.messages if m.author.bot] == [answer]


async def test_a_question_that_is_deleted_at_once_leaves_nothing(
    discord: LocalDiscord, model: LocalModel, bot: SandglassClient
) -> None:
    """Also where the first message of its answer is just being sent."""
    model.answer_with(lambda asked: [say("Well, "), hang()])
    alice = discord.user("alice")
    asked = await alice.ask(discord.general, "go")
    await discord.world.until(lambda: bot.turns.of_question(asked.id), 10, "not begun")
    await alice.delete(asked)
    await discord.world.until(lambda: bot.turns.of_question(asked.id) is None or None, 10, "not stopped")
    await discord.world.until(
        lambda: not [m for m in discord.general.messages if m.author.bot] or None, 10, "an orphan is left"
    )
    model.release()


async def test_an_edited_question_keeps_its_files_and_pictures(
    discord: LocalDiscord, model: LocalModel, bot: SandglassClient
) -> None:
    """Stored once, told again, and a picture is shown again to a model that sees."""
    picture = (Path(__file__).parents[2] / "orchestrator/bench/benchmark.png").read_bytes()
    model.script([say("A picture."), say("Still a picture.")])
    alice = discord.user("alice")
    asked = await alice.ask(discord.general, "what", files=[("a.csv", b"x\n1\n"), ("p.png", picture)])
    await discord.general.wait_for(lambda m: "A picture." in m.content and ended(m), 40)
    await alice.edit(asked, f"{discord.me} what is it")
    await discord.general.wait_for(lambda m: "Still a picture." in m.content and ended(m), 40)
    first, second = model.requests
    assert "a.csv" in second.text
    assert len(second.images) == len(first.images) == 1
    stored = await bot.services.orchestrator.list_user_files(alice.id)
    assert sorted(each.filename for each in stored) == ["a.csv", "p.png"]


async def test_a_question_that_is_edited_while_it_waits_has_its_files(
    discord: LocalDiscord, model: LocalModel, bot: SandglassClient
) -> None:
    """It was never begun; its attachments are stored when it is."""
    model.answer_with(lambda asked: [hang(), say(f"Echo {asked.text.split()[0]}.")])
    alice = discord.user("alice")
    await alice.ask(discord.general, "first")
    waiting = await alice.ask(discord.general, "secnod", files=[("a.csv", b"x\n1\n")])
    await discord.general.wait_for(lambda m: "1 before this one" in m.content, 10)
    await alice.edit(waiting, f"{discord.me} second")
    await model.until(lambda: model.hanging)
    model.release()
    await model.until(lambda: len(model.requests) == 2 and model.hanging, 30)
    model.release()
    await discord.general.wait_for(lambda m: "Echo second." in m.content and ended(m), 30)
    assert "a.csv" in model.requests[-1].text
    (stored,) = await bot.services.orchestrator.list_user_files(alice.id)
    assert stored.filename == "a.csv"


async def test_editing_is_counted_as_asking(
    discord: LocalDiscord, model: LocalModel, open_bot: OpenBot, tmp_path: Path
) -> None:
    """One question in ten minutes is one, however often it is edited."""
    policy = tmp_path / "policy.toml"
    policy.write_text("[cooldown]\nburst = 1\nseconds = 600\n")
    model.script([say("Once.")])
    alice = discord.user("alice")
    async with open_bot(policy=policy):
        asked = await alice.ask(discord.general, "go")
        await discord.general.wait_for(lambda m: "Once." in m.content and ended(m), 30)
        await alice.edit(asked, f"{discord.me} go again")
        await discord.general.wait_for(lambda m: "too many questions at once" in m.content, 10)
    assert len(model.requests) == 1


async def test_who_is_let_in_by_a_role_may_edit(
    discord: LocalDiscord, model: LocalModel, open_bot: OpenBot, tmp_path: Path
) -> None:
    """A fetched message does not tell the roles of its author; the event does."""
    member = discord.role("scientists")
    policy = tmp_path / "policy.toml"
    policy.write_text(f"[allow]\nroles = [{member.id}]\n[cooldown]\nseconds = 0\n")
    model.script([say("Old."), say("New.")])
    alice = discord.user("alice", roles=(member,))
    async with open_bot(policy=policy):
        asked = await alice.ask(discord.general, "go")
        await discord.general.wait_for(lambda m: "Old." in m.content and ended(m), 30)
        await alice.edit(asked, f"{discord.me} go again")
        await discord.general.wait_for(lambda m: "New." in m.content and ended(m), 30)


async def test_the_place_in_the_line_is_kept_true(
    discord: LocalDiscord, model: LocalModel, bot: SandglassClient
) -> None:
    """The waiting see the line move, and their own turn come."""
    model.answer_with(lambda asked: [hang(), say(f"Echo {asked.text.split()[-1]}.")])
    alice = discord.user("alice")
    for word in ("first", "second", "third"):
        await alice.ask(discord.general, word)
    third = await discord.general.wait_for(lambda m: "2 before this one" in m.content, 10)
    second = await discord.general.wait_for(lambda m: "1 before this one" in m.content, 10)
    await model.until(lambda: model.hanging)
    model.release()
    await discord.world.until(lambda: "thinking" in second.content or None, 20, "not its turn")
    await discord.world.until(lambda: "1 before this one" in third.content or None, 20, "did not move")
    for number in (2, 3):
        await model.until(lambda n=number: len(model.requests) == n and model.hanging, 30)  # type: ignore[misc]
        model.release()
    await discord.general.wait_for(lambda m: "Echo third." in m.content and ended(m), 30)


async def test_many_at_once_are_answered_in_the_order_of_asking(
    discord: LocalDiscord, model: LocalModel, open_bot: OpenBot, tmp_path: Path
) -> None:
    """Although the first of them finds the policy's file due to be looked at."""
    policy = tmp_path / "policy.toml"
    policy.write_text("[cooldown]\nseconds = 0\n")
    model.answer_with(lambda asked: say(f"Echo {asked.text.split()[-1]}."))
    alice = discord.user("alice")
    async with open_bot(policy=policy):
        for n in range(4):
            await alice.dm(f"m{n}")
        await alice.dm_channel.wait_for(lambda m: "Echo m3." in m.content and ended(m), 40)
    assert [each.text.split()[-1] for each in model.requests] == ["m0", "m1", "m2", "m3"]


async def test_a_program_that_waits_for_its_turn_says_so_and_can_be_stopped(
    discord: LocalDiscord, model: LocalModel, bot: SandglassClient
) -> None:
    """Its place moves, its message becomes the result; one that is stopped in the line never runs."""
    model.answer_with(lambda asked: [hang(), say("Answered.")])
    alice = discord.user("alice")
    await alice.ask(discord.general, "first")
    await model.until(lambda: model.hanging)
    second = await alice.slash("run", channel=discord.general, code="print('it', 'ran')")
    await second.wait_for(lambda m: "1 before this one" in m.content, 10)
    third = await alice.slash("run", channel=discord.general, code="print('never', 'ran')")
    await third.wait_for(lambda m: "2 before this one" in m.content, 10)
    await alice.click(third.message, "Stop")
    await third.wait_for(lambda m: "stopped" in m.content and not m.components, 10)
    model.release()
    await second.wait_for(lambda m: "it ran" in m.content and "✅" in m.content, 30)
    assert "before this one" not in second.message.content
    assert len(await bot.services.orchestrator.list_executions(alice.id)) == 1


async def test_a_long_answer_outlives_a_server_that_takes_no_files(
    discord: LocalDiscord, model: LocalModel, bot: SandglassClient
) -> None:
    """Without the right to attach: as much as fits into messages, and a note that the rest is missing."""
    model.script([say("\n\n".join(f"Paragraph {n} " + "word " * 60 for n in range(40)), pieces=4)])
    discord.refuse_files()
    await discord.user("alice").ask(discord.general, "very long")
    await discord.general.wait_for(lambda m: "the rest of this answer is missing" in m.content, 60)
    parts = [m for m in discord.general.messages if m.author.bot]
    assert parts[0].content.startswith("Paragraph 0 ")
    assert all(ended(each) for each in parts)
    assert not any(each.files for each in parts)


async def test_an_edit_that_finds_no_room_takes_nothing_away(
    discord: LocalDiscord, model: LocalModel, bot: SandglassClient
) -> None:
    """The old answer stays, with its result and its memory, until there is room for another."""
    model.script([call("execute_python", {"code": "print('a', 'result')"}), say("The old answer.")])
    model.answer_with(lambda asked: [hang(), say("Later.")])
    alice = discord.user("alice")
    asked = await alice.ask(discord.general, "first")
    await discord.general.wait_for(lambda m: "The old answer." in m.content and ended(m), 40)
    result = await discord.general.wait_for(lambda m: "a result" in m.content, 5)
    for n in range(4):
        await alice.ask(discord.general, f"more {n}")
    await discord.world.until(lambda: len(bot.turns.of_user(alice.id)) == 4 or None, 20, "not in line")
    await alice.edit(asked, f"{discord.me} first, again")
    await discord.general.wait_for(lambda m: "several of your questions wait" in m.content, 20)
    assert not result.deleted
    assert await bot.services.store.author_of(asked.id) == alice.id


async def test_two_clients_of_one_process_are_counted_as_one(
    discord: LocalDiscord, model: LocalModel, bot: SandglassClient
) -> None:
    """A client that takes over goes on counting where the other is."""
    other = SandglassClient(bot.services, bot.turns)
    ours, theirs = bot.http, other.http
    assert ours._url_rate_limits is theirs._url_rate_limits
    assert ours._global_rate_limits is theirs._global_rate_limits
    before = dict(ours._global_rate_limits)
    assert before
    ours._global_rate_limits.clear()  # what nextcord does when it closes
    assert dict(theirs._global_rate_limits) == before


async def test_what_is_edited_or_deleted_before_it_is_taken_up_is_answered_so_or_not_at_all(
    discord: LocalDiscord, model: LocalModel, bot: SandglassClient
) -> None:
    """Two questions wait at the door: one is corrected there, the other taken back."""
    model.answer_with(lambda asked: say(f"Echo {asked.text.split()[-1]}."))
    alice, bob = discord.user("alice"), discord.user("bob")
    async with bot._doors.of(alice.id), bot._doors.of(bob.id):
        corrected = await alice.ask(discord.general, "secnod")
        taken_back = await bob.ask(discord.general, "never")
        heard = bot.services.heard
        await settled(lambda: {corrected.id, taken_back.id} <= heard._waiting.keys())
        await alice.edit(corrected, f"{discord.me} second")
        await bob.delete(taken_back)
        await settled(lambda: heard.fate(corrected.id) == EDITED and heard.fate(taken_back.id) == DELETED)
    await discord.general.wait_for(lambda m: "Echo second." in m.content and ended(m), 20)
    await settled(lambda: not heard._waiting)
    assert len(model.requests) == 1
    assert len([m for m in discord.general.messages if m.author.bot]) == 1


async def settled(look: Callable[[], bool]) -> None:
    """Wait for a state of the bot's that nothing announces."""
    async with asyncio.timeout(20):
        while not look():  # noqa: ASYNC110  (nothing tells of it)
            await asyncio.sleep(0.01)
