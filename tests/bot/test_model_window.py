"""A turn that goes on for long stays within the model's window."""

import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.conversation import Record, converse, system_prompt
from bot.memory import fitted, room_in, tokens
from bot.model import Message, Picture, Said, Text, ToolCall, ToolResult
from bot.tools import TOOLS, Toolbox
from orchestrator import Settings, open_orchestrator
from tests.bot.talks import ALICE, BOTH, QUESTION, Ears, Eyes, connected, unanswered
from tests.discord.model import LocalModel, ModelRequest, call, say

PICTURE = Picture(media_type="image/png", data=b"\x89PNG")
NOTE = Text(role="system", text="The user has no stored files.")


@pytest.fixture
async def toolbox(data_dir: Path) -> AsyncIterator[Toolbox]:
    """Alice's tools, with a long text among her files."""
    async with open_orchestrator(Settings(data_dir=data_dir)) as opened:
        await opened.upload_file(ALICE, b"x" * 50_000, "long.txt")
        yield Toolbox(orchestrator=opened, owner=ALICE, witness=Eyes(), sees=True)


def past(questions: int) -> list[Message]:
    """An earlier conversation, about 340 tokens a question."""
    return [
        each
        for n in range(questions)
        for each in (Text(role="user", text=f"question {n} " + "q" * 500), Said(text="a" * 500))
    ]


def turn(outputs: Sequence[str], pictures: tuple[Picture, ...] = ()) -> list[Message]:
    """Rounds of one call each, with these results."""
    return [
        each
        for n, output in enumerate(outputs)
        for each in (
            Said(text="", calls=(ToolCall(call_id=f"c{n}", name="read_file", arguments="{}"),)),
            ToolResult(call_id=f"c{n}", output=json.dumps({"text": output}), pictures=pictures),
        )
    ]


def size(messages: Sequence[Message]) -> int:
    """Tokens of all of them."""
    return sum(tokens(each) for each in messages)


def frame(history: Sequence[Message]) -> list[Message]:
    """What a question is asked with."""
    return [system_prompt(), *history, NOTE, QUESTION]


def test_what_fits_is_not_touched() -> None:
    """Not even where nothing is left over."""
    asked, added = frame(past(2)), turn(["1", "2"], (PICTURE,))
    assert fitted(asked, added, size([*asked, *added])) == ([*asked, *added], 0)


def test_the_oldest_results_are_shortened_first_and_lose_their_pictures() -> None:
    """The newest stays whole, and so does the history."""
    asked, added = frame(past(2)), turn(["old " * 2_000, "new " * 2_000], (PICTURE,))
    messages, left_out = fitted(asked, added, size([*asked, *added]) - 1_500)
    assert left_out == 0
    assert messages[: len(asked)] == asked
    assert messages[-2:] == added[-2:]
    old = messages[-3]
    assert isinstance(old, ToolResult)
    assert old.pictures == ()
    assert "window is full" in json.loads(old.output)["note"]
    assert "characters left out" in old.output


def test_then_the_oldest_questions_go_and_the_frame_stays() -> None:
    """Whole questions, counted; system, files and question are there."""
    asked, added = frame(past(5)), turn(["new " * 2_000])
    messages, left_out = fitted(asked, added, size([*asked, *added]) - 600)
    assert left_out == 4
    assert messages == [asked[0], *asked[5:], *added]


def test_then_the_newest_results_are_shortened_and_older_rounds_go() -> None:
    """As long as there is room for the newest call, it is answered."""
    asked, added = frame(past(3)), turn(["new " * 2_000] * 40)
    messages, left_out = fitted(asked, added, size(frame([])) + 300)
    assert left_out == 6
    assert size(messages) <= size(frame([])) + 300
    assert messages[-2] == added[-2]
    assert not unanswered(messages)


@given(
    st.integers(0, 5),
    st.lists(st.integers(0, 9_000), max_size=6),
    st.integers(0, 4),
    st.integers(0, 20_000),
)
def test_a_request_fits_wherever_it_can(questions: int, lengths: list[int], seen: int, spare: int) -> None:
    """System, question and one short round always have room here; no call is parted from its result."""
    asked, added = frame(past(questions)), turn(["x" * each for each in lengths], (PICTURE,) * seen)
    room = size(frame([])) + 300 + spare
    messages, left_out = fitted(asked, added, room)
    assert size(messages) <= room
    assert not unanswered(messages)
    assert messages[0] == asked[0]
    assert QUESTION in messages
    assert NOTE in messages
    assert left_out % 2 == 0


def test_tools_and_an_answer_have_room() -> None:
    """What they need is not given to messages."""
    assert room_in(100_000, ()) == 96_000
    assert room_in(2_000, ()) == 1_750
    schemas = json.dumps([[each.name, each.description, each.parameters] for each in TOOLS])
    assert room_in(100_000, ()) - room_in(100_000, TOOLS) >= len(schemas) // 3


@BOTH
async def test_no_request_of_a_long_turn_is_larger_than_the_window(
    model: LocalModel, toolbox: Toolbox, api: str
) -> None:
    """The record keeps everything whole; the newest result is told whole; what went is counted."""
    window, rounds = 10_000, 8
    seen: list[ModelRequest] = []

    def reads(request: ModelRequest) -> object:
        seen.append(request)
        return call("read_file", {"file": "long.txt"}) if len(seen) < rounds else say("Read.")

    model.answer_with(reads)  # type: ignore[arg-type]
    record, history = Record(), past(20)
    async with connected(model, api) as asked:
        await converse(asked, toolbox, frame(history), record, Ears(), max_rounds=rounds, window=window)
    assert len(seen) == rounds
    assert max(len(each.everything) for each in seen) // 3 <= window
    for request in seen[1:]:
        assert "x" * 4_000 in list(request.outputs.values())[-1]
    assert "window is full" in next(iter(seen[-1].outputs.values()))
    assert all("x" * 4_000 in each.output for each in record.messages if isinstance(each, ToolResult))
    assert 0 < record.left_out <= len(history)


async def test_without_a_window_nothing_is_cut(model: LocalModel, toolbox: Toolbox) -> None:
    """The default is no bound."""
    model.script([*[call("read_file", {"file": "long.txt"})] * 6, say("Read.")])
    async with connected(model, "responses") as asked:
        await converse(asked, toolbox, [QUESTION], Record(), Ears(), max_rounds=8)
    assert "window is full" not in model.requests[-1].everything
