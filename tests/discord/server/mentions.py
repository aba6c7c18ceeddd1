"""Whom a message notifies: what its text names, as far as its author and its `allowed_mentions` let it."""

from .rights import MENTION_EVERYONE, permissions_of
from .world import Guild, Message, Role, User


def mentioned_users(one: Message) -> list[User]:
    """Named people, and the author of the message that is answered."""
    world, allowed = one.channel.world, one.allowed_mentions
    if allowed is not None and "users" not in (allowed.get("parse") or []):
        names = {int(each) for each in allowed.get("users") or []}
    else:
        names = set(world.users)
    found = [world.users[each] for each in names if each in world.users and _names(one, world.users[each])]
    replied = next((each for each in one.channel.messages if each.id == one.reference), None)
    pings = (allowed or {}).get("replied_user", allowed is None)
    if replied and pings and replied.author not in found:
        found.append(replied.author)
    return found


def mentioned_roles(one: Message) -> list[Role]:
    """Named roles that anybody may mention, or everything by who may mention everyone."""
    guild, allowed = one.channel.guild, one.allowed_mentions
    if guild is None:
        return []
    named = [role for role in guild.roles.values() if f"<@&{role.id}>" in one.content]
    if allowed is not None and "roles" not in (allowed.get("parse") or []):
        chosen = {int(each) for each in allowed.get("roles") or []}
        named = [role for role in named if role.id in chosen]
    return [role for role in named if role.mentionable or _may_mention_everyone(one.author, guild)]


def everyone_is_mentioned(one: Message) -> bool:
    """@everyone or @here, by who may."""
    guild, allowed = one.channel.guild, one.allowed_mentions
    if guild is None or (allowed is not None and "everyone" not in (allowed.get("parse") or [])):
        return False
    named = "@everyone" in one.content or "@here" in one.content
    return named and _may_mention_everyone(one.author, guild)


def _may_mention_everyone(who: User, guild: Guild) -> bool:
    return bool(permissions_of(who, guild) & MENTION_EVERYONE)


def _names(one: Message, who: User) -> bool:
    return f"<@{who.id}>" in one.content or f"<@!{who.id}>" in one.content
