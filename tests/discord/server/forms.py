"""Discord's own checks of what a bot sends: lengths, counts, duplicates, each with its place."""

import re
from itertools import count
from typing import Any

from .errors import DiscordError, invalid_form, too_long

BUTTON, TEXT_INPUT, ROW = 2, 4, 1
STRING = 3
SELECTS = (3, 5, 6, 7, 8)
COMPONENTS_V2 = 1 << 15
COMMAND_NAME = re.compile(r"^[-_'\w]{1,32}$")
type Json = dict[str, Any]


def check_message(body: Json, *, has_files: bool, editing: bool = False) -> None:
    """Content, embeds and components of a create or an edit."""
    content = body.get("content") or ""
    if len(content) > 2000:
        raise too_long("content", 2000)
    embeds = body.get("embeds") or []
    if len(embeds) > 10:
        raise invalid_form("embeds", "BASE_TYPE_MAX_LENGTH", "Must be 10 or fewer in length.")
    for n, embed in enumerate(embeds):
        check_embed(embed, f"embeds.{n}")
    if sum(map(_embed_length, embeds)) > 6000:
        raise invalid_form("embeds", "MAX_EMBED_SIZE_EXCEEDED", "Embed size exceeds maximum size of 6000")
    components = body.get("components") or []
    if not (body.get("flags") or 0) & COMPONENTS_V2:
        check_components(components)
    _check_allowed_mentions(body.get("allowed_mentions") or {})
    something = (content.strip(), embeds, components, has_files, body.get("sticker_ids"), body.get("poll"))
    if not editing and not any(something):
        raise DiscordError(400, 50006, "Cannot send an empty message")


def _check_allowed_mentions(allowed: Json) -> None:
    """A kind is allowed as a whole or by ids, not by both."""
    for kind in ("users", "roles"):
        if kind in (allowed.get("parse") or []) and allowed.get(kind):
            words = f'parse:["{kind}"] and {kind}: [ids...] are mutually exclusive.'
            raise invalid_form("allowed_mentions", "MESSAGE_ALLOWED_MENTIONS_PARSE_EXCLUSIVE", words)


def check_embed(embed: Json, path: str) -> None:
    """One embed's limits."""
    for key, limit in (("title", 256), ("description", 4096)):
        if len(embed.get(key) or "") > limit:
            raise too_long(f"{path}.{key}", limit)
    if len((embed.get("footer") or {}).get("text") or "") > 2048:
        raise too_long(f"{path}.footer.text", 2048)
    fields = embed.get("fields") or []
    if len(fields) > 25:
        raise invalid_form(f"{path}.fields", "BASE_TYPE_MAX_LENGTH", "Must be 25 or fewer in length.")
    for n, one in enumerate(fields):
        for key, limit in (("name", 256), ("value", 1024)):
            if not one.get(key):
                raise invalid_form(f"{path}.fields.{n}.{key}", "BASE_TYPE_REQUIRED", "This field is required")
            if len(one[key]) > limit:
                raise too_long(f"{path}.fields.{n}.{key}", limit)


def _embed_length(embed: Json) -> int:
    texts = [embed.get("title"), embed.get("description"), (embed.get("footer") or {}).get("text")]
    texts.append((embed.get("author") or {}).get("name"))
    for one in embed.get("fields") or []:
        texts += [one.get("name"), one.get("value")]
    return sum(len(text or "") for text in texts)


def check_components(rows: list[Json]) -> None:
    """Rows of buttons or one select each; custom ids present, short and different."""
    if len(rows) > 5:
        raise invalid_form("components", "BASE_TYPE_BAD_LENGTH", "Must be between 1 and 5 in length.")
    seen: set[str] = set()
    for r, row in enumerate(rows):
        inside = row.get("components") or []
        if row.get("type") != ROW or not 1 <= len(inside) <= 5:
            raise invalid_form(
                f"components.{r}", "BASE_TYPE_BAD_LENGTH", "Must be between 1 and 5 in length."
            )
        if any(each.get("type") in SELECTS for each in inside) and len(inside) > 1:
            raise invalid_form(f"components.{r}", "COMPONENT_LAYOUT_WIDTH_EXCEEDED", "The row is too wide")
        for n, each in enumerate(inside):
            _check_component(each, f"components.{r}.components.{n}", seen)


def _check_component(each: Json, path: str, seen: set[str]) -> None:
    custom_id = each.get("custom_id")
    link = each.get("type") == BUTTON and each.get("style") == 5
    if custom_id is None and not link:
        raise invalid_form(f"{path}.custom_id", "BASE_TYPE_REQUIRED", "A custom id is required")
    if custom_id is not None:
        if not 1 <= len(custom_id) <= 100:
            raise invalid_form(
                f"{path}.custom_id", "BASE_TYPE_BAD_LENGTH", "Must be between 1 and 100 in length."
            )
        if custom_id in seen:
            raise invalid_form(
                f"{path}.custom_id",
                "COMPONENT_CUSTOM_ID_DUPLICATED",
                "Component custom id cannot be duplicated",
            )
        seen.add(custom_id)
    if each.get("type") == BUTTON and not (each.get("label") or each.get("emoji")):
        raise invalid_form(f"{path}.label", "BASE_TYPE_REQUIRED", "A button must have a label or an emoji")
    if len(each.get("label") or "") > 80:
        raise too_long(f"{path}.label", 80)
    if len(each.get("placeholder") or "") > 150:
        raise too_long(f"{path}.placeholder", 150)
    if each.get("type") == 3:
        options = each.get("options") or []
        _check_options(options, path)
        if (each.get("max_values") or 1) > len(options):
            raise invalid_form(f"{path}.max_values", "BASE_TYPE_MAX", "More values than options")


