"""What Discord refuses of answers to interactions is refused here, with its own code."""

from typing import Any

import pytest

from .raw import Raw, raw_discord
from .server import Interaction, Message
from .server.interactions import (
    ANSWER,
    AUTOCOMPLETE,
    CHOICES,
    COMMAND,
    COMPONENT,
    DEFER,
    DEFER_UPDATE,
    MODAL,
    SHOW_MODAL,
    UPDATE,
)

type Json = dict[str, Any]
NOT_HERE = "type: INTERACTION_CALLBACK_TYPE"
OPTIONS: list[Json] = [
    {"type": 3, "name": "text", "description": "d", "autocomplete": True},
    {"type": 4, "name": "number", "description": "d", "autocomplete": True},
]
BUTTON = {"type": 1, "components": [{"type": 2, "style": 1, "label": "Go", "custom_id": "go"}]}


def text_input(name: str = "a", **changed: Any) -> Json:
    """A row with a text input that is right but for what is changed."""
    inside = {"type": 4, "custom_id": name, "style": 1, "label": "l", **changed}
    return {"type": 1, "components": [inside]}


def form(*rows: Json, **changed: Any) -> Json:
    """A form that is right but for what is changed."""
    return {"title": "t", "custom_id": "c", "components": list(rows or [text_input()]), **changed}


async def opened(raw: Raw, kind: int, focus: str = "text") -> Interaction:
    """A fresh interaction of this kind, unanswered."""
    alice, discord = raw.discord.user("alice"), raw.discord
    if not discord.commands.names():
        await raw.ask("POST", raw.commands, {"name": "do", "description": "d", "options": OPTIONS})
    if kind == AUTOCOMPLETE:
        data = {
            "id": "1",
            "name": "do",
            "type": 1,
            "options": [{**OPTIONS[focus == "number"], "focused": True}],
        }
        return discord.desk.open(AUTOCOMPLETE, alice.account, discord.general, data)
    if kind == COMPONENT:
        return await alice.click(await shown(raw), "go", wait=False)
    made = await alice.slash("do", channel=discord.general, wait=False)
    if kind == MODAL:
        assert await raw.respond(made, SHOW_MODAL, form()) == "taken"
        return await alice.submit_modal(made, a="x", wait=False)
    return made


async def shown(raw: Raw) -> Message:
    """A message of ours with a button."""
    await raw.ask("POST", raw.messages, {"content": "panel", "components": [BUTTON]})
    return raw.discord.general.messages[-1]


EVERY = {ANSWER, DEFER, DEFER_UPDATE, UPDATE, CHOICES, SHOW_MODAL}
BODIES: dict[int, Json] = {
    ANSWER: {"content": "x"},
    UPDATE: {"content": "x"},
    CHOICES: {"choices": []},
    SHOW_MODAL: form(),
}


@pytest.mark.parametrize("answer", sorted(EVERY))
@pytest.mark.parametrize(
    ("kind", "allowed"),
    [
        (COMMAND, {ANSWER, DEFER, SHOW_MODAL}),
        (AUTOCOMPLETE, {CHOICES}),
        (COMPONENT, {ANSWER, DEFER, DEFER_UPDATE, UPDATE, SHOW_MODAL}),
        (MODAL, {ANSWER, DEFER, DEFER_UPDATE}),
    ],
    ids=["command", "autocomplete", "component", "form of a command"],
)
async def test_each_kind_of_interaction_has_its_answers(kind: int, allowed: set[int], answer: int) -> None:
    """A command has no message to change, a form opens no form, only typing has choices."""
    async with raw_discord() as raw:
        made = await opened(raw, kind)
        wanted = "taken" if answer in allowed else NOT_HERE
        assert await raw.respond(made, answer, BODIES.get(answer)) == wanted


async def test_an_answer_is_given_once_and_in_time() -> None:
    """3 s for the first, 15 min for the rest, and nothing before the first."""
    async with raw_discord() as raw:
        hook = f"/webhooks/{raw.discord.world.me.id}/"
        early, late, twice = [await opened(raw, COMMAND) for _ in range(3)]
        assert await raw.code("POST", hook + early.token, {"content": "x"}) == 10015
        assert await raw.respond(twice, ANSWER, {"content": ""}) == "50006"
        assert await raw.respond(twice, ANSWER, {"content": "x" * 2001}) == "content: BASE_TYPE_MAX_LENGTH"
        assert await raw.respond(twice, ANSWER, {"content": "x"}) == "taken"
        assert await raw.respond(twice, ANSWER, {"content": "x"}) == "40060"
        mixed = f"/interactions/{early.id}/{late.token}/callback"
        assert await raw.code("POST", mixed, {"type": ANSWER, "data": {"content": "x"}}) == 10062
        raw.discord.clock.advance(3.1)
        assert await raw.respond(late, ANSWER, {"content": "x"}) == "10062"
        original = f"{hook}{twice.token}/messages/@original"
        assert await raw.code("PATCH", original, {"content": "y"}) == 0
        assert await raw.code("DELETE", original) == 0
        assert await raw.code("PATCH", original, {"content": "z"}) == 10008
        raw.discord.clock.advance(15 * 60)
        assert await raw.code("POST", hook + twice.token, {"content": "x"}) == 50027
        assert await raw.code("GET", original) == 50027


