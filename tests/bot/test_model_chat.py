"""Chat Completions as compatible servers speak it: deltas in every shape come to the same calls."""

from typing import Any

import pytest

from bot.model import CallBegun, Event, Finished, Message, ModelError, Piece, Said, Text, ToolCall, ToolResult
from tests.bot.talks import QUESTION, connected
from tests.discord.model import LocalModel, call, incomplete, raw, say
from tests.discord.model.steps import Raw, Step


def piece(
    *,
    at: int | None = None,
    call_id: str | None = None,
    name: str | None = None,
    arguments: str | None = None,
) -> dict[str, Any]:
    """One delta of a call with only what is given."""
    function = {key: value for key, value in (("name", name), ("arguments", arguments)) if value is not None}
    part: dict[str, Any] = {"function": function}
    if at is not None:
        part["index"] = at
    if call_id is not None:
        part["id"] = call_id
    return part


def chunk(*parts: dict[str, Any], end: bool = False) -> Raw:
    """A chunk with these deltas of calls; `end` gives the reason, as the last one does."""
    delta = {"tool_calls": list(parts)} if parts else {}
    return raw(choices=[{"index": 0, "delta": delta, "finish_reason": "tool_calls" if end else None}])


async def heard(server: LocalModel, *steps: Step, before: tuple[Message, ...] = ()) -> list[Event]:
    """Every event of one turn."""
    server.script([list(steps)])
    async with connected(server, "chat") as model:
        return [event async for event in model.turn([QUESTION, *before], ())]


async def said_of(server: LocalModel, *steps: Step) -> Said:
    """What it was in the end; every call was announced once."""
    events = await heard(server, *steps)
    last = events[-1]
    assert isinstance(last, Finished)
    assert len([each for each in events if isinstance(each, CallBegun)]) == len(last.said.calls)
    return last.said


FIRST, SECOND = ("list_files", "{}"), ("read_file", '{"file": "a"}')
SHAPES = {
    "each with its index": [
        piece(at=0, call_id="a", name=FIRST[0], arguments=""),
        piece(at=0, arguments="{}"),
        piece(at=1, call_id="b", name=SECOND[0], arguments=""),
        piece(at=1, arguments='{"file": '),
        piece(at=1, arguments='"a"}'),
    ],
    "indices that do not begin at 0, in disorder": [
        piece(at=3, call_id="a", name=FIRST[0]),
        piece(at=1, call_id="b", name=SECOND[0]),
        piece(at=1, arguments='{"file": "a"}'),
        piece(at=3, arguments="{}"),
    ],
    "no index, ids": [
        piece(call_id="a", name=FIRST[0], arguments="{}"),
        piece(call_id="b", name=SECOND[0], arguments='{"file"'),
        piece(arguments=': "a"}'),
    ],
    "index 0 for all, ids": [
        piece(at=0, call_id="a", name=FIRST[0], arguments="{}"),
        piece(at=0, call_id="b", name=SECOND[0], arguments='{"file"'),
        piece(at=0, arguments=': "a"}'),
    ],
    "index 0 for all, ids repeated": [
        piece(at=0, call_id="a", name=FIRST[0], arguments="{"),
        piece(at=0, call_id="a", arguments="}"),
        piece(at=0, call_id="b", name=SECOND[0], arguments='{"file"'),
        piece(at=0, call_id="b", name=SECOND[0], arguments=': "a"}'),
    ],
    "neither index nor id": [
        piece(name=FIRST[0], arguments="{}"),
        piece(name=SECOND[0], arguments='{"file"'),
        piece(arguments=': "a"}'),
    ],
    "empty ids": [
        piece(at=0, call_id="", name=FIRST[0], arguments="{}"),
        piece(at=1, call_id="", name=SECOND[0], arguments='{"file": "a"}'),
    ],
    "one id for all": [
        piece(at=0, call_id="a", name=FIRST[0], arguments="{}"),
        piece(at=1, call_id="a", name=SECOND[0], arguments='{"file": "a"}'),
    ],
    "an index that comes late": [
        piece(call_id="a", name=FIRST[0]),
        piece(at=0, arguments="{}"),
        piece(call_id="b", name=SECOND[0]),
        piece(at=1, arguments='{"file": "a"}'),
    ],
    "an id that comes late": [
        piece(at=0, name=FIRST[0]),
        piece(at=0, call_id="a", arguments="{}"),
        piece(at=1, name=SECOND[0]),
        piece(at=1, call_id="b", arguments='{"file": "a"}'),
    ],
    "names in pieces": [
        piece(at=0, call_id="a", name="list_"),
        piece(at=0, name="files"),
        piece(at=0, arguments="{}"),
        piece(at=1, call_id="b", name="read"),
        piece(at=1, name="_file", arguments='{"file": "a"}'),
    ],
    "names in every delta": [
        piece(at=0, call_id="a", name=FIRST[0], arguments="{"),
        piece(at=0, name=FIRST[0], arguments="}"),
        piece(at=0, name=FIRST[0], arguments=""),
        piece(at=1, call_id="b", name=SECOND[0], arguments='{"file": '),
        piece(at=1, name=SECOND[0], arguments='"a"}'),
    ],
}


