"""Whether Discord's set of our commands is the one that we mean."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import nextcord

type Json = Mapping[str, Any]


async def differences(client: nextcord.Client, *, mend: bool = False) -> list[str]:
    """What Discord has registered otherwise than we would, a few words for each command; needs a login.

    `mend` registers our whole set first.
    """
    application = await client.application_info()
    ours = _ours(client)
    if mend:
        await client.http.bulk_upsert_global_commands(application.id, ours)
    return sorted(_compared(ours, await client.http.get_global_commands(application.id)))


def _ours(client: nextcord.Client) -> Sequence[Json]:
    client.add_all_application_commands()
    return [each.get_payload(None) for each in client.get_application_commands()]


def _compared(ours: Sequence[Json], theirs: Sequence[Json]) -> Iterator[str]:
    meant = {_key(each): _shape(each) for each in ours}
    found = {_key(each): _shape(each) for each in theirs}
    yield from (f"{key[1]!r} is missing" for key in meant.keys() - found.keys())
    yield from (f"{key[1]!r} is not ours" for key in found.keys() - meant.keys())
    yield from (
        f"{key[1]!r} has other options or another description"
        for key in meant.keys() & found.keys()
        if meant[key] != found[key]
    )


def _key(command: Json) -> tuple[int, str]:
    return int(command.get("type") or 1), str(command["name"])


def _shape(command: Json) -> object:
    """What a person sees of a command or an option."""
    return (
        _key(command),
        command.get("description") or "",
        bool(command.get("required")),
        bool(command.get("autocomplete")),
        tuple(_shape(each) for each in command.get("options") or ()),
    )
