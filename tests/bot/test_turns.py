"""Everything that happens to a question on its way, and that its author always gets an end."""

import asyncio
import time
from pathlib import Path

import docker
import pytest

from bot.client import SandglassClient
from tests.bot.conftest import OpenBot
from tests.bot.engine import STOPPED_WITHIN, died_after, running_execution
from tests.discord.model import LocalModel, broken, call, cut, error, fail, failed, hang, incomplete, say
from tests.discord.model.steps import End
from tests.discord.server import LocalDiscord, Message


def ended(message: Message) -> bool:
    """An answer whose Stop button is gone."""
    return bool(message.content) and not message.components


async def test_a_question_with_two_attachments_is_answered_in_the_same_turn(
    discord: LocalDiscord, model: LocalModel, bot: SandglassClient
) -> None:
    """Both are stored, told to the model by id, and readable by the code of the same turn."""
    code = "print(sum(load_file('a.csv')['x']), load_file('b.txt').strip())"
    model.script([call("execute_python", {"code": code}), say("Six, and hello.")])
    alice = discord.user("alice")
    await alice.ask(discord.general, "sum it", files=[("a.csv", b"x\n1\n2\n3\n"), ("b.txt", b"hello\n")])
    await discord.general.wait_for(lambda m: "Six, and hello." in m.content and ended(m), 60)
    await discord.general.wait_for(lambda m: "6 hello" in m.content)
    assert "a.csv" in model.requests[0].text
    assert "id=" in model.requests[0].text


async def test_after_an_error_the_model_mends_its_code(
    discord: LocalDiscord, model: LocalModel, bot: SandglassClient
) -> None:
    """The traceback goes back as a result with a hint; the second try is a second execution."""
    model.script(
        [
            call("execute_python", {"code": "print(1/0)"}),
            call("execute_python", {"code": "print(1/4)"}),
            say("A quarter."),
        ]
    )
    await discord.user("alice").ask(discord.general, "divide")
    await discord.general.wait_for(lambda m: "A quarter." in m.content and ended(m), 60)
    (first,) = model.requests[1].outputs.values()
    assert "ZeroDivisionError" in first
    assert "nonzero_exit" in first
    await discord.general.wait_for(lambda m: "❌ nonzero exit" in m.content)


async def test_a_timeout_keeps_the_partial_output(
    discord: LocalDiscord, model: LocalModel, bot: SandglassClient
) -> None:
    """The partial output is shown, the outcome says why, and the announcement became the result."""
    code = "import time\nprint('so', 'far', flush=True)\ntime.sleep(30)"
    model.script([call("execute_python", {"code": code, "timeout": 2}), say("It took too long.")])
    await discord.user("alice").ask(discord.general, "wait")
    result = await discord.general.wait_for(lambda m: "timed out" in m.content, 60)
    assert "so far" in result.content
    await discord.general.wait_for(lambda m: "It took too long." in m.content and ended(m), 30)
    assert not [m for m in discord.general.messages if "⏳" in m.content]


async def test_fifteen_files_and_one_too_large(
    discord: LocalDiscord, model: LocalModel, bot: SandglassClient
) -> None:
    """Ten a message; a large text is zipped, what does not fit even so is kept and named."""
    code = (
        "import os\n"
        "for n in range(13): open(f'f{n:02}.txt', 'w').write('x')\n"
        "open('large.csv', 'w').write('1,2,3\\n' * 2_500_000)\n"
        "open('noise.bin', 'wb').write(os.urandom(12_000_000))\n"
    )
    model.script([call("execute_python", {"code": code}), say("Made.")])
    await discord.user("alice").ask(discord.general, "make files")
    await discord.general.wait_for(lambda m: "Made." in m.content and ended(m), 60)
    messages = [m for m in discord.general.messages if m.files]
    assert [len(m.files) for m in messages] == [10, 4]
    assert "large.csv.zip" in {name for m in messages for name in m.files}
    assert "was zipped" in messages[0].content
    assert "noise.bin" in messages[0].content
    assert "is kept" in messages[0].content


async def test_a_60_mb_upload_is_refused_before_it_is_read(
    discord: LocalDiscord, model: LocalModel, bot: SandglassClient
) -> None:
    """60 MB: said plainly to both, and the question is answered."""
    model.script([say("I cannot see it.")])
    await discord.user("alice").ask(discord.general, "read", files=[("huge.bin", bytes(60_000_000))])
    answer = await discord.general.wait_for(lambda m: "I cannot see it." in m.content and ended(m), 30)
    assert "the limit is 50.0 MB" in answer.content
    assert "Uploads refused" in model.requests[0].text


