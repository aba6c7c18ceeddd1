"""Commands, forms and buttons, with the 3 s deadline of the local Discord and real containers."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from bot.client import SandglassClient
from orchestrator import Orchestrator
from tests.bot.conftest import OpenBot
from tests.discord.model import LocalModel, say
from tests.discord.server import Channel, LocalDiscord, Message, Person
from tests.discord.server.interactions import COMPONENT
from tests.discord.server.world import MANAGE_MESSAGES

NOT_YOURS = "for its author and for moderators"


async def ran(alice: Person, channel: Channel, code: str) -> Message:
    """The finished message of a /run."""
    asked = await alice.slash("run", channel=channel, code=code)
    return await asked.wait_for(lambda m: any(w["label"] == "Code" for w in m.widgets()), 60)


async def test_run_executes_and_its_buttons_serve_author_and_moderators_alone(
    discord: LocalDiscord, bot: SandglassClient
) -> None:
    """/run, Code, Run again and Delete for the author; nothing for others; Code and Delete for moderators."""
    alice, bob = discord.user("alice"), discord.user("bob")
    judge = discord.user("judge", permissions=MANAGE_MESSAGES)
    shown = await ran(alice, discord.general, "print('made by', 'alice')")
    assert "made by alice" in shown.content
    for label in ("Code", "Run again", "Delete", "Edit and run"):
        refused = await bob.click(shown, label)
        assert NOT_YOURS in refused.message.content
        assert refused.message.ephemeral
    code = await alice.click(shown, "Code")
    assert "print('made by', 'alice')" in code.message.content
    again = await alice.click(shown, "Run again")
    await again.wait_for(lambda m: "made by alice" in m.content, 60)
    await judge.click(shown, "Delete")
    await discord.world.until(lambda: shown.deleted or None, 10, "not deleted")


async def test_a_form_runs_what_was_written_into_it(discord: LocalDiscord, bot: SandglassClient) -> None:
    """/run without code opens a form; Edit and run opens one with the code in it."""
    alice = discord.user("alice")
    asked = await alice.slash("run", channel=discord.general)
    submitted = await alice.submit_modal(asked, code="print(3 * 5)")
    shown = await submitted.wait_for(lambda m: "15" in m.content, 60)
    edit = await alice.click(shown, "Edit and run")
    changed = await alice.submit_modal(edit, code="print(3 * 6)")
    await changed.wait_for(lambda m: "18" in m.content, 60)


async def test_the_fenced_code_of_a_message_is_run(discord: LocalDiscord, bot: SandglassClient) -> None:
    """The context command takes the blocks and nothing around them; without one it says what to do."""
    alice, bob = discord.user("alice"), discord.user("bob")
    said = await bob.say(discord.general, "try\n```python\nprint('from', 'bob')\n```\nplease")
    made = await alice.context("Run this code", said)
    await made.wait_for(lambda m: "from bob" in m.content, 60)
    plain = await bob.say(discord.general, "no code here")
    refused = await alice.context("Run this code", plain)
    assert "/run" in refused.message.content


async def test_files_are_listed_completed_fetched_kept_and_deleted(
    discord: LocalDiscord, bot: SandglassClient
) -> None:
    """/upload, /files with its menu, autocomplete, /download, Keep longer, Delete with confirmation."""
    alice = discord.user("alice")
    stored = await alice.slash("upload", file=("sales.csv", b"a,b\n1,2\n"))
    await stored.wait_for(lambda m: "sales.csv" in m.content)
    await (await alice.slash("upload", file=("other.txt", b"x"))).wait_for(lambda m: "other.txt" in m.content)
    choices = await alice.autocomplete("download", "file", "sal")
    assert [each["name"].split()[0] for each in choices] == ["sales.csv"]
    got = await alice.slash("download", file=choices[0]["value"])
    fetched = await got.wait_for(lambda m: m.files)
    assert fetched.files == {"sales.csv": b"a,b\n1,2\n"}
    assert fetched.ephemeral
    listed = await alice.slash("files")
    card = (await alice.select(listed.message, "sg:pick", choices[0]["value"])).message
    await alice.click(card, "Keep longer")
    await alice.click(card, "Delete")
    await discord.world.until(lambda: "for ever?" in card.content or None, 5, "not asked")
    await alice.click(card, "Delete for ever")
    await discord.world.until(lambda: "is deleted" in card.content or None, 5, "not deleted")
    gone = await alice.slash("download", file="sales.csv")
    await gone.wait_for(lambda m: "File not found or expired" in m.content)


async def test_several_files_are_uploaded_in_one_command(discord: LocalDiscord, bot: SandglassClient) -> None:
    """Each has its line: kept, too large before a byte is read, lost on its way; one private answer."""
    alice = discord.user("alice")
    discord.drop_next("GET /attachments/*/lost.txt", times=9)
    asked = await alice.slash(
        "upload",
        channel=discord.general,
        file=("a.txt", b"1"),
        file2=("huge.bin", bytes(60_000_000)),
        file3=("lost.txt", b"3"),
        file10=("b.txt", b"2"),
    )
    answer = await asked.wait_for(lambda m: m.content, 30)
    assert answer.ephemeral
    assert len(asked.messages) == 1
    lines = answer.content.split("\n")
    assert [line.split("`")[1] for line in lines] == ["a.txt", "huge.bin", "lost.txt", "b.txt"]
    assert "limit is 50.0 MB: not kept" in lines[1]
    assert "Discord did not give it out" in lines[2]
    kept = await bot.services.orchestrator.list_user_files(alice.id)
    assert {each.filename for each in kept} == {"a.txt", "b.txt"}


async def test_ten_files_with_the_longest_names_have_an_answer_that_fits(
    discord: LocalDiscord, bot: SandglassClient
) -> None:
    """Whole lines, and that there are more."""
    files: dict[str, Any] = {f"file{n or ''}": (f"{n:02}{'x' * 200}.txt", b"x") for n in (0, *range(2, 11))}
    asked = await discord.user("alice").slash("upload", **files)
    answer = await asked.wait_for(lambda m: m.content, 30)
    assert len(answer.content) <= 2_000
    assert len(await bot.services.orchestrator.list_user_files(discord.user("alice").id)) == 10


async def test_what_is_completed_is_distinct_newest_first_and_begins_so_first(
    discord: LocalDiscord, bot: SandglassClient
) -> None:
    """Two of the same name, size and minute are two choices; 25 at most, of 100 characters at most."""
    alice = discord.user("alice")
    kept = [
        (await bot.services.orchestrator.upload_file(alice.id, b"x", name)).file_id
        for name in ("data.csv", "old_data.csv", "data.csv", "x" * 300 + ".csv", "other.txt")
    ]
    found = await alice.autocomplete("download", "file", "DATA")
    assert [each["value"] for each in found] == [kept[2], kept[0], kept[1]]
    assert len({each["name"] for each in found}) == 3
    for n in range(30):
        await bot.services.orchestrator.upload_file(alice.id, b"x", f"{n:02}{'y' * 200}")
    found = await alice.autocomplete("delete", "file", "")
    assert len(found) == 25
    assert all(len(each["name"]) <= 100 for each in found)


@asynccontextmanager
async def busy(bot: SandglassClient) -> AsyncIterator[None]:
    """Neither the index nor the bot's store has a connection left: whoever asks them waits."""
    assert isinstance(bot.services.orchestrator, Orchestrator)
    async with AsyncExitStack() as stack:
        for _ in range(8):
            await stack.enter_async_context(bot.services.orchestrator.database.session())
        for _ in range(4):
            await stack.enter_async_context(bot.services.store._engine.connect())
        yield