@pytest.mark.parametrize("shape", SHAPES)
async def test_two_calls_are_two_calls_in_every_shape(model: LocalModel, shape: str) -> None:
    """However a server numbers and names its deltas: in the order of their beginning, each with an id."""
    said = await said_of(model, *[chunk(each) for each in SHAPES[shape]], chunk(end=True))
    assert [(each.name, each.arguments) for each in said.calls] == [FIRST, SECOND]
    assert len({each.call_id for each in said.calls} - {""}) == 2
    if "ids" in shape and "empty" not in shape:
        assert [each.call_id for each in said.calls] == ["a", "b"]


async def test_the_same_call_twice_is_two_calls(model: LocalModel) -> None:
    """Whole calls without index and id, in one chunk."""
    whole = piece(name="list_files", arguments="{}")
    said = await said_of(model, chunk(whole, whole, end=True))
    assert [each.name for each in said.calls] == ["list_files"] * 2


async def test_what_is_null_or_missing_is_nothing(model: LocalModel) -> None:
    """A server that sends null where the types promise lists is understood all the same."""
    said = await said_of(
        model,
        raw(choices=None),
        raw(choices=[{"index": 0, "delta": None, "finish_reason": None}]),
        raw(choices=[{"index": 0, "delta": {"content": None, "tool_calls": None}, "finish_reason": None}]),
        raw(choices=[{"index": 0}]),
        raw(choices=[{"index": 0, "delta": {"tool_calls": [{"index": 0, "id": "a", "function": None}]}}]),
        chunk(piece(at=0, name="list_files", arguments=None), end=True),
        say("fine"),
    )
    assert (said.text, [each.name for each in said.calls]) == ("fine", ["list_files"])


async def test_a_refusal_is_text(model: LocalModel) -> None:
    """The person reads why the model will not."""
    events = await heard(model, say("I will not.", refusal=True))
    assert "".join(each.text for each in events if isinstance(each, Piece)) == "I will not."
    assert events[-1] == Finished(said=Said(text="I will not."))


async def test_a_filtered_answer_is_not_a_whole_one(model: LocalModel) -> None:
    """It has a sentence of its own."""
    with pytest.raises(ModelError, match="content filter"):
        await heard(model, say("So far"), incomplete("content_filter"))


@pytest.mark.parametrize("arguments", ["{not json", "[]", "", '{"a": NaN}', '{"a": ' + "[" * 100_000])
async def test_malformed_arguments_do_not_go_back_to_the_server(model: LocalModel, arguments: str) -> None:
    """Strict chat templates parse the history; well-formed arguments come back as they were."""
    before = (
        Said(
            text="",
            calls=(
                ToolCall(call_id="a", name="read_file", arguments=arguments),
                ToolCall(call_id="b", name="read_file", arguments=SECOND[1]),
            ),
        ),
        ToolResult(call_id="a", output='{"error": "no"}'),
        ToolResult(call_id="b", output="{}"),
        Text(role="user", text="and?"),
    )
    await heard(model, say("fine"), before=before)
    (sent,) = [each["tool_calls"] for each in model.requests[0].items if each.get("tool_calls")]
    assert [each["function"]["arguments"] for each in sent] == ["{}", SECOND[1]]


async def test_the_usual_server_is_understood_as_before(model: LocalModel) -> None:
    """Words, then two calls, as OpenAI streams them."""
    said = await said_of(model, say("Hm."), call(*FIRST, call_id="a"), call(*SECOND, call_id="b"))
    assert said.text == "Hm."
    assert [(each.call_id, each.name, each.arguments) for each in said.calls] == [
        ("a", *FIRST),
        ("b", *SECOND),
    ]
