"""What is heard and not answered, and what is taken away: others' words, previews, many deletions at once."""

from bot.client import SandglassClient
from tests.bot.conftest import OpenBot
from tests.discord.model import LocalModel, say
from tests.discord.server import Channel, LocalDiscord, Message, Person
from tests.discord.server.rights import MENTION_EVERYONE


async def answered(discord: LocalDiscord, who: Person, text: str = "and now?") -> Message:
    """A question's finished answer; whatever was sent before has been heard by then."""
    asked = await who.ask(discord.general, text)
    return await answer_to(discord.general, asked)


async def answer_to(channel: Channel, asked: Message) -> Message:
    """The answer, once nothing more is written into it."""
    return await channel.wait_for(
        lambda m: m.reference == asked.id and "Heard." in m.content and not m.components, 30
    )


def read_again(discord: LocalDiscord, asked: Message) -> int:
    """How often a question was fetched, which is how answering it again begins."""
    return discord.sent("GET", f"/messages/{asked.id}")


def obey(model: LocalModel) -> None:
    """Whoever is asked says the same, as often as it is asked."""
    model.answer_with(lambda wants: say("Heard."))


async def test_another_bot_is_not_answered(
    discord: LocalDiscord, model: LocalModel, bot: SandglassClient
) -> None:
    """Neither its mention nor its reply nor its words in a thread of ours: two bots would never end."""
    obey(model)
    alice, robot = discord.user("alice"), discord.bot("robot")
    ours = await answered(discord, alice)
    opened = await alice.slash("chat", channel=discord.general, topic="maths")
    await opened.wait_for(lambda m: "<#" in m.content)
    await robot.ask(discord.general, "who are you?")
    await robot.say(discord.general, "beep", reply_to=ours)
    await robot.say(discord.channel("maths"), "boop")
    await answered(discord, alice)
    assert len(model.requests) == 2


async def test_everyone_and_a_role_of_ours_are_not_us(
    discord: LocalDiscord, model: LocalModel, open_bot: OpenBot
) -> None:
    """@everyone, @here and our own role, by somebody who may, ring for us and ask us nothing."""
    obey(model)
    role = discord.role("sandglass", mentionable=True)
    discord.world.me.roles.append(role.id)
    alice = discord.user("alice", permissions=MENTION_EVERYONE)
    async with open_bot():
        for text in ("@everyone lunch!", "@here coffee!", f"<@&{role.id}> are many"):
            await alice.say(discord.general, text)
        await answered(discord, alice)
    assert len(model.requests) == 1


async def test_a_preview_of_a_link_does_not_answer_again(
    discord: LocalDiscord, model: LocalModel, bot: SandglassClient
) -> None:
    """Discord sends an update for it, before and after an edit of ours; only the edit is one."""
    obey(model)
    alice = discord.user("alice")
    asked = await alice.ask(discord.general, "what is https://example.org/?")
    answer = await answer_to(discord.general, asked)
    await alice.unfurl(asked)
    await answered(discord, alice)
    assert read_again(discord, asked) == 0
    await alice.edit(asked, f"{discord.me} what stands on https://example.org/?")
    await discord.world.until(lambda: len(model.requests) == 3 or None, 30, "not again")
    assert await answer_to(discord.general, asked) is answer
    await alice.unfurl(asked)
    await answered(discord, alice)
    assert read_again(discord, asked) == 1
    assert len(model.requests) == 4


async def test_a_preview_of_what_was_asked_before_a_restart_does_not_answer_again(
    discord: LocalDiscord, model: LocalModel, open_bot: OpenBot
) -> None:
    """The text of before is not known any more, so that only the missing time of an edit tells."""
    obey(model)
    alice = discord.user("alice")
    async with open_bot():
        asked = await alice.ask(discord.general, "what is https://example.org/?")
        await answer_to(discord.general, asked)
    async with open_bot():
        await alice.unfurl(asked)
        await answered(discord, alice)
    assert read_again(discord, asked) == 0
    assert len(model.requests) == 2


async def test_many_deletions_at_once_take_every_answer_away(
    discord: LocalDiscord, model: LocalModel, bot: SandglassClient
) -> None:
    """Each part of each answer; the question that stays keeps its own."""
    model.answer_with(lambda wants: say("Heard." if "short" in wants.text else "words " * 500 + "Heard."))
    alice, bob = discord.user("alice"), discord.user("bob")
    kept = await answered(discord, alice, "in short?")
    asked = [await who.ask(discord.general, "at length?") for who in (alice, bob)]
    await discord.world.until(lambda: len(_ended(discord)) == 5 or None, 30, "not two parts each")
    await alice.purge(*asked)
    await discord.world.until(lambda: _ours(discord) == [kept] or None, 20, "an answer stays")


def _ours(discord: LocalDiscord) -> list[Message]:
    return [each for each in discord.general.messages if each.author is discord.world.me]


def _ended(discord: LocalDiscord) -> list[Message]:
    return [] if any(each.components for each in _ours(discord)) else _ours(discord)