async def test_whatever_is_slow_everything_answers_within_three_seconds(
    discord: LocalDiscord, bot: SandglassClient
) -> None:
    """Deferred at once, and answered when it is known; a form that could not be opened says so."""
    alice = discord.user("alice")
    files = bot.services.orchestrator
    for n in range(14):
        stored = await files.upload_file(alice.id, b"x", f"f{n}.txt")
    shown = await ran(alice, discord.general, "print('computed')")
    listed = (await alice.slash("files")).message
    card = (await alice.select(listed, "sg:pick", stored.file_id)).message
    sure = (await alice.select(listed, "sg:pick", stored.file_id)).message
    await alice.click(sure, "Delete")
    await discord.world.until(lambda: "for ever?" in sure.content or None, 5, "not asked")
    async with busy(bot):
        asked = [
            (await alice.slash("files", wait=False), "files**"),
            (await alice.slash("delete", file="f3.txt", wait=False), "is deleted"),
            (await alice.slash("usage", wait=False), "tokens"),
            (await alice.slash("reset", wait=False), "forgotten"),
            (await alice.slash("model", wait=False), "You talk to"),
            (await alice.slash("model", which="local-small", wait=False), "From now on"),
            (await alice.click(shown, "Code", wait=False), "print('computed')"),
            (await alice.click(shown, "Run again", wait=False), ""),
            (await alice.select(listed, "sg:pick", stored.file_id, wait=False), "`f13.txt`"),
            (await alice.click(card, "Keep longer", wait=False), "`f13.txt`"),
            (await alice.click(sure, "Delete for ever", wait=False), "is deleted"),
            (await alice.click(listed, "Next", wait=False), "page 2 of 2"),
        ]
        edit = await alice.click(shown, "Edit and run")
        assert "I am busy" in edit.message.content
        assert await alice.autocomplete("download", "file", "f") == []
        for each, _ in asked:
            await each.answer(1)
    for each, words in asked:
        shown_so = await each.wait_for(lambda m, words=words: words in m.content, 60)  # type: ignore[misc]
        assert shown_so.ephemeral == bool(words), each.data
    await discord.general.wait_for(lambda m: "computed" in m.content, 60, after=shown)