def _check_options(options: list[Json], path: str) -> None:
    if not 1 <= len(options) <= 25:
        raise invalid_form(f"{path}.options", "BASE_TYPE_BAD_LENGTH", "Must be between 1 and 25 in length.")
    values = [option["value"] for option in options]
    if len(set(values)) != len(values):
        raise invalid_form(f"{path}.options", "SELECT_COMPONENT_DUPLICATED_OPTION_VALUE", "Duplicated value")
    for n, option in enumerate(options):
        for key in ("label", "value", "description"):
            if len(option.get(key) or "") > 100:
                raise too_long(f"{path}.options.{n}.{key}", 100)


def check_modal(data: Json) -> None:
    """Title, custom id and up to five text inputs."""
    if not 1 <= len(data.get("title") or "") <= 45:
        raise invalid_form("data.title", "BASE_TYPE_BAD_LENGTH", "Must be between 1 and 45 in length.")
    if not 1 <= len(data.get("custom_id") or "") <= 100:
        raise invalid_form("data.custom_id", "BASE_TYPE_BAD_LENGTH", "Must be between 1 and 100 in length.")
    inputs = list(text_inputs(data))
    if not 1 <= len(inputs) <= 5:
        raise invalid_form("data.components", "BASE_TYPE_BAD_LENGTH", "Must be between 1 and 5 in length.")
    names = [each.get("custom_id") for each in inputs]
    if len(set(names)) != len(names):
        raise invalid_form(
            "data.components", "COMPONENT_CUSTOM_ID_DUPLICATED", "Component custom id cannot be duplicated"
        )
    for each in inputs:
        if not each.get("label"):
            raise invalid_form(
                "data.components.0.components.0.label", "BASE_TYPE_REQUIRED", "This field is required"
            )
        if len(each["label"]) > 45:
            raise too_long("data.components.0.components.0.label", 45)
        if len(each.get("value") or "") > min(4000, each.get("max_length") or 4000):
            raise too_long("data.components.0.components.0.value", each.get("max_length") or 4000)
        if len(each.get("placeholder") or "") > 100:
            raise too_long("data.components.0.components.0.placeholder", 100)


def text_inputs(data: Json) -> list[Json]:
    """The text inputs of a modal, in rows or in labels."""
    found = []
    for row in data.get("components") or []:
        inside = row.get("components") or [row.get("component") or {}]
        found += [{"label": row.get("label"), **each} for each in inside if each.get("type") == TEXT_INPUT]
    return found


def check_choices(choices: list[Json], kind: int) -> None:
    """At most 25 choices of 1 to 100 characters, with values of the option's kind."""
    if len(choices) > 25:
        raise invalid_form("data.choices", "BASE_TYPE_MAX_LENGTH", "Must be 25 or fewer in length.")
    for n, choice in enumerate(choices):
        if not 1 <= len(choice.get("name") or "") <= 100:
            raise invalid_form(f"data.choices.{n}.name", "BASE_TYPE_BAD_LENGTH", "Must be between 1 and 100.")
        value = choice.get("value")
        if kind == STRING and not (isinstance(value, str) and 1 <= len(value) <= 100):
            raise invalid_form(
                f"data.choices.{n}.value", "BASE_TYPE_BAD_LENGTH", "Must be between 1 and 100."
            )


def check_command(command: Json, path: str = "") -> None:
    """Name and descriptions of an application command."""
    if command.get("type", 1) == 1:
        if not COMMAND_NAME.match(command["name"]) or command["name"] != command["name"].lower():
            raise invalid_form(f"{path}name", "APPLICATION_COMMAND_INVALID_NAME", "Command name is invalid")
        if not 1 <= len(command.get("description") or "") <= 100:
            raise invalid_form(
                f"{path}description", "BASE_TYPE_BAD_LENGTH", "Must be between 1 and 100 in length."
            )
    optional_seen = False
    for option in command.get("options") or []:
        if option.get("required") and optional_seen:
            raise invalid_form(
                f"{path}options", "APPLICATION_COMMAND_OPTIONS_REQUIRED_INVALID", "Required first"
            )
        optional_seen = optional_seen or (option["type"] > 2 and not option.get("required"))
        check_command({**option, "type": 1}, f"{path}options.")


def shown_components(rows: list[Json] | None) -> list[Json]:
    """Components as Discord gives them back: numbered, without empty keys."""
    numbers = count(1)

    def shown(each: Json) -> Json:
        body = {key: value for key, value in each.items() if value is not None}
        body["id"] = next(numbers)
        if "components" in body:
            body["components"] = [shown(inner) for inner in body["components"]]
        if body["type"] in SELECTS:
            body.setdefault("min_values", 1)
            body.setdefault("max_values", 1)
        return body

    return [shown(row) for row in rows or []]


def shown_embeds(embeds: list[Json] | None) -> list[Json]:
    """Embeds as Discord gives them back."""
    return [{"type": "rich", **{k: v for k, v in embed.items() if v is not None}} for embed in embeds or []]
