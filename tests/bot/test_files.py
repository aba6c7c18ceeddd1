"""Files too large for a channel: sent by the limit that is in force there, zipped, linked or kept."""

import pytest

from bot.client import SandglassClient
from orchestrator import Orchestrator
from tests.bot.conftest import OpenBot
from tests.discord.model import LocalModel, call, say
from tests.discord.server import LocalDiscord, Message
from tests.discord.server.world import MIB

NOISE = "import os\nopen('noise.bin', 'wb').write(os.urandom(12_000_000))"


def ended(message: Message) -> bool:
    """An answer whose Stop button is gone."""
    return bool(message.content) and not message.components


async def test_a_12_mb_binary_follows_the_limit_of_the_guild_and_of_the_person(
    discord: LocalDiscord, model: LocalModel, open_bot: OpenBot
) -> None:
    """Kept where 10 MiB are allowed, given by /download where more is told, sent in a boosted guild."""
    alice = discord.user("alice")
    model.script([call("execute_python", {"code": NOISE}), say("Made.")] * 2)
    async with open_bot():
        await alice.ask(discord.general, "make noise")
        kept = await discord.general.wait_for(lambda m: "is kept" in m.content, 60)
        assert not kept.files
        assert "over Discord's 10.5 MB a file here" in kept.content
        assert "/download" in kept.content
        refused = await alice.slash("download", file="noise.bin")
        await refused.wait_for(lambda m: "is kept" in m.content and not m.files, 30)
        discord.desk.attachment_size_limit = 50 * MIB
        got = await alice.slash("download", file="noise.bin")
        fetched = await got.wait_for(lambda m: m.files, 30)
        assert len(fetched.files["noise.bin"]) == 12_000_000
        await discord.general.wait_for(lambda m: "Made." in m.content and ended(m), 30)
    discord.guild.tier = 2
    async with open_bot():
        await alice.ask(discord.general, "make noise again")
        sent = await discord.general.wait_for(lambda m: "noise.bin" in m.files, 60)
        assert "is kept" not in sent.content


async def test_a_file_that_no_message_carries_has_a_signed_link(
    discord: LocalDiscord, model: LocalModel, open_bot: OpenBot
) -> None:
    """Where the service has a public address, the note has the link, whole, and its token opens that file."""
    alice = discord.user("alice")
    model.script([call("execute_python", {"code": NOISE}), say("Made.")])
    async with open_bot(sandbox={"public_url": "https://files.example.org"}) as bot:
        await alice.ask(discord.general, "make noise")
        kept = await discord.general.wait_for(lambda m: "fetch it from" in m.content, 60)
        token = kept.content.partition("<https://files.example.org")[2].partition(">")[0].rpartition("/")[2]
        assert isinstance(bot.services.orchestrator, Orchestrator)
        file, stream = await bot.services.orchestrator.open_link(token)
        stream.close()
        assert file.filename == "noise.bin"
        await discord.general.wait_for(lambda m: "Made." in m.content and ended(m), 30)


async def test_a_60_mb_file_that_a_program_makes_is_reported(
    discord: LocalDiscord, model: LocalModel, bot: SandglassClient
) -> None:
    """It ends at 50 MB: the person reads why, as does the model, and what was written until then is kept."""
    code = "open('small.txt', 'w').write('1')\nopen('huge.bin', 'wb').write(bytes(60_000_000))"
    model.script([call("execute_python", {"code": code}), say("Too large.")])
    await discord.user("alice").ask(discord.general, "make 60 MB")
    result = await discord.general.wait_for(lambda m: "small.txt" in m.files, 60)
    assert "disk limit" in result.content
    assert "one file may have 50 MB" in result.content
    assert "OSError: [Errno 27] File too large" in result.content
    assert set(result.files) == {"small.txt", "huge.bin.zip"}
    await discord.general.wait_for(lambda m: "Too large." in m.content and ended(m), 30)
    (call_id,) = model.requests[-1].outputs
    told = model.requests[-1].output(call_id)
    assert told["outcome"] == "disk_limit"
    assert {each["filename"]: each["size"] for each in told["files"]} == {
        "small.txt": 1,
        "huge.bin": 50_000_000,
    }
    assert told["skipped_files"] == []


async def test_files_are_listed_in_pages(discord: LocalDiscord, bot: SandglassClient) -> None:
    """Ten a page, back and forth, and the menu of a page has its files."""
    alice = discord.user("alice")
    for n in range(23):
        await bot.services.orchestrator.upload_file(alice.id, b"x", f"f{n:02}.txt")
    listed = (await alice.slash("files")).message
    assert "**23 files**" in listed.content
    assert "page 1 of 3" in listed.content
    for page in (2, 3):
        await alice.click(listed, "Next")
        await discord.world.until(
            lambda p=page: f"page {p} of 3" in listed.content or None,  # type: ignore[misc]
            10,
            "not turned",
        )
    options = listed.widget("sg:pick")["options"]
    assert [each["label"] for each in options] == ["f02.txt", "f01.txt", "f00.txt"]
    card = await alice.select(listed, "sg:pick", options[0]["value"])
    assert "f02.txt" in card.message.content
    await alice.click(listed, "Previous")
    await discord.world.until(lambda: "page 2 of 3" in listed.content or None, 10, "not turned back")


@pytest.mark.parametrize("api", ["responses", "chat"])
async def test_packages_that_the_image_lacks_are_named_to_both(
    discord: LocalDiscord, model: LocalModel, open_bot: OpenBot, api: str
) -> None:
    """Nothing is installed: the result says which are missing and why, the status line which."""
    asked = {"code": "print('ran')", "packages": ["pandas", "Scikit_Learn>=1.0", "left-pad", "left-pad"]}
    model.script([call("execute_python", asked), say("Without it, then.")])
    async with open_bot(openai_api=api):
        await discord.user("alice").ask(discord.general, "go")
        result = await discord.general.wait_for(lambda m: "not installed" in m.content, 60)
        await discord.general.wait_for(lambda m: "Without it" in m.content and ended(m), 30)
    assert "not installed `left-pad`" in result.content
    assert "pandas" not in result.content
    (call_id,) = model.requests[-1].outputs
    told = model.requests[-1].output(call_id)
    assert told["failed_packages"] == ["left-pad"]
    assert told["installed_packages"] == []
    assert "the policy is off" in told["packages_hint"]
    assert "no network" in told["packages_hint"]
