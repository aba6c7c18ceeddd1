"""What a person's client sends: the data of commands, autocomplete, components and modals."""

from collections.abc import Mapping, Sequence
from typing import Any

from . import payloads
from .forms import SELECTS, text_inputs
from .interactions import Interaction
from .post import Post
from .uploads import store
from .world import Attachment, Channel, Message, Role, User

SUB, GROUP = 1, 2
STRING, INTEGER, BOOLEAN, USER, CHANNEL, ROLE, MENTIONABLE, NUMBER, ATTACHMENT = range(3, 12)
PLAIN: dict[int, type | tuple[type, ...]] = {STRING: str, INTEGER: int, BOOLEAN: bool, NUMBER: (int, float)}
type Json = dict[str, Any]


class Hands:
    """Builds `data` and refuses what Discord's own client would not let a person send."""

    def __init__(self, post: Post, user: User) -> None:
        self._post = post
        self._user = user

    def slash(
        self, command: Json, words: Sequence[str], values: Mapping[str, object], channel: Channel
    ) -> Json:
        """A slash command; `words` are the subcommands, an attachment's value is `(name, bytes)`."""
        resolved: Json = {}
        leaf, path = _leaf(command, words)
        declared = {each["name"]: each for each in leaf.get("options", [])}
        assert set(values) <= set(declared), (
            f"/{command['name']} has {sorted(declared)}, not {sorted(values)}"
        )
        missing = [name for name, each in declared.items() if each.get("required") and name not in values]
        assert not missing, f"/{command['name']} needs {missing}"
        options = [self._option(declared[name], value, channel, resolved) for name, value in values.items()]
        return _wrapped(command, path, options, resolved)

    def focused(self, command: Json, words: Sequence[str], focus: str, typed: str, others: Json) -> Json:
        """The data of an autocomplete: `focus` is being typed, `others` are filled in."""
        leaf, path = _leaf(command, words)
        declared = {each["name"]: each for each in leaf.get("options", [])}
        assert declared[focus].get("autocomplete"), f"{focus!r} of /{command['name']} has no autocomplete"
        filled = [
            {"name": name, "type": declared[name]["type"], "value": value} for name, value in others.items()
        ]
        typing = {"name": focus, "type": declared[focus]["type"], "value": typed, "focused": True}
        return _wrapped(command, path, [*filled, typing], {})

    def context(self, command: Json, target: Message) -> Json:
        """A message context command."""
        resolved = {"messages": {str(target.id): self._post.payload(target)}}
        return {**_head(command), "target_id": str(target.id), "resolved": resolved}

    def component(self, message: Message, wanted: str, values: Sequence[str] | None) -> Json:
        """A click or a selection; a disabled component cannot be used."""
        widget = message.widget(wanted)
        assert not widget.get("disabled"), f"{wanted!r} is disabled"
        data: Json = {"component_type": widget["type"], "custom_id": widget["custom_id"], "id": widget["id"]}
        if widget["type"] in SELECTS:
            chosen = list(values or [])
            assert widget["min_values"] <= len(chosen) <= widget["max_values"], (
                f"wrong number of values: {chosen}"
            )
            offered = [option["value"] for option in widget.get("options", [])]
            assert not offered or set(chosen) <= set(offered), f"{chosen} is not among {offered}"
            data["values"] = chosen
        return data

    def modal(self, interaction: Interaction, values: Mapping[str, str]) -> Json:
        """A modal's submission by custom id or label; inputs not named keep what they were filled with."""
        assert interaction.modal, "this interaction opened no modal"
        unused = dict(values)
        rows: list[Json] = []
        for each in text_inputs(interaction.modal):
            key = next((k for k in (each["custom_id"], each.get("label")) if k in unused), None)
            text = unused.pop(key) if key is not None else (each.get("value") or "")
            assert text or each.get("required") is False, f"{each['custom_id']!r} is required"
            shortest, longest = each.get("min_length") or 0, each.get("max_length") or 4000
            assert shortest <= len(text) <= longest, f"{each['custom_id']!r} takes {shortest} to {longest}"
            inside = {"type": 4, "id": len(rows) * 2 + 2, "custom_id": each["custom_id"], "value": text}
            rows.append({"type": 1, "id": len(rows) * 2 + 1, "components": [inside]})
        assert not unused, f"the modal has no inputs {sorted(unused)}"
        return {"custom_id": interaction.modal["custom_id"], "components": rows}

    def _option(self, declared: Json, value: object, channel: Channel, resolved: Json) -> Json:
        kind, name = declared["type"], declared["name"]
        if kind == ATTACHMENT:
            assert isinstance(value, tuple)
            value = self._resolve(resolved, "attachments", store(channel.world, channel, *value))
        elif kind in (USER, CHANNEL, ROLE, MENTIONABLE):
            kinds = {User: "users", Channel: "channels", Role: "roles"}
            value = self._resolve(resolved, kinds[type(value)], value)
        else:
            assert isinstance(value, PLAIN[kind]), f"{name!r} takes {PLAIN[kind]}, not {value!r}"
            choices = [each["value"] for each in declared.get("choices", [])]
            assert not choices or value in choices, f"{name!r} takes one of {choices}"
            longest = declared.get("max_length") or 6000
            assert not isinstance(value, str) or len(value) <= longest, f"{name!r} takes {longest} characters"
        return {"name": name, "type": kind, "value": value}

    def _resolve(self, resolved: Json, where: str, what: object) -> str:
        if isinstance(what, Attachment):
            number, shown = what.id, self._post.attachment(what)
        elif isinstance(what, User):
            number, shown = what.id, payloads.user(what)
        elif isinstance(what, Channel):
            number, shown = what.id, payloads.channel(what)
        else:
            assert isinstance(what, Role)
            number, shown = what.id, payloads.role(what, 0)
        resolved.setdefault(where, {})[str(number)] = shown
        return str(number)


def _head(command: Json) -> Json:
    head = {"id": command["id"], "name": command["name"], "type": command["type"]}
    return {**head, "guild_id": command["guild_id"]} if "guild_id" in command else head


def _leaf(command: Json, words: Sequence[str]) -> tuple[Json, list[Json]]:
    leaf, path = command, []
    for word in words:
        inside = {each["name"]: each for each in leaf.get("options", [])}
        assert word in inside, f"/{command['name']} has {sorted(inside)}, not {word!r}"
        leaf = inside[word]
        path.append(leaf)
    nested = [each["name"] for each in leaf.get("options", []) if each["type"] in (SUB, GROUP)]
    assert not nested, f"/{command['name']} needs one of {nested}"
    return leaf, path


def _wrapped(command: Json, path: Sequence[Json], options: list[Json], resolved: Json) -> Json:
    for level in reversed(path):
        options = [{"name": level["name"], "type": level["type"], "options": options}]
    data = {**_head(command), "options": options}
    return {**data, "resolved": resolved} if resolved else data
