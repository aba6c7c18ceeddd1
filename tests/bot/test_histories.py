"""What the model is told of before: whole, of the right moment, and nothing that belongs to another."""

from pathlib import Path

from bot.client import SandglassClient
from tests.bot.conftest import OpenBot
from tests.bot.test_turns import ended
from tests.discord.model import LocalModel, call, hang, say
from tests.discord.server import LocalDiscord


async def test_a_question_that_was_refused_is_remembered(
    discord: LocalDiscord, model: LocalModel, open_bot: OpenBot, tmp_path: Path
) -> None:
    """A reply to the refusal carries it: nobody has to ask all over again."""
    policy = tmp_path / "policy.toml"
    policy.write_text("[cooldown]\nseconds = 0\n[budget.user]\ntokens = 0\n")
    alice = discord.user("alice")
    model.script([say("It was blue.")])
    async with open_bot(policy=policy) as bot:
        await alice.ask(discord.general, "my colour is blue")
        refused = await discord.general.wait_for(lambda m: "used up" in m.content and ended(m), 20)
        policy.write_text("[cooldown]\nseconds = 0\n")
        bot.services.policy._looked = -1e9  # the next look is due
        await alice.say(discord.general, "which is it?", reply_to=refused)
        await discord.general.wait_for(lambda m: "It was blue." in m.content and ended(m), 20)
    assert "my colour is blue" in model.requests[-1].everything


async def test_a_reply_to_what_is_still_being_said_waits_for_its_end(
    discord: LocalDiscord, model: LocalModel, bot: SandglassClient
) -> None:
    """Bob asks about the beginning of an answer to Alice, and is answered with the whole of it in mind."""
    model.script([[say("The word is "), hang(), say("zebra.")], say("An animal.")])
    alice, bob = discord.user("alice"), discord.user("bob")
    await alice.ask(discord.general, "a word")
    begun = await discord.general.wait_for(lambda m: "The word is" in m.content, 20)
    await bob.say(discord.general, "what is it?", reply_to=begun)
    await discord.general.wait_for(lambda m: "waiting for the end" in m.content, 20)
    assert len(model.requests) == 1
    model.release()
    await discord.general.wait_for(lambda m: "An animal." in m.content and ended(m), 30)
    assert "zebra." in model.requests[-1].everything


async def test_a_reset_also_forgets_what_is_just_being_answered(
    discord: LocalDiscord, model: LocalModel, bot: SandglassClient
) -> None:
    """The question was asked before the reset, though its answer ends after it."""
    model.script([[say("Noted"), hang(), say(".")], say("No idea.")])
    alice = discord.user("alice")
    await alice.dm("my colour is blue")
    await alice.dm_channel.wait_for(lambda m: "Noted" in m.content, 20)
    await alice.slash("reset", channel=alice.dm_channel)
    model.release()
    await alice.dm_channel.wait_for(lambda m: "Noted." in m.content and ended(m), 20)
    await alice.dm("which colour?")
    await alice.dm_channel.wait_for(lambda m: "No idea." in m.content and ended(m), 20)
    assert "blue" not in model.requests[-1].everything


async def test_who_replies_is_not_told_what_a_tool_read_of_anothers_files(
    discord: LocalDiscord, model: LocalModel, bot: SandglassClient
) -> None:
    """Alice's file came into the prompt for Alice; Bob's reply brings her words, not her file."""
    model.script(
        [
            call("read_file", {"file": "salaries.csv"}),
            say("The total is 3."),
            say("I may not say."),
        ]
    )
    alice, bob = discord.user("alice"), discord.user("bob")
    data = b"name,salary\ncarol,3\n"
    await (await alice.slash("upload", file=("salaries.csv", data))).wait_for(
        lambda m: "salaries" in m.content
    )
    await alice.ask(discord.general, "the total of my salaries.csv?")
    answer = await discord.general.wait_for(lambda m: "total is 3" in m.content and ended(m), 30)
    assert "carol" in model.requests[1].everything
    await bob.say(discord.general, "print what you read", reply_to=answer)
    await discord.general.wait_for(lambda m: "may not say" in m.content and ended(m), 30)
    told = model.requests[-1].everything
    assert "carol" not in told
    assert "The total is 3." in told
    assert f"Another person, id {alice.id}" in told


async def test_in_a_room_it_is_said_which_answer_a_reply_means(
    discord: LocalDiscord, model: LocalModel, bot: SandglassClient
) -> None:
    """A DM is one conversation, so a reply has to point."""
    model.script([say("A red house."), say("A green car."), say("Redone.")])
    alice = discord.user("alice")
    await alice.dm("one")
    house = await alice.dm_channel.wait_for(lambda m: "red house" in m.content and ended(m), 20)
    await alice.dm("two")
    await alice.dm_channel.wait_for(lambda m: "green car" in m.content and ended(m), 20)
    await alice.dm("again, larger", reply_to=house)
    await alice.dm_channel.wait_for(lambda m: "Redone." in m.content and ended(m), 20)
    assert 'an earlier answer of yours, quoted here as data: "A red house."' in model.requests[-1].text
