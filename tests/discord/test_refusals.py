"""What Discord refuses of messages, files, threads and commands is refused here, with Discord's own code."""

import io
from typing import Any

import aiohttp
import pytest

from .raw import form, raw_discord
from .server.world import CREATE_PRIVATE_THREADS, CREATE_PUBLIC_THREADS, MANAGE_MESSAGES, SEND_IN_THREADS

MIB = 1024 * 1024
type Json = dict[str, Any]


def row(*inside: Json) -> Json:
    """One row."""
    return {"type": 1, "components": list(inside)}


def button(name: str = "a", **changed: Any) -> Json:
    """A button that is right but for what is changed."""
    return {"type": 2, "style": 1, "label": "Go", "custom_id": name, **changed}


def select(values: str = "a", **changed: Any) -> Json:
    """A select with one option for each letter."""
    options = [{"label": each, "value": each} for each in values]
    return {"type": 3, "custom_id": "pick", "options": options, **changed}


def choice(**changed: Any) -> Json:
    """A select with one option that is right but for what is changed."""
    return select(options=[{"label": "l", "value": "v", **changed}])


def field(**changed: Any) -> Json:
    """An embed with one field."""
    return {"fields": [{"name": "n", "value": "v", **changed}]}


WELCOME: list[Json] = [
    {"content": "x" * 2000},
    {"embeds": [{"description": "x" * 4096}]},
    {"content": "x", "components": [row(*(button(f"{r}.{n}") for n in range(5))) for r in range(5)]},
    {"content": "x", "components": [row(button(label=None, emoji={"name": "🙂"}))]},
    {"content": "x", "components": [row({"type": 2, "style": 5, "label": "l", "url": "https://x.org"})]},
    {"content": "x", "components": [row(select("abc", max_values=3))]},
    {"content": "x", "allowed_mentions": {"parse": ["users"], "roles": []}},
]

REFUSED: list[tuple[str, Json, str]] = [
    ("content", {"content": "x" * 2001}, "content: BASE_TYPE_MAX_LENGTH"),
    ("nothing", {"content": "  "}, "50006"),
    ("embeds", {"embeds": [{"title": "t"}] * 11}, "embeds: BASE_TYPE_MAX_LENGTH"),
    ("embeds together", {"embeds": [{"description": "x" * 3001}] * 2}, "embeds: MAX_EMBED_SIZE_EXCEEDED"),
    ("embed title", {"embeds": [{"title": "x" * 257}]}, "embeds.0.title: BASE_TYPE_MAX_LENGTH"),
    ("embed text", {"embeds": [{"description": "x" * 4097}]}, "embeds.0.description: BASE_TYPE_MAX_LENGTH"),
    (
        "embed foot",
        {"embeds": [{"footer": {"text": "x" * 2049}}]},
        "embeds.0.footer.text: BASE_TYPE_MAX_LENGTH",
    ),
    ("fields", {"embeds": [{"fields": field()["fields"] * 26}]}, "embeds.0.fields: BASE_TYPE_MAX_LENGTH"),
    ("field without", {"embeds": [field(value="")]}, "embeds.0.fields.0.value: BASE_TYPE_REQUIRED"),
    ("field name", {"embeds": [field(name="x" * 257)]}, "embeds.0.fields.0.name: BASE_TYPE_MAX_LENGTH"),
    (
        "mentions twice",
        {"content": "x", "allowed_mentions": {"parse": ["users"], "users": ["1"]}},
        "allowed_mentions: MESSAGE_ALLOWED_MENTIONS_PARSE_EXCLUSIVE",
    ),
    ("ephemeral", {"content": "x", "flags": 64}, "flags: MESSAGE_FLAGS_INVALID"),
    (
        "reply to nothing",
        {"content": "x", "message_reference": {"message_id": "1"}},
        "message_reference: REPLIES_UNKNOWN_MESSAGE",
    ),
    (
        "reply elsewhere",
        {"content": "x", "message_reference": {"message_id": "SAID", "channel_id": "1"}},
        "message_reference: REPLIES_UNKNOWN_CHANNEL",
    ),
    (
        "file without bytes",
        {"content": "x", "attachments": [{"id": 0, "filename": "a"}]},
        "attachments.0.id: ATTACHMENT_NOT_FOUND",
    ),
]