async def test_the_file_of_another_is_not_found(discord: LocalDiscord, bot: SandglassClient) -> None:
    """A foreign file id is the same as one that never was in commands; test_gates clicks with it."""
    alice, bob = discord.user("alice"), discord.user("bob")
    await (await alice.slash("upload", file=("secret.txt", b"s"))).wait_for(lambda m: "secret" in m.content)
    (secret,) = await alice.autocomplete("download", "file", "secret")
    assert await bob.autocomplete("download", "file", "secret") == []
    for command in ("download", "delete"):
        refused = await bob.slash(command, file=secret["value"])
        answer = await refused.wait_for(lambda m: "File not found or expired" in m.content)
        assert "Available files: none" in answer.content


async def test_what_is_said_of_the_bot_and_remembered_of_a_person(
    discord: LocalDiscord, bot: SandglassClient
) -> None:
    """/help, /status, /usage, /model, /privacy export and erase, /reset and /stop answer in private."""
    alice = discord.user("alice")
    assert "/run" in (await alice.slash("help")).message.content
    await (await alice.slash("status")).wait_for(lambda m: "✅ ready" in m.content)
    assert "tokens" in (await alice.slash("usage")).message.content
    await alice.slash("model", which="local-small")
    assert "local-small" in (await alice.slash("model")).message.content.split("Offered")[0]
    assert "Not offered" in (await alice.slash("model", which="nonsense")).message.content
    await (await alice.slash("upload", file=("mine.txt", b"x"))).wait_for(lambda m: "mine" in m.content)
    shown = await ran(alice, discord.general, "print('my', 'secret')")
    exported = await (await alice.slash("privacy export")).wait_for(lambda m: m.files)
    known = json.loads(exported.files["sandglass-export.json"])
    assert [each["filename"] for each in known["files"]] == ["mine.txt"]
    assert [each["code"] for each in known["executions"]] == ["print('my', 'secret')"]
    await (await alice.slash("privacy erase")).wait_for(
        lambda m: "1 questions and 1 executions are forgotten, 1 files deleted" in m.content
    )
    assert "for its author" in (await alice.click(shown, "Code")).message.content
    assert "no stored files" in (await alice.slash("files")).message.content
    assert (await alice.slash("reset")).message.ephemeral
    await (await alice.slash("stop")).wait_for(lambda m: "nothing" in m.content)


