"""Application commands: what the bot registers, globally and for one guild."""

from typing import Any

from .errors import DiscordError, invalid_form, unknown
from .forms import check_command
from .post import Post
from .rest import NO_CONTENT, Answer, Call, Routes

type Json = dict[str, Any]
# What Discord counts: 100 slash commands, 15 user and 15 message commands.
MOST = {1: 100, 2: 15, 3: 15}
TYPES = {"slash": 1, "user": 2, "message": 3}


class Commands:
    """The registry and its handlers; `registered` maps a guild id (None: global) to commands by id."""

    def __init__(self, post: Post) -> None:
        self.world = post.world
        self.registered: dict[int | None, dict[int, Json]] = {}
        self.stubborn = False
        """True: what is written is answered as if it were kept, and is not."""

    def register(self, routes: Routes) -> None:
        """Put the handlers under Discord's templates, global and per guild."""
        for base in (
            "/applications/{application_id}/commands",
            "/applications/{application_id}/guilds/{guild_id}/commands",
        ):
            routes.add("GET", base, self.all)
            routes.add("PUT", base, self.overwrite)
            routes.add("POST", base, self.upsert)
            routes.add("GET", base + "/{command_id}", self.one)
            routes.add("PATCH", base + "/{command_id}", self.change)
            routes.add("DELETE", base + "/{command_id}", self.delete)

    def names(self, kind: str = "slash") -> set[str]:
        """Names of everything registered of this kind: slash, user or message."""
        every = (each for book in self.registered.values() for each in book.values())
        return {each["name"] for each in every if each["type"] == TYPES[kind]}

    def find(self, name: str, kind: int) -> Json:
        """The command that a person would pick; an AssertionError when the bot has not registered it."""
        for book in self.registered.values():
            for command in book.values():
                if command["name"] == name and command["type"] == kind:
                    return command
        have = sorted(each["name"] for book in self.registered.values() for each in book.values())
        raise AssertionError(f"no command {name!r} is registered; there are {have}")

    async def all(self, call: Call) -> object:
        """GET: everything registered there."""
        return list(self._book(call).values())

    async def overwrite(self, call: Call) -> object:
        """PUT: replace everything."""
        if self.stubborn:
            return await self.all(call)
        old = {_key(each): each for each in self._book(call).values()}
        wanted = call.body.json or []
        for n, sent in enumerate(wanted):
            check_command(sent, f"{n}.")
            if _key(sent) in map(_key, wanted[:n]):
                raise _taken(f"{n}.name")
        self._book(call).clear()
        for sent in wanted:
            known = old.get(_key(sent))
            self._put(call, sent, int(known["id"]) if known else None)
        return await self.all(call)

    async def upsert(self, call: Call) -> object:
        """POST: add one, or replace the one of the same name."""
        sent = call.json
        check_command(sent)
        for each in self._book(call).values():
            if _key(each) == _key(sent):
                return self._put(call, sent, int(each["id"]))
        return Answer(status=201, body=self._put(call, sent, None))

    async def one(self, call: Call) -> object:
        """GET: one."""
        return self._one(call)

    async def change(self, call: Call) -> object:
        """PATCH: some keys of one."""
        merged = {**self._one(call), **call.json}
        check_command(merged)
        others = (each for each in self._book(call).values() if each["id"] != merged["id"])
        if _key(merged) in map(_key, others):
            raise _taken("name")
        return self._put(call, merged, int(merged["id"]))

    async def delete(self, call: Call) -> object:
        """DELETE: one."""
        self._one(call)
        del self._book(call)[call.id("command_id")]
        return NO_CONTENT

    def _book(self, call: Call) -> dict[int, Json]:
        if call.id("application_id") != self.world.me.id:
            raise DiscordError(
                403, 20012, "You are not authorized to perform this action on this application"
            )
        where = call.id("guild_id") if "guild_id" in call.parameters else None
        if where is not None and where not in self.world.guilds:
            raise unknown("guild")
        return self.registered.setdefault(where, {})

    def _one(self, call: Call) -> Json:
        command = self._book(call).get(call.id("command_id"))
        if command is None:
            raise unknown("command")
        return command

    def _put(self, call: Call, sent: Json, command_id: int | None) -> Json:
        book, kind = self._book(call), sent.get("type") or 1
        number = command_id or self.world.clock.snowflake()
        if number not in book and sum(each["type"] == kind for each in book.values()) >= MOST[kind]:
            raise invalid_form("name", "APPLICATION_COMMAND_TOO_MANY", "Maximum number of commands reached")
        body: Json = {
            "id": str(number),
            "application_id": str(self.world.me.id),
            "version": str(self.world.clock.snowflake()),
            "type": kind,
            "name": sent["name"],
            "description": sent.get("description") or "",
            "default_member_permissions": sent.get("default_member_permissions"),
            "name_localizations": sent.get("name_localizations"),
            "description_localizations": sent.get("description_localizations"),
            "nsfw": bool(sent.get("nsfw")),
            "integration_types": sent.get("integration_types") or [0],
            "contexts": sent.get("contexts"),
            "dm_permission": sent.get("dm_permission", True) is not False,
        }
        if sent.get("options"):
            body["options"] = [_shown(option) for option in sent["options"]]
        if "guild_id" in call.parameters:
            body["guild_id"] = call.parameters["guild_id"]
            del body["dm_permission"]
        book[number] = body
        self.world.changed()
        return body


def _key(command: Json) -> tuple[str, int]:
    return command["name"], command.get("type") or 1


def _taken(path: str) -> DiscordError:
    return invalid_form(
        path, "APPLICATION_COMMANDS_DUPLICATE_NAME", "Application command names must be unique"
    )


def _shown(option: Json) -> Json:
    """An option as Discord gives it back: no empty keys, but always its localizations."""
    kept = {key: value for key, value in option.items() if value is not None and value not in ([], {})}
    for key in ("name_localizations", "description_localizations"):
        kept[key] = option.get(key)
    if "options" in kept:
        kept["options"] = [_shown(inner) for inner in kept["options"]]
    return kept