async def test_an_answer_of_5000_characters_is_cut_with_its_fences_whole(
    discord: LocalDiscord, model: LocalModel, bot: SandglassClient
) -> None:
    """5 000 characters with a fence across a cut: every line once and in its place, each fence whole."""
    body = "```python\n" + "\n".join(f"value_{n} = {n} * 2" for n in range(265)) + "\n```"
    assert len(body) > 5_000
    model.script([say(f"Here it is.\n\n{body}\n\nThat is all.", pieces=40)])
    await discord.user("alice").ask(discord.general, "long")
    await discord.general.wait_for(lambda m: "That is all." in m.content, 60)
    await discord.general.wait_for(lambda m: "Here it is." in m.content and ended(m), 10)
    parts = [m.content for m in discord.general.messages if m.author.bot]
    assert 2 <= len(parts) <= 3
    for part in parts:
        assert part.count("```") % 2 == 0
    lines = [line for part in parts for line in part.splitlines() if line and not line.startswith("```")]
    assert lines == ["Here it is.", *(f"value_{n} = {n} * 2" for n in range(265)), "That is all."]


async def test_past_three_parts_the_answer_is_a_file(
    discord: LocalDiscord, model: LocalModel, bot: SandglassClient
) -> None:
    """`answer.md` has every word."""
    text = "\n\n".join(f"Paragraph {n} " + "word " * 60 for n in range(40))
    model.script([say(text, pieces=20)])
    await discord.user("alice").ask(discord.general, "very long")
    message = await discord.general.wait_for(lambda m: "answer.md" in m.files, 60)
    assert message.files["answer.md"].decode() == text.strip()


@pytest.mark.parametrize("api", ["responses", "chat"])
@pytest.mark.parametrize(
    ("step", "sentence"),
    [
        (cut(), "broke off"),
        (broken(), "broke off"),
        (failed(), "failed in the middle"),
        (error(), "failed in the middle"),
        (incomplete(), "length limit"),
    ],
)
async def test_a_stream_that_ends_without_completion_says_so(
    discord: LocalDiscord, model: LocalModel, open_bot: OpenBot, *, api: str, step: End, sentence: str
) -> None:
    """What came is kept, and one sentence says that it is not all."""
    model.script([[say("Half an"), step]])
    async with open_bot(openai_api=api):
        await discord.user("alice").ask(discord.general, "go")
        answer = await discord.general.wait_for(lambda m: sentence in m.content and ended(m), 30)
    assert "Half an" in answer.content


@pytest.mark.parametrize("status", [400, 401, 404])
async def test_a_refusing_model_is_one_sentence(
    discord: LocalDiscord, model: LocalModel, bot: SandglassClient, status: int
) -> None:
    """Nothing of the server's own words, a remedy instead."""
    model.script([fail(status, "secret detail")])
    await discord.user("alice").ask(discord.general, "go")
    answer = await discord.general.wait_for(lambda m: "⚠️" in m.content and ended(m), 30)
    assert "The model's server" in answer.content
    assert "secret detail" not in answer.content


async def test_every_call_is_answered_whatever_it_is(
    discord: LocalDiscord, model: LocalModel, bot: SandglassClient
) -> None:
    """Unknown tool, malformed arguments, wrong types and a foreign file id: each id gets its answer."""
    model.script(
        [
            [
                call("teleport", {"to": "moon"}),
                call("execute_python", "{not json"),
                call("execute_python", {"code": ""}),
                call("read_file", {"file": "1_1_deadbeef"}),
                call("list_files"),
            ],
            say("Sorry."),
        ]
    )
    await discord.user("alice").ask(discord.general, "go")
    await discord.general.wait_for(lambda m: "Sorry." in m.content and ended(m), 30)
    assert not model.unanswered
    said = " ".join(model.requests[1].outputs.values())
    assert "no tool" in said
    assert "no valid JSON" in said
    assert "File not found or expired" in said


