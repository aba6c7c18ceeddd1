"""The Responses API beyond words and calls: what a model thought, refusals, and what servers refuse."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from bot.conversation import Record, converse
from bot.memory import dumped, loaded
from bot.model import Message, ModelError, Picture, Said, Text, ToolCall, ToolResult
from bot.tools import Toolbox
from orchestrator import Settings, open_orchestrator
from tests.bot.talks import ALICE, BOTH, QUESTION, Ears, Eyes, answered, connected
from tests.discord.model import LocalModel, ModelRequest, call, fail, raw, reason, say
from tests.discord.model.steps import Turn

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 40


@pytest.fixture
async def toolbox(data_dir: Path) -> AsyncIterator[Toolbox]:
    """Alice's tools, with one picture among her files."""
    async with open_orchestrator(Settings(data_dir=data_dir)) as opened:
        await opened.upload_file(ALICE, PNG, "plot.png")
        yield Toolbox(orchestrator=opened, owner=ALICE, witness=Eyes(), sees=True)


def thoughts(request: ModelRequest) -> list[dict[str, Any]]:
    """The reasoning items of a request."""
    return [each for each in request.items if each.get("type") == "reasoning"]


async def test_what_a_model_thought_goes_back_before_what_it_led_to(
    model: LocalModel, toolbox: Toolbox
) -> None:
    """Whole and in its place, for as long as the turn goes on; words and calls go without ids."""
    model.script(
        [
            [
                reason("opaque 1", "Files first."),
                call("list_files", {}, call_id="c1"),
                reason("opaque 2"),
                say("Hm. "),
                call("list_files", {}, call_id="c2"),
            ],
            [reason("opaque 3"), call("list_files", {}, call_id="c3")],
            say("One picture."),
        ]
    )
    async with connected(model, "responses") as asked:
        record = await answered(asked, toolbox, Ears())
    kinds = [
        each.get("encrypted_content") or each.get("call_id") or each["content"] for each in record_of(model)
    ]
    assert kinds == [
        "what is it?",
        *("opaque 1", "c1", "opaque 2", "Hm. ", "c2", "c1", "c2"),
        *("opaque 3", "c3", "c3"),
    ]
    assert thoughts(model.requests[2])[0]["summary"] == [{"type": "summary_text", "text": "Files first."}]
    assert all("id" not in each for each in record_of(model) if each.get("type") != "reasoning")
    assert "include" not in model.requests[0].body
    assert list(loaded(dumped(record.messages))) == [
        Said(text=each.text, calls=each.calls) if isinstance(each, Said) else each for each in record.messages
    ], "what is remembered has words and calls alone"


def record_of(model: LocalModel) -> list[dict[str, Any]]:
    """The items of the last request."""
    return model.requests[-1].items


async def test_thoughts_of_an_earlier_question_are_not_sent(model: LocalModel, toolbox: Toolbox) -> None:
    """A conversation that is kept in memory sends words and calls of it."""
    model.script([[reason("opaque"), say("First.")], say("Second.")])
    async with connected(model, "responses") as asked:
        record = await answered(asked, toolbox, Ears())
        history = [QUESTION, *record.messages, Text(role="user", text="and?")]
        await converse(asked, toolbox, history, Record(), Ears(), max_rounds=4)
    assert thoughts(model.requests[1]) == []
    assert model.requests[1].items[1] == {"role": "assistant", "content": "First."}


async def test_thoughts_that_are_not_encrypted_are_not_sent(model: LocalModel, toolbox: Toolbox) -> None:
    """Their id alone would name what the server was told not to store."""
    model.script([[reason(None, "Files."), call("list_files", {})], say("One.")])
    async with connected(model, "responses") as asked:
        await answered(asked, toolbox, Ears())
    assert thoughts(model.requests[1]) == []


async def test_a_phase_goes_back_with_its_words(model: LocalModel, toolbox: Toolbox) -> None:
    """Models that tell comment from answer want to have it back."""
    part = {"type": "output_text", "text": "Let me see.", "annotations": []}
    item = {"id": "m", "type": "message", "role": "assistant", "status": "completed", "content": [part]}
    done = raw(type="response.output_item.done", output_index=0, item={**item, "phase": "commentary"})
    model.script([[done, call("list_files", {})], say("One.")])
    async with connected(model, "responses") as asked:
        await answered(asked, toolbox, Ears())
    assert model.requests[1].items[1] == {
        "role": "assistant",
        "content": "Let me see.",
        "phase": "commentary",
    }