BAD_COMPONENTS: list[tuple[str, list[Json], str]] = [
    ("six rows", [row(button(str(n))) for n in range(6)], "components: BASE_TYPE_BAD_LENGTH"),
    ("six buttons", [row(*map(button, "abcdef"))], "components.0: BASE_TYPE_BAD_LENGTH"),
    ("empty row", [row()], "components.0: BASE_TYPE_BAD_LENGTH"),
    ("no row", [button()], "components.0: BASE_TYPE_BAD_LENGTH"),
    ("select beside", [row(select(), button())], "components.0: COMPONENT_LAYOUT_WIDTH_EXCEEDED"),
    ("no id", [row(button(custom_id=None))], "components.0.components.0.custom_id: BASE_TYPE_REQUIRED"),
    ("long id", [row(button("x" * 101))], "components.0.components.0.custom_id: BASE_TYPE_BAD_LENGTH"),
    (
        "same id",
        [row(button("a"), button("a"))],
        "components.0.components.1.custom_id: COMPONENT_CUSTOM_ID_DUPLICATED",
    ),
    ("no label", [row(button(label=None))], "components.0.components.0.label: BASE_TYPE_REQUIRED"),
    ("empty label", [row(button(label=""))], "components.0.components.0.label: BASE_TYPE_REQUIRED"),
    ("long label", [row(button(label="x" * 81))], "components.0.components.0.label: BASE_TYPE_MAX_LENGTH"),
    (
        "long placeholder",
        [row(select(placeholder="x" * 151))],
        "components.0.components.0.placeholder: BASE_TYPE_MAX_LENGTH",
    ),
    ("no options", [row(select(""))], "components.0.components.0.options: BASE_TYPE_BAD_LENGTH"),
    (
        "26 options",
        [row(select("abcdefghijklmnopqrstuvwxyz"))],
        "components.0.components.0.options: BASE_TYPE_BAD_LENGTH",
    ),
    (
        "same value",
        [row(select("aa"))],
        "components.0.components.0.options: SELECT_COMPONENT_DUPLICATED_OPTION_VALUE",
    ),
    ("more values", [row(select("a", max_values=2))], "components.0.components.0.max_values: BASE_TYPE_MAX"),
    (
        "long option",
        [row(choice(label="x" * 101))],
        "components.0.components.0.options.0.label: BASE_TYPE_MAX_LENGTH",
    ),
]


@pytest.mark.parametrize("body", WELCOME, ids=lambda body: str(body)[:40])
async def test_what_is_just_allowed_is_taken(body: Json) -> None:
    """Each limit's last value."""
    async with raw_discord() as raw:
        assert await raw.fault("POST", raw.messages, body) == "taken"


@pytest.mark.parametrize(
    ("body", "fault"),
    [pytest.param(body, fault, id=name) for name, body, fault in REFUSED]
    + [
        pytest.param({"content": "x", "components": rows}, fault, id=name)
        for name, rows, fault in BAD_COMPONENTS
    ],
)
async def test_a_message_that_discord_refuses(body: Json, fault: str) -> None:
    """The place and the code; nothing is shown."""
    async with raw_discord() as raw:
        said = await raw.discord.user("alice").say(raw.discord.general, "hi")
        if body.get("message_reference", {}).get("message_id") == "SAID":
            reference = {**body["message_reference"], "message_id": str(said.id)}
            body = {**body, "message_reference": reference}
        assert await raw.fault("POST", raw.messages, body) == fault
        assert raw.discord.general.messages == [said]