async def test_bursts_of_429_and_500_lose_nothing(
    discord: LocalDiscord, model: LocalModel, bot: SandglassClient
) -> None:
    """The final text arrives, however often Discord says no in between."""
    discord.rate_limit_next("PATCH /channels/*/messages/*", 0.3, 2)
    discord.fail_next("POST /channels/*/messages", 500, 2)
    model.script([say("word " * 50 + "end.", pieces=20, delay=0.1)])
    await discord.user("alice").ask(discord.general, "go")
    await discord.general.wait_for(lambda m: "end." in m.content and ended(m), 60)


async def test_a_burst_of_the_model_s_server_costs_no_answer(
    discord: LocalDiscord, model: LocalModel, bot: SandglassClient
) -> None:
    """429 and 500 before an answer are waited out in each round; where they last it is one sentence."""
    alice = discord.user("alice")
    for _ in range(2):
        model.script([call("list_files"), say("Got through.")])
        model.fail_next(429, retry_after=0.05)
        model.fail_next(500, retry_after=0.05)
        asked = await alice.ask(discord.general, "go")
        await discord.general.wait_for(lambda m: "Got through." in m.content and ended(m), 30, after=asked)
    model.fail_next(429, 9, retry_after=0.05)
    await alice.ask(discord.general, "go")
    await discord.general.wait_for(lambda m: "busy or its quota is used up" in m.content and ended(m), 30)
    assert model.left == 0


async def test_the_first_piece_of_a_call_makes_ready_for_it(
    discord: LocalDiscord, model: LocalModel, bot: SandglassClient
) -> None:
    """While the model still writes its code, and however long ago the question was."""
    model.script([[say("Let me see."), hang(), call("list_files", " " * 30 + "{}", pieces=30, delay=0.1)]])
    model.script([say("No files.")])
    alice, warmer = discord.user("alice"), bot.services.warmer
    await alice.ask(discord.general, "go")
    await model.until(lambda: model.hanging)
    assert warmer.told == {str(alice.id)}
    warmer._told.clear()  # as if its five seconds were over
    model.release()
    async with asyncio.timeout(20):
        while not warmer.told:
            assert not model.spoken, "only when the call was whole"
            await asyncio.sleep(0.01)
    await discord.general.wait_for(lambda m: "No files." in m.content and ended(m), 30)


async def test_the_gateway_may_drop_in_the_middle_of_a_turn(
    discord: LocalDiscord, model: LocalModel, bot: SandglassClient
) -> None:
    """The turn goes on over REST, and the next question is heard after the resume."""
    model.script([[say("One "), hang(), say("two.")], say("Three.")])
    alice = discord.user("alice")
    await alice.ask(discord.general, "count")
    await model.until(lambda: model.hanging)
    discord.drop_gateway()
    model.release()
    await discord.general.wait_for(lambda m: "two." in m.content and ended(m), 30)
    await discord.connected(20)
    await alice.ask(discord.general, "and on")
    await discord.general.wait_for(lambda m: "Three." in m.content and ended(m), 30)


async def test_stop_while_the_model_speaks(
    discord: LocalDiscord, model: LocalModel, bot: SandglassClient
) -> None:
    """Only the author stops it; the connection to the model is closed, and what was said stays."""
    model.script([[say("I was about to"), hang()]])
    alice, bob = discord.user("alice"), discord.user("bob")
    await alice.ask(discord.general, "go")
    answer = await discord.general.wait_for(lambda m: "about to" in m.content, 20)
    refused = await bob.click(answer, "Stop")
    assert "author" in refused.message.content
    await alice.click(answer, "Stop")
    await discord.general.wait_for(lambda m: "stopped" in m.content and ended(m), 10)
    await model.until(lambda: model.abandoned)
    assert "about to" in answer.content


async def test_stop_while_code_runs(
    discord: LocalDiscord, model: LocalModel, bot: SandglassClient, docker_client: docker.DockerClient
) -> None:
    """The container is dead within two seconds, and when that is said; the model is told, and goes on."""
    code = "import time\ntime.sleep(60)"
    model.script([call("execute_python", {"code": code}), say("Then not.")])
    alice = discord.user("alice")
    await alice.ask(discord.general, "sleep")
    running = await discord.general.wait_for(lambda m: "⏳ running" in m.content, 30)
    execution, clicked = await running_execution(bot, alice), time.time()
    await alice.click(running, "Stop")
    await discord.general.wait_for(lambda m: "cancelled" in m.content, 30)
    assert 0 < await died_after(docker_client, execution, clicked) < STOPPED_WITHIN
    await discord.general.wait_for(lambda m: "Then not." in m.content and ended(m), 20)
    (told,) = model.requests[-1].outputs.values()
    assert '"cancelled"' in told