async def test_a_token_reaches_only_its_own_messages() -> None:
    """Neither another interaction's answer nor what everybody sees, and no ephemeral one by its channel."""
    async with raw_discord() as raw:
        one, other = [await opened(raw, COMMAND) for _ in range(2)]
        for made in (one, other):
            assert await raw.respond(made, ANSWER, {"content": "x", "flags": 64}) == "taken"
        hook = f"/webhooks/{raw.discord.world.me.id}/{one.token}/messages"
        for method, body in (("GET", None), ("PATCH", {"content": "y"}), ("DELETE", None)):
            assert await raw.code(method, f"{hook}/{other.message.id}", body) == 10008
            assert await raw.code(method, f"{raw.messages}/{one.message.id}", body) == 10008
        assert await raw.code("PATCH", f"{hook}/{one.message.id}", {"content": "y"}) == 0


@pytest.mark.parametrize(
    ("wrong", "fault"),
    [
        (form(title=""), "data.title: BASE_TYPE_BAD_LENGTH"),
        (form(title="x" * 46), "data.title: BASE_TYPE_BAD_LENGTH"),
        (form(custom_id="x" * 101), "data.custom_id: BASE_TYPE_BAD_LENGTH"),
        (form(components=[]), "data.components: BASE_TYPE_BAD_LENGTH"),
        (form(*map(text_input, "abcdef")), "data.components: BASE_TYPE_BAD_LENGTH"),
        (form(text_input(), text_input()), "data.components: COMPONENT_CUSTOM_ID_DUPLICATED"),
        (form(text_input(label=None)), "data.components.0.components.0.label: BASE_TYPE_REQUIRED"),
        (form(text_input(label="x" * 46)), "data.components.0.components.0.label: BASE_TYPE_MAX_LENGTH"),
        (form(text_input(value="x" * 4001)), "data.components.0.components.0.value: BASE_TYPE_MAX_LENGTH"),
        (
            form(text_input(value="xxx", max_length=2)),
            "data.components.0.components.0.value: BASE_TYPE_MAX_LENGTH",
        ),
        (
            form(text_input(placeholder="x" * 101)),
            "data.components.0.components.0.placeholder: BASE_TYPE_MAX_LENGTH",
        ),
    ],
)
async def test_a_form_that_discord_refuses(wrong: Json, fault: str) -> None:
    """The place and the code; no form is shown."""
    async with raw_discord() as raw:
        made = await opened(raw, COMMAND)
        assert await raw.respond(made, SHOW_MODAL, wrong) == fault
        assert made.modal is None


@pytest.mark.parametrize(
    ("focus", "choices", "fault"),
    [
        ("text", [{"name": str(n), "value": "v"} for n in range(25)], "taken"),
        ("text", [{"name": str(n), "value": "v"} for n in range(26)], "data.choices: BASE_TYPE_MAX_LENGTH"),
        ("text", [{"name": "", "value": "v"}], "data.choices.0.name: BASE_TYPE_BAD_LENGTH"),
        ("text", [{"name": "x" * 101, "value": "v"}], "data.choices.0.name: BASE_TYPE_BAD_LENGTH"),
        ("text", [{"name": "n", "value": "x" * 101}], "data.choices.0.value: BASE_TYPE_BAD_LENGTH"),
        ("text", [{"name": "n", "value": ""}], "data.choices.0.value: BASE_TYPE_BAD_LENGTH"),
        ("text", [{"name": "n", "value": 5}], "data.choices.0.value: BASE_TYPE_BAD_LENGTH"),
        ("number", [{"name": "n", "value": 5}], "taken"),
    ],
)
async def test_choices(focus: str, choices: list[Json], fault: str) -> None:
    """25 of 1 to 100 characters, and a text for an option that takes one."""
    async with raw_discord() as raw:
        assert (
            await raw.respond(await opened(raw, AUTOCOMPLETE, focus), CHOICES, {"choices": choices}) == fault
        )


async def test_choices_are_not_followed_by_a_message() -> None:
    """Who is still typing has asked nothing yet."""
    async with raw_discord() as raw:
        made = await opened(raw, AUTOCOMPLETE)
        assert await raw.respond(made, CHOICES, {"choices": []}) == "taken"
        hook = f"/webhooks/{raw.discord.world.me.id}/{made.token}"
        assert await raw.code("POST", hook, {"content": "x"}) == 50035