@pytest.mark.parametrize(
    ("sizes", "code"),
    [([1] * 10, 0), ([1] * 11, 50035), ([10 * MIB], 0), ([10 * MIB + 1], 40005), ([9 * MIB] * 3, 40005)],
    ids=["ten", "eleven", "10 MiB", "larger", "27 MiB together"],
)
async def test_files_of_a_message(sizes: list[int], code: int) -> None:
    """Ten files, 10 MiB each, 25 MiB together."""
    async with raw_discord() as raw:
        assert await raw.code("POST", raw.messages, data=form({"content": "x"}, sizes)) == code
        assert [len(each.attachments) for each in raw.discord.general.messages] == (
            [] if code else [len(sizes)]
        )


async def test_a_request_without_files_has_the_same_limit() -> None:
    """25 MiB of JSON are too many."""
    async with raw_discord() as raw:
        text = io.BytesIO(b'{"content": "' + b"x" * 25 * MIB + b'"}')
        assert (
            await raw.code("POST", raw.messages, data=text, headers={"Content-Type": "application/json"})
            == 40005
        )


async def test_no_bot_has_a_dm_with_another() -> None:
    """People alone are written to."""
    async with raw_discord() as raw:
        for who, code in ((raw.discord.bot("robot"), 10013), (raw.discord.user("alice"), 0)):
            assert await raw.code("POST", "/users/@me/channels", {"recipient_id": str(who.id)}) == code


async def test_edits_and_deletions() -> None:
    """Ten files also after an edit; never empty; only one's own, and others' by who may."""
    async with raw_discord() as raw:
        _, made = await raw.ask("POST", raw.messages, data=form({"content": "x"}, [1] * 9))
        ours = f"{raw.messages}/{made['id']}"
        assert await raw.code("PATCH", ours, data=form({"content": "y"}, [1] * 2)) == 50035
        assert await raw.code("PATCH", ours, {"attachments": [{"id": "1"}]}) == 50035
        assert await raw.code("PATCH", ours, {"content": "", "attachments": []}) == 50006
        assert await raw.code("PATCH", ours, {"content": "x" * 2001}) == 50035
        said = await raw.discord.user("alice").say(raw.discord.general, "hi")
        theirs = f"{raw.messages}/{said.id}"
        assert await raw.code("PATCH", theirs, {"content": "x"}) == 50005
        assert await raw.code("DELETE", theirs) == 50013
        raw.discord.world.me.permissions |= MANAGE_MESSAGES
        assert await raw.code("DELETE", theirs) == 0
        assert await raw.code("GET", theirs) == 10008
        assert await raw.code("DELETE", f"{ours}/reactions/x/@me") == 10008


async def test_deletions_in_bulk() -> None:
    """Two to a hundred, in a guild, by who may; the gateway says it once."""
    async with raw_discord() as raw:
        alice = raw.discord.user("alice")
        ids = [str((await alice.say(raw.discord.general, text)).id) for text in "ab"]
        path = raw.messages + "/bulk-delete"
        assert await raw.code("POST", path, {"messages": ids}) == 50013
        raw.discord.world.me.permissions |= MANAGE_MESSAGES
        assert await raw.code("POST", path, {"messages": ids[:1]}) == 50016
        in_a_dm = f"/channels/{alice.dm_channel.id}/messages/bulk-delete"
        assert await raw.code("POST", in_a_dm, {"messages": ids}) == 50003
        assert await raw.code("POST", path, {"messages": ids}) == 0
        assert raw.discord.general.messages == []