async def test_stop_ends_what_runs_and_what_waits(discord: LocalDiscord, bot: SandglassClient) -> None:
    """/stop kills the running /run of its author and takes the waiting one out of the line."""
    alice = discord.user("alice")
    sleeping = await alice.slash("run", channel=discord.general, code="import time\ntime.sleep(60)")
    waiting = await alice.slash("run", channel=discord.general, code="print('never')")
    await sleeping.wait_for(lambda m: "⏳ running" in m.content, 30)
    stopped = await alice.slash("stop", channel=discord.general)
    await stopped.wait_for(lambda m: "stopped 2" in m.content, 20)
    await sleeping.wait_for(lambda m: "⏹️ cancelled" in m.content, 10)
    await waiting.wait_for(lambda m: "⏹️ stopped" in m.content, 10)
    assert not [m for m in discord.general.messages if "never" in m.content]


async def test_two_users_at_once_and_the_same_user_twice(
    discord: LocalDiscord, model: LocalModel, bot: SandglassClient
) -> None:
    """Others do not wait; one's own second question does, says so, and is answered after the first."""
    model.answer_with(lambda asked: [hang(), say(f"Echo {asked.text.split()[-1]}.")])
    alice, bob = discord.user("alice"), discord.user("bob")
    await alice.ask(discord.general, "first")
    await alice.ask(discord.general, "second")
    await bob.ask(discord.general, "third")
    await discord.general.wait_for(lambda m: "one at a time: 1 before" in m.content, 10)
    await model.until(lambda: model.hanging == 2)
    assert len(model.requests) == 2
    model.release()
    await model.until(lambda: len(model.requests) == 3 and model.hanging == 1, 30)
    model.release()
    for word in ("first", "second", "third"):
        await discord.general.wait_for(lambda m, w=word: f"Echo {w}." in m.content and ended(m), 30)  # type: ignore[misc]


async def test_editing_answers_again_in_place_and_deleting_takes_the_answer_away(
    discord: LocalDiscord, model: LocalModel, bot: SandglassClient
) -> None:
    """The same message holds the new answer, the old results are gone; in the end nothing is left."""
    for word in ("Old", "New"):
        model.script([call("execute_python", {"code": f"print({word!r}, 1)"}), say(f"{word}.")])
    alice = discord.user("alice")
    asked = await alice.ask(discord.general, "what")
    answer = await discord.general.wait_for(lambda m: "Old." in m.content and ended(m), 60)
    await alice.edit(asked, f"{discord.me} what else")
    await discord.world.until(lambda: ("New." in answer.content and ended(answer)) or None, 30, "not again")
    assert "what else" in model.requests[-1].text
    first, result = [m for m in discord.general.messages if m.author.bot]
    assert first is answer
    assert "New 1" in result.content
    await alice.delete(asked)
    await discord.world.until(lambda: discord.general.messages == [] or None, 10, "something is left")


async def test_memory_is_the_chain_of_replies_and_outlives_a_restart(
    discord: LocalDiscord, model: LocalModel, open_bot: OpenBot
) -> None:
    """A reply carries what was said and done before; a new mention starts anew; a reset forgets."""
    alice = discord.user("alice")
    model.script([call("execute_python", {"code": "print('blue')"}), say("Noted."), say("It was blue.")])
    async with open_bot():
        await alice.ask(discord.general, "remember my colour")
        first = await discord.general.wait_for(lambda m: "Noted." in m.content and ended(m), 60)
    async with open_bot():
        await alice.say(discord.general, "which was it?", reply_to=first, ping=False)
        await discord.general.wait_for(lambda m: "It was blue." in m.content and ended(m), 30)
        assert "remember my colour" in model.requests[-1].everything
        assert any("blue" in each for each in model.requests[-1].outputs.values())
        model.script([say("Hello."), say("Again.")])
        await alice.ask(discord.general, "new topic")
        await discord.general.wait_for(lambda m: "Hello." in m.content and ended(m), 30)
        assert "remember my colour" not in model.requests[-1].everything
        await alice.slash("reset", channel=discord.general)
        await alice.say(discord.general, "and now?", reply_to=first)
        await discord.general.wait_for(lambda m: "Again." in m.content and ended(m), 30)
        assert "remember my colour" not in model.requests[-1].everything


