"""How things look in Discord's JSON: one function for each kind of object, in the published shape."""

from .cdn import Cdn
from .mentions import everyone_is_mentioned, mentioned_roles, mentioned_users
from .rights import permissions_of
from .world import (
    DM,
    PRIVATE_THREAD,
    THREADS,
    Attachment,
    Channel,
    Guild,
    Json,
    Message,
    Role,
    User,
    World,
)

JOINED = "2024-01-01T00:00:00+00:00"


def user(who: User) -> Json:
    """UserResponse."""
    return {
        "id": str(who.id),
        "username": who.name,
        "global_name": None if who.bot else who.name.capitalize(),
        "avatar": None,
        "discriminator": "0000" if who.bot else "0",
        "public_flags": 0,
        "flags": 0,
        "bot": who.bot,
        "primary_guild": None,
    }


def myself(who: User) -> Json:
    """UserPIIResponse."""
    return {**user(who), "mfa_enabled": False, "locale": "en-US", "verified": True, "email": None}


def member(who: User, *, bare: bool = False) -> Json:
    """GuildMemberResponse; `bare` leaves the user out, as messages do."""
    body: Json = {
        "avatar": None,
        "banner": None,
        "communication_disabled_until": None,
        "flags": 0,
        "joined_at": JOINED,
        "nick": None,
        "pending": False,
        "premium_since": None,
        "roles": [str(role) for role in who.roles],
        "mute": False,
        "deaf": False,
    }
    return body if bare else {**body, "user": user(who)}


def role(one: Role, position: int) -> Json:
    """GuildRoleResponse."""
    return {
        "id": str(one.id),
        "name": one.name,
        "permissions": str(one.permissions),
        "position": position,
        "color": 0,
        "colors": {"primary_color": 0, "secondary_color": None, "tertiary_color": None},
        "hoist": False,
        "managed": False,
        "mentionable": one.mentionable,
        "icon": None,
        "unicode_emoji": None,
        "flags": 0,
    }


def guild(one: Guild) -> Json:
    """GuildWithCountsResponse."""
    nothing = [
        "icon",
        "description",
        "home_header",
        "splash",
        "discovery_splash",
        "banner",
        "application_id",
        "afk_channel_id",
        "system_channel_id",
        "widget_channel_id",
        "max_presences",
        "vanity_url_code",
        "rules_channel_id",
        "safety_alerts_channel_id",
        "public_updates_channel_id",
        "incidents_data",
    ]
    zero = [
        "system_channel_flags",
        "verification_level",
        "default_message_notifications",
        "mfa_level",
        "explicit_content_filter",
        "max_stage_video_channel_users",
        "max_video_channel_users",
        "premium_subscription_count",
        "nsfw_level",
    ]
    return {
        "id": str(one.id),
        "name": one.name,
        "owner_id": str(one.owner.id),
        "region": "us-west",
        "afk_timeout": 300,
        "max_members": 500_000,
        "features": [],
        "emojis": [],
        "stickers": [],
        "roles": [role(each, n) for n, each in enumerate(one.roles.values())],
        "widget_enabled": False,
        "premium_tier": one.tier,
        "preferred_locale": "en-US",
        "premium_progress_bar_enabled": False,
        "nsfw": False,
        **dict.fromkeys(nothing),
        **dict.fromkeys(zero, 0),
    }


def guild_create(one: Guild, world: World) -> Json:
    """The gateway's GUILD_CREATE: the guild with its members, channels and open threads."""
    inside = [each for each in world.channels.values() if each.guild is one]
    return {
        **guild(one),
        "joined_at": JOINED,
        "large": False,
        "unavailable": False,
        "member_count": len(one.members),
        "members": [member(each) for each in one.members.values()],
        "channels": [channel(each) for each in inside if each.kind not in THREADS],
        "threads": [channel(each) for each in inside if each.kind in THREADS and not each.archived],
        **{key: [] for key in ("voice_states", "presences", "stage_instances", "guild_scheduled_events")},
    }


