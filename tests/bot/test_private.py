"""What is for one person alone is seen by nobody else, and each choice of theirs has its effect."""

import asyncio
from pathlib import Path
from typing import Any

from bot.client import SandglassClient
from bot.interactions import Asked, limit_of
from tests.bot.conftest import OpenBot
from tests.bot.test_commands import ran
from tests.bot.test_turns import ended
from tests.discord.model import LocalModel, call, say
from tests.discord.server import LocalDiscord
from tests.discord.server.world import MIB

PICTURE = Path(__file__).parents[2] / "orchestrator/bench/benchmark.png"
PUBLIC = {"run", "Run this code"}
PRIVATE: dict[str, dict[str, Any]] = {
    "help": {},
    "status": {},
    "usage": {},
    "model": {},
    "upload": {"file": ("a.txt", b"x")},
    "files": {},
    "download": {"file": "a.txt"},
    "delete": {"file": "a.txt"},
    "chat": {"topic": "ours"},
    "stop": {},
    "reset": {},
    "privacy export": {},
    "privacy erase": {},
}
"""Every command whose answer is for the one who asks, in an order in which each has something to do."""


def offered(discord: LocalDiscord) -> set[str]:
    """The names of all commands, of those with subcommands each of these."""
    names = set()
    for command in discord.commands.registered[None].values():
        inside = [each["name"] for each in command.get("options", []) if each["type"] == 1]
        names |= {f"{command['name']} {each}" for each in inside} or {command["name"]}
    return names


async def test_every_private_answer_is_seen_by_the_asker_alone(
    discord: LocalDiscord, bot: SandglassClient
) -> None:
    """All commands but those that run code, asked where everybody reads, and the buttons of one's files."""
    assert offered(discord) == PUBLIC | PRIVATE.keys()
    alice, general = discord.user("alice"), discord.general
    kept = await bot.services.orchestrator.upload_file(alice.id, b"y", "b.txt")
    shown = await ran(alice, general, "print('for all')")
    listed = (await alice.slash("files", channel=general)).message
    card = await alice.select(listed, "sg:pick", kept.file_id)
    asked = [card, await alice.click(card.message, "Download"), await alice.click(shown, "Code")]
    for each in asked:
        await each.wait_for(lambda m: m.content)
    for name, options in PRIVATE.items():
        made = await alice.slash(name, channel=general, **options)
        await made.wait_for(lambda m: m.content or m.files, 30)
        asked.append(made)
    for each in asked:
        assert each.messages
        assert all(m.ephemeral and m.seen_by is alice.account for m in each.messages), each.data
    assert general.messages == [shown]


async def test_a_chosen_model_is_the_one_that_is_asked(
    discord: LocalDiscord, model: LocalModel, bot: SandglassClient
) -> None:
    """For whoever chose it; others go on with theirs."""
    model.answer_with(lambda _: say("Hello."))
    alice, bob = discord.user("alice"), discord.user("bob")
    await alice.slash("model", which="local-small", channel=discord.general)
    for who in (alice, bob):
        asked = await who.ask(discord.general, "hello")
        await discord.general.wait_for(lambda m: "Hello." in m.content and ended(m), 30, after=asked)
    assert [each.model for each in model.requests] == ["local-small", "local-large"]


async def test_keep_longer_gives_a_file_a_whole_life_again(
    discord: LocalDiscord, bot: SandglassClient
) -> None:
    """The card shows the new moment, which is the index's own."""
    alice, files = discord.user("alice"), bot.services.orchestrator
    kept = await files.upload_file(alice.id, b"x", "a.txt")
    listed = (await alice.slash("files", channel=discord.general)).message
    card = (await alice.select(listed, "sg:pick", kept.file_id)).message
    await alice.click(card, "Keep longer")
    longer = await files.get_file(kept.file_id, alice.id)
    assert kept.expires_at is not None
    assert longer.expires_at is not None
    assert longer.expires_at > kept.expires_at
    assert f"<t:{int(longer.expires_at.timestamp())}:" in card.content


async def test_a_model_without_eyes_is_shown_no_picture(
    discord: LocalDiscord, model: LocalModel, open_bot: OpenBot
) -> None:
    """Neither what is uploaded nor what it reads or draws; it is told of them as of any file."""
    draw = {"code": "import matplotlib.pyplot as plt\nplt.plot([1, 2])"}
    picture = PICTURE.read_bytes()
    alice, images = discord.user("alice"), {}
    for sees in (True, False):
        model.script([[call("read_file", {"file": "dot.png"}), call("execute_python", draw)], say("Done.")])
        async with open_bot(model_sees=sees):
            asked = await alice.ask(discord.general, "look", files=[("dot.png", picture)])
            await discord.general.wait_for(lambda m: "Done." in m.content and ended(m), 60, after=asked)
        assert "dot.png" in model.requests[-1].text
        images[sees] = [len(each.images) for each in model.requests[-2:]]
    assert images == {True: [1, 3], False: [0, 0]}


async def test_a_program_too_long_for_a_form_is_given_as_a_file(
    discord: LocalDiscord, bot: SandglassClient
) -> None:
    """4 500 characters: Edit and run says so, and Code has every one; 4 000 still open a form."""
    alice = discord.user("alice")
    code = "print('long')\n#".ljust(4_500, "x")
    shown = await ran(alice, discord.general, code)
    refused = await alice.click(shown, "Edit and run")
    assert refused.modal is None
    assert "too long for a form" in refused.message.content
    given = await (await alice.click(shown, "Code")).wait_for(lambda m: m.files)
    assert given.files == {"code.py": code.encode()}
    for answer in (refused.message, given):
        assert answer.ephemeral
    fitting = await ran(alice, discord.general, code[:4_000])
    form = await alice.click(fitting, "Edit and run")
    again = await alice.submit_modal(form)
    await again.wait_for(lambda m: "long" in m.content, 60)


async def test_the_size_of_a_file_is_what_is_told_else_the_guild_s(
    discord: LocalDiscord, open_bot: OpenBot
) -> None:
    """An interaction's own figure is what counts; one that has none goes by the boosts of its guild."""
    discord.guild.tier = 2
    discord.desk.attachment_size_limit = 12 * MIB
    async with open_bot(with_model=False) as bot:
        heard = asyncio.ensure_future(bot.wait_for("interaction"))
        await discord.user("alice").slash("help", channel=discord.general)
        interaction = await heard
        assert isinstance(interaction, Asked)
        assert limit_of(interaction) == 12 * MIB
        interaction.told_limit = None
        assert limit_of(interaction) > 20 * MIB
        discord.desk.attachment_size_limit = None
        code = "import os\nopen('noise.bin', 'wb').write(os.urandom(12_000_000))"
        made = await discord.user("alice").slash("run", channel=discord.general, code=code)
        await made.wait_for(lambda m: "noise.bin" in m.files, 60)
