"""What a member may do in the guild."""

from .world import MEMBER, Guild, User

MENTION_EVERYONE = 1 << 17


def permissions_of(who: User, guild: Guild) -> int:
    """The member's own permission bits: @everyone, roles, and what the test gave and took."""
    bits = MEMBER | who.permissions
    for role in who.roles:
        bits |= guild.roles[role].permissions
    return bits & ~who.denied