def channel(one: Channel) -> Json:
    """GuildChannelResponse, ThreadResponse or PrivateChannelResponse."""
    last = str(one.messages[-1].id) if one.messages else None
    body: Json = {"id": str(one.id), "type": one.kind, "flags": 0, "last_message_id": last}
    if one.kind == DM:
        return {**body, "recipients": [user(one.recipient)] if one.recipient else []}
    assert one.guild is not None
    body |= {"guild_id": str(one.guild.id), "name": one.name, "rate_limit_per_user": 0}
    if one.kind in THREADS:
        return body | _thread(one)
    return body | {
        "position": 0,
        "parent_id": None,
        "topic": None,
        "nsfw": False,
        "permission_overwrites": [],
    }


def _thread(one: Channel) -> Json:
    assert one.parent is not None
    assert one.owner is not None
    metadata: Json = {
        "archived": one.archived,
        "archive_timestamp": JOINED,
        "auto_archive_duration": one.auto_archive,
        "locked": False,
        "create_timestamp": JOINED,
    }
    if one.kind == PRIVATE_THREAD:
        metadata["invitable"] = True
    counts = dict.fromkeys(("message_count", "total_message_sent"), len(one.messages))
    owner = {"parent_id": str(one.parent.id), "owner_id": str(one.owner.id), "member_count": 1}
    joined = {"id": str(one.id), "user_id": str(one.world.me.id), "join_timestamp": JOINED, "flags": 0}
    return {**owner, **counts, "thread_metadata": metadata, "member": joined}


def attachment(one: Attachment, cdn: Cdn) -> Json:
    """MessageAttachmentResponse."""
    address = cdn.address(one)
    body: Json = {
        "id": str(one.id),
        "filename": one.filename,
        "size": one.size,
        "url": address,
        "proxy_url": address,
        "content_type": one.content_type,
    }
    optional: Json = {
        "title": one.title,
        "description": one.description,
        "ephemeral": one.ephemeral or None,
        "width": one.width,
        "height": one.height,
    }
    return body | {key: value for key, value in optional.items() if value is not None}


def message(one: Message, cdn: Cdn, *, nested: bool = False) -> Json:
    """MessageResponse; a nested one does not show what it answers."""
    body: Json = {
        "id": str(one.id),
        "channel_id": str(one.channel.id),
        "type": one.kind,
        "content": one.content,
        "author": user(one.author),
        "mentions": [user(each) for each in mentioned_users(one)],
        "mention_roles": [str(each.id) for each in mentioned_roles(one)],
        "mention_everyone": everyone_is_mentioned(one),
        "attachments": [attachment(each, cdn) for each in one.attachments],
        "embeds": one.embeds,
        "components": one.components,
        "timestamp": one.at.isoformat(),
        "edited_timestamp": one.edited_at.isoformat() if one.edited_at else None,
        "flags": one.flags,
        "pinned": False,
        "tts": one.tts,
    }
    optional: Json = {
        "nonce": one.nonce,
        "webhook_id": str(one.webhook_id) if one.webhook_id else None,
        "application_id": str(one.webhook_id) if one.webhook_id else None,
        "interaction_metadata": one.interaction,
        "thread": channel(one.thread) if one.thread else None,
    }
    body |= {key: value for key, value in optional.items() if value is not None}
    return body if nested or one.reference is None else body | _answered(one, cdn)


def _answered(one: Message, cdn: Cdn) -> Json:
    reference = {"type": 0, "channel_id": str(one.channel.id), "message_id": str(one.reference)}
    if one.channel.guild:
        reference["guild_id"] = str(one.channel.guild.id)
    target = next((each for each in one.channel.messages if each.id == one.reference), None)
    shown = message(target, cdn, nested=True) if target else None
    return {"message_reference": reference, "referenced_message": shown}


def interaction_member(who: User, guild_: Guild) -> Json:
    """PrivateGuildMember of an interaction: the member with permission bits."""
    return {**member(who), "permissions": str(permissions_of(who, guild_))}