@pytest.mark.parametrize(
    ("how", "status", "code"),
    [
        ({"data": '{"content": "x"}', "headers": {"Content-Type": "text/plain"}}, 415, 50035),
        ({"data": '{"content":', "headers": {"Content-Type": "application/json"}}, 400, 50109),
        ({"data": "[]", "headers": {"Content-Type": "application/json"}}, 400, 50035),
        ({"data": form({"content": "x"}, [1], field="file{}")}, 400, 50035),
        ({"json": {"content": "x"}, "headers": {"Authorization": "Bot wrong"}}, 401, 0),
    ],
    ids=["type", "no JSON", "no object", "field", "token"],
)
async def test_bodies_that_cannot_be_read(how: Json, status: int, code: int) -> None:
    """The wrong type, broken JSON, an unknown field, a wrong token."""
    async with raw_discord() as raw:
        answered, body = await raw.ask("POST", raw.messages, **how)
        assert (answered, body["code"]) == (status, code)


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("GET", "/channels/1", 10003),
        ("GET", "/channels/{general}/messages/1", 10008),
        ("GET", "/users/1", 10013),
        ("GET", "/guilds/1", 10004),
        ("GET", "/guilds/{guild}/members/1", 10007),
        ("GET", "/applications/{me}/commands/1", 10063),
        ("GET", "/applications/{me}/guilds/1/commands", 10004),
        ("GET", "/applications/1/commands", 20012),
        ("PATCH", "/webhooks/1/token/messages/@original", 10015),
        ("PATCH", "/webhooks/{me}/token/messages/@original", 50027),
        ("POST", "/interactions/1/token/callback", 10062),
    ],
)
async def test_what_does_not_exist(method: str, path: str, code: int) -> None:
    """Each unknown thing has its own code."""
    async with raw_discord() as raw:
        discord = raw.discord
        known = {"general": discord.general.id, "guild": discord.guild.id, "me": discord.world.me.id}
        body: Json | None = {} if method != "GET" else None
        assert await raw.code(method, path.format(**known), body) == code


async def test_threads() -> None:
    """Without a type they are private, for their owner and who is invited; names, rights and places count."""
    async with raw_discord() as raw:
        discord, alice = raw.discord, raw.discord.user("alice")
        path = f"/channels/{discord.general.id}/threads"
        _, public = await raw.ask("POST", path, {"name": "open", "type": 11})
        _, private = await raw.ask("POST", path, {"name": "closed"})
        assert (public["type"], private["type"]) == (11, 12)
        await alice.say(discord.channel("open"), "hi")
        with pytest.raises(AssertionError, match="not in #closed, which is private"):
            await alice.say(discord.channel("closed"), "hi")
        await raw.ask("PUT", f"/channels/{private['id']}/thread-members/{alice.id}")
        said = await alice.say(discord.channel("closed"), "hi")
        for wrong in ({"name": ""}, {"name": "x" * 101}, {"name": "x", "type": 10}):
            assert await raw.code("POST", path, wrong) == 50035
        inside = f"/channels/{private['id']}"
        assert await raw.code("POST", f"{inside}/threads", {"name": "x"}) == 50024
        assert await raw.code("POST", f"{inside}/messages/{said.id}/threads", {"name": "x"}) == 50024
        on = await alice.say(discord.general, "start")
        upon = f"{raw.messages}/{on.id}/threads"
        assert await raw.code("POST", upon, {"name": "upon"}) == 0
        assert await raw.code("POST", upon, {"name": "twice"}) == 160004
        for right, kind in ((CREATE_PUBLIC_THREADS, 11), (CREATE_PRIVATE_THREADS, 12)):
            discord.world.me.denied = right
            assert await raw.code("POST", path, {"name": "x", "type": kind}) == 50013
            assert await raw.code("POST", path, {"name": "x", "type": 23 - kind}) == 0
        discord.world.me.denied = SEND_IN_THREADS
        assert await raw.code("POST", f"{inside}/messages", {"content": "x"}) == 50013


def command(name: str = "a", **changed: Any) -> Json:
    """A slash command that is right but for what is changed."""
    return {"name": name, "description": "d", **changed}


NEEDED = {"type": 3, "name": "b", "description": "d", "required": True}