async def test_a_refusal_is_text(model: LocalModel, toolbox: Toolbox) -> None:
    """The person reads why the model will not."""
    model.script([say("I will not.", refusal=True)])
    ears = Ears()
    async with connected(model, "responses") as asked:
        record = await answered(asked, toolbox, ears)
    assert ears.text == "I will not."
    assert record.messages == [Said(text="I will not.")]


async def test_calls_that_only_the_end_names_are_served(model: LocalModel, toolbox: Toolbox) -> None:
    """Each once, whether or not it had an event of its own."""
    model.script(
        [
            [call("list_files", {}, call_id="c1"), call("open_door", {}, call_id="c2", late=True)],
            say("One picture."),
        ]
    )
    ears = Ears()
    async with connected(model, "responses") as asked:
        await answered(asked, toolbox, ears)
    assert list(model.requests[1].outputs) == ["c1", "c2"]
    assert ears.calls == 2


async def test_a_server_that_does_not_take_thoughts_back_is_asked_without(
    model: LocalModel, toolbox: Toolbox
) -> None:
    """Once for the round, and what was computed is not lost."""
    model.script(
        [
            [reason("opaque"), call("list_files", {})],
            lambda wants: fail(400, "Unknown item") if thoughts(wants) else say("never"),
            lambda wants: fail(400, "Unknown item") if thoughts(wants) else say("One picture."),
        ]
    )
    ears = Ears()
    async with connected(model, "responses") as asked:
        record = await answered(asked, toolbox, ears)
    assert ears.text.strip() == "One picture."
    assert record.rounds == 2


def blind(status: int, then: Turn) -> Any:
    """A model that refuses every picture."""
    return lambda wants: fail(status, "Invalid image") if wants.images else then


@BOTH
@pytest.mark.parametrize("status", [400, 404, 422])
async def test_a_picture_that_is_refused_does_not_cost_the_answer(
    model: LocalModel, toolbox: Toolbox, api: str, status: int
) -> None:
    """The round is asked once again without it, and the model is told that it saw none."""
    done = say("A plot.")
    model.script(
        [call("read_file", {"file": "plot.png"}, call_id="c1"), blind(status, done), blind(status, done)]
    )
    ears = Ears()
    async with connected(model, api) as asked:
        record = await answered(asked, toolbox, ears)
    assert ears.text.strip() == "A plot."
    assert [bool(each.images) for each in model.requests] == [False, True, False]
    assert "could not be shown" in model.requests[2].output("c1")["pictures"]
    assert record.messages[-1] == Said(text="A plot.")


@BOTH
async def test_a_picture_of_the_question_that_is_refused_is_told_of(
    model: LocalModel, toolbox: Toolbox, api: str
) -> None:
    """In the question itself; a refusal that has another reason stays one."""
    model.answer_with(blind(400, say("I see none.")))
    asks = Text(role="user", text="look", pictures=(Picture(media_type="image/png", data=PNG),))
    async with connected(model, api) as asked:
        await converse(asked, toolbox, [asks], Record(), Ears(), max_rounds=4)
        assert model.requests[-1].text == "look\n\n(The pictures could not be shown to you.)"
        model.answer_with(lambda _: fail(400))
        with pytest.raises(ModelError, match="/reset"):
            await converse(asked, toolbox, [asks], Record(), Ears(), max_rounds=4)
        assert len(model.requests) == 4
        with pytest.raises(ModelError, match="/reset"):
            await answered(asked, toolbox, Ears())
    assert len(model.requests) == 5, "nothing can be left out, so it is asked once"


def test_what_is_remembered_is_words_and_calls() -> None:
    """Neither pictures nor what a model thought: both come back empty."""
    called = ToolCall(call_id="c", name="list_files", arguments="{}")
    said: list[Message] = [
        Said(text="x", calls=(called,), items=({"type": "reasoning", "encrypted_content": "opaque"},)),
        ToolResult(call_id="c", output="{}", pictures=(Picture(media_type="image/png", data=PNG),)),
    ]
    assert "opaque" not in json.dumps(dumped(said))
    assert list(loaded(dumped(said))) == [
        Said(text="x", calls=(called,)),
        ToolResult(call_id="c", output="{}"),
    ]