async def test_old_buttons_work_after_a_restart(discord: LocalDiscord, open_bot: OpenBot) -> None:
    """All that Code, Run again, Edit and run, Stop and Delete know is in their custom id."""
    alice = discord.user("alice")
    async with open_bot():
        shown = await ran(alice, discord.general, "print('first', 'life')")
    async with open_bot() as bot:
        code = await alice.click(shown, "Code")
        assert "print('first', 'life')" in code.message.content
        again = await alice.click(shown, "Run again")
        await again.wait_for(lambda m: "first life" in m.content, 60)
        form = await alice.click(shown, "Edit and run")
        edited = await alice.submit_modal(form, code="print('second', 'life')")
        await edited.wait_for(lambda m: "second life" in m.content, 60)
        first = (await bot.services.orchestrator.list_executions(alice.id))[-1].execution_id
        stop = {"component_type": 2, "custom_id": f"sg:kill:{first}", "id": 1}
        for who, words in ((alice, "has ended already"), (discord.user("bob"), NOT_YOURS)):
            clicked = discord.desk.open(COMPONENT, who.account, discord.general, stop, source=shown)
            assert (await clicked.wait_for(lambda m, words=words: words in m.content)).ephemeral  # type: ignore[misc]
        await alice.click(shown, "Delete")
        await discord.world.until(lambda: shown.deleted or None, 10, "not deleted")


async def test_who_asks_too_often_waits_but_may_always_stop(
    discord: LocalDiscord, model: LocalModel, open_bot: OpenBot, tmp_path: Path
) -> None:
    """The bucket counts questions and what sets work off; the refusal says how long."""
    policy = tmp_path / "policy.toml"
    policy.write_text("[cooldown]\nburst = 1\nseconds = 60\n")
    alice = discord.user("alice")
    model.script([say("First.")])
    async with open_bot(policy=policy):
        await alice.ask(discord.general, "one")
        await discord.general.wait_for(lambda m: "First." in m.content and not m.components, 30)
        await alice.ask(discord.general, "two")
        await discord.general.wait_for(lambda m: "too many questions" in m.content, 10)
        refused = await alice.slash("run", channel=discord.general, code="print(1)")
        assert "try again in" in refused.message.content
        await (await alice.slash("stop")).wait_for(lambda m: "nothing" in m.content)
    assert len(model.requests) == 1


async def test_the_blocked_get_nothing_until_the_file_says_otherwise(
    discord: LocalDiscord, model: LocalModel, open_bot: OpenBot, tmp_path: Path
) -> None:
    """Messages, commands, buttons and autocomplete of a blocked user; the list is read again."""
    mallory = discord.user("mallory")
    policy = tmp_path / "policy.toml"
    policy.write_text(f"[block]\nusers = [{mallory.id}]\n")
    async with open_bot(policy=policy, with_model=False):
        await mallory.ask(discord.general, "```python\nprint(1)\n```")
        refused = await mallory.slash("run", channel=discord.general, code="print(1)")
        assert "may not use" in refused.message.content
        assert await mallory.autocomplete("download", "file", "") == []
        assert [m.author.name for m in discord.general.messages] == ["mallory"]
        policy.write_text("")
        for _ in range(30):
            asked = await mallory.slash("usage")
            if "tokens" in asked.message.content:
                break
            await asyncio.sleep(0.1)
        else:
            raise AssertionError("the policy was not read again")