@pytest.mark.parametrize(
    ("wrong", "fault"),
    [
        (command("A"), "name: APPLICATION_COMMAND_INVALID_NAME"),
        (command("x" * 33), "name: APPLICATION_COMMAND_INVALID_NAME"),
        (command(description=""), "description: BASE_TYPE_BAD_LENGTH"),
        (command(description="x" * 101), "description: BASE_TYPE_BAD_LENGTH"),
        (command(options=[{**NEEDED, "description": ""}]), "options.description: BASE_TYPE_BAD_LENGTH"),
        (
            command(options=[{**NEEDED, "name": "c", "required": False}, NEEDED]),
            "options: APPLICATION_COMMAND_OPTIONS_REQUIRED_INVALID",
        ),
    ],
)
async def test_a_command_that_discord_refuses(wrong: Json, fault: str) -> None:
    """By POST and among others by PUT, which then changes nothing."""
    async with raw_discord() as raw:
        assert await raw.fault("POST", raw.commands, command("kept")) == "taken"
        assert await raw.fault("POST", raw.commands, wrong) == fault
        assert await raw.fault("PUT", raw.commands, [command("new"), wrong]) == f"1.{fault}"
        assert raw.discord.commands.names() == {"kept"}


async def test_names_and_numbers_of_commands() -> None:
    """No two of the same name and kind, whatever the way; a hundred at most; none for another application."""
    async with raw_discord() as raw:
        same = "1.name: APPLICATION_COMMANDS_DUPLICATE_NAME"
        assert await raw.fault("PUT", raw.commands, [command(), command()]) == same
        assert await raw.fault("PUT", raw.commands, [command(), {"name": "a", "type": 3}]) == "taken"
        assert await raw.code("PUT", "/applications/1/commands", [command()]) == 20012
        _, other = await raw.ask("POST", raw.commands, command("b"))
        one = f"{raw.commands}/{other['id']}"
        assert await raw.fault("PATCH", one, {"name": "a"}) == same.removeprefix("1.")
        assert await raw.fault("PATCH", one, {"description": "e"}) == "taken"
        many = [command(f"c{n}") for n in range(100)]
        assert await raw.fault("PUT", raw.commands, many) == "taken"
        assert await raw.fault("POST", raw.commands, command()) == "name: APPLICATION_COMMAND_TOO_MANY"


async def test_the_cdn_gives_a_file_only_at_a_signed_address_and_for_a_day() -> None:
    """Without the signature, under another name or channel, and a day later, there is nothing."""
    async with raw_discord() as raw, aiohttp.ClientSession() as browser:
        said = await raw.discord.user("alice").say(raw.discord.general, "x", files=[("a.txt", b"abc")])

        async def read(address: str) -> int:
            async with browser.get(address) as answer:
                return answer.status

        address = raw.discord.post.cdn.address(said.attachments[0])
        assert await read(address) == 200
        assert await read(address.split("?")[0]) == 404
        assert await read(address.replace("a.txt", "b.txt")) == 404
        assert await read(address.replace("ex=", "ex=f")) == 404
        assert await read(address.replace(f"/{raw.discord.general.id}/", "/1/")) == 404
        raw.discord.clock.advance(24 * 60 * 60 + 1)
        assert await read(address) == 404
        assert await read(raw.discord.post.cdn.address(said.attachments[0])) == 200


async def test_everybody_together_may_ask_fifty_times_a_second() -> None:
    """The global limit, over all routes, says so."""
    async with raw_discord() as raw:
        raw.discord.limits.enforce = True
        answers = [await raw.ask("GET", f"/users/{raw.discord.world.me.id}") for _ in range(26)]
        answers += [await raw.ask("GET", "/users/@me") for _ in range(26)]
        assert [status for status, _ in answers].count(429) > 0
        assert answers[-1][1]["global"] is True
        assert raw.discord.limits.caused[-1].endswith("(global)")


async def test_what_a_test_orders_happens_once() -> None:
    """A refusal, a lost connection; then all is well. A method that no path has is 405."""
    async with raw_discord() as raw:
        order = f"POST {raw.messages}"
        raw.discord.fail_next(order, 403)
        raw.discord.drop_next(order)
        assert await raw.code("POST", raw.messages, {"content": "x"}) == 50013
        with pytest.raises(aiohttp.ClientConnectionError):
            await raw.ask("POST", raw.messages, {"content": "x"})
        assert raw.discord.general.messages == []
        assert await raw.code("POST", raw.messages, {"content": "x"}) == 0
        assert raw.discord.limits.pending == []
        status, _ = await raw.ask("PUT", raw.messages, {})
        assert status == 405