async def test_a_dm_and_a_thread_of_ours_are_one_conversation(
    discord: LocalDiscord, model: LocalModel, bot: SandglassClient
) -> None:
    """There every message is for the bot, and all that was said before is known."""
    model.script([say("Yes."), say("Still."), say("Thread one."), say("Thread two.")])
    alice = discord.user("alice")
    await alice.dm("the word is amber")
    await alice.dm_channel.wait_for(lambda m: "Yes." in m.content and ended(m), 30)
    await alice.dm("which word?")
    await alice.dm_channel.wait_for(lambda m: "Still." in m.content and ended(m), 30)
    assert "amber" in model.requests[-1].everything
    await (await alice.slash("chat", channel=discord.general, topic="maths")).wait_for(
        lambda m: "<#" in m.content
    )
    thread = discord.channel("maths")
    await alice.say(thread, "the number is 77")
    await thread.wait_for(lambda m: "Thread one." in m.content and ended(m), 30)
    await alice.say(thread, "which number?")
    await thread.wait_for(lambda m: "Thread two." in m.content and ended(m), 30)
    assert "77" in model.requests[-1].everything
    assert "amber" not in model.requests[-1].everything


async def test_others_talk_among_themselves(
    discord: LocalDiscord, model: LocalModel, bot: SandglassClient
) -> None:
    """No mention, @everyone, and replies to other people are none of ours."""
    alice, bob = discord.user("alice"), discord.user("bob")
    said = await alice.say(discord.general, "hello @everyone")
    await bob.say(discord.general, "hi", reply_to=said)
    model.script([say("Here.")])
    await alice.ask(discord.general, "and you?")
    await discord.general.wait_for(lambda m: "Here." in m.content and ended(m), 30)
    assert len(model.requests) == 1


async def test_a_spent_budget_is_said_and_nothing_is_asked(
    discord: LocalDiscord, model: LocalModel, open_bot: OpenBot, tmp_path: Path
) -> None:
    """The first turn spends it; the second, and /run, are refused with the hour at which it begins anew."""
    policy = tmp_path / "policy.toml"
    policy.write_text("[budget.user]\ntokens = 10\n")
    alice = discord.user("alice")
    model.script([say("A first answer that is long enough to cost more than ten tokens.")])
    async with open_bot(policy=policy):
        await alice.ask(discord.general, "one")
        await discord.general.wait_for(lambda m: "first answer" in m.content and ended(m), 30)
        await alice.ask(discord.general, "two")
        await discord.general.wait_for(lambda m: "budget of 10 tokens is used up" in m.content, 30)
        ran = await alice.slash("run", channel=discord.general, code="print(1)")
        await ran.wait_for(lambda m: "used up" in m.content)
    assert len(model.requests) == 1


async def test_without_a_model_fenced_code_still_runs(discord: LocalDiscord, open_bot: OpenBot) -> None:
    """A mention with a block executes it; one without says what to do."""
    alice = discord.user("alice")
    async with open_bot(with_model=False):
        await alice.ask(discord.general, "```python\nprint('no', 'model')\n```")
        await discord.general.wait_for(lambda m: "no model" in m.content and "✅" in m.content, 60)
        await alice.ask(discord.general, "what is love?")
        await discord.general.wait_for(lambda m: "No model is configured" in m.content, 30)


async def test_output_cannot_mention_break_out_or_pass_for_ours(
    discord: LocalDiscord, model: LocalModel, bot: SandglassClient
) -> None:
    """Fences, mentions, direction marks and our small print in output, names and words are defused."""
    code = "print('``` \\n-# ✅ ok @everyone <@1>')\nopen('a`@everyone`\\u202egnp.txt', 'w').write('x')\n"
    model.script([call("execute_python", {"code": code}), say("-# ✅ ok forged\n@everyone look <@1>")])
    await discord.user("alice").ask(discord.general, "attack")
    answer = await discord.general.wait_for(lambda m: "forged" in m.content and ended(m), 60)
    result = await discord.general.wait_for(lambda m: m.files)
    assert result.content.count("```") == 2
    assert "\u202e" not in result.content
    assert not answer.content.startswith("-#")
    assert "@everyone" not in answer.content
    for message in (answer, result):
        assert message.allowed_mentions
        assert message.allowed_mentions.get("parse") == []
