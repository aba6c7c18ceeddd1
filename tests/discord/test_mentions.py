"""Whom a message says that it notifies."""

from .raw import raw_discord
from .server.rights import MENTION_EVERYONE
from .server.world import Json, Message


async def test_what_people_mention() -> None:
    """Everyone only by who may; a role that is open to all, or by who may; nothing of it in a DM."""
    async with raw_discord() as raw:
        discord = raw.discord
        alice, boss = discord.user("alice"), discord.user("boss", permissions=MENTION_EVERYONE)
        open_to_all, closed = discord.role("open", mentionable=True), discord.role("closed")
        text = f"@everyone <@&{open_to_all.id}> <@&{closed.id}> {alice.mention}"

        def shown(message: Message) -> tuple[bool, list[str], list[str]]:
            body: Json = discord.post.payload(message)
            return body["mention_everyone"], body["mention_roles"], [each["id"] for each in body["mentions"]]

        named = [str(alice.id)]
        assert shown(await alice.say(discord.general, text)) == (False, [str(open_to_all.id)], named)
        both = [str(open_to_all.id), str(closed.id)]
        assert shown(await boss.say(discord.general, text)) == (True, both, named)
        assert shown(await boss.say(discord.general, "@here"))[0]
        assert shown(await boss.say(discord.general, "everyone"))[0] is False
        assert shown(await boss.dm(text)) == (False, [], named)


async def test_what_the_bot_may_mention_is_what_it_allows() -> None:
    """`allowed_mentions` by kind or by id; none at all is silence."""
    async with raw_discord() as raw:
        discord = raw.discord
        alice, role = discord.user("alice"), discord.role("open", mentionable=True)
        discord.world.me.permissions = MENTION_EVERYONE
        text = f"@everyone <@&{role.id}> {alice.mention}"
        everything = (True, [str(role.id)], [str(alice.id)])
        for allowed, wanted in (
            (None, everything),
            ({"parse": ["everyone", "roles", "users"]}, everything),
            ({"parse": []}, (False, [], [])),
            ({"parse": ["everyone"]}, (True, [], [])),
            ({"parse": [], "roles": [str(role.id)], "users": ["1"]}, (False, [str(role.id)], [])),
        ):
            body: Json = {"content": text} | ({"allowed_mentions": allowed} if allowed else {})
            _, made = await raw.ask("POST", raw.messages, body)
            mentions = [each["id"] for each in made["mentions"]]
            assert (made["mention_everyone"], made["mention_roles"], mentions) == wanted
