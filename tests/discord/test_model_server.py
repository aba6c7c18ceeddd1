"""The local model server is OpenAI to the real openai client, over both APIs."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletionChunk
from openai.types.responses import ResponseStreamEvent
from pydantic import TypeAdapter

from .model import LocalModel, broken, call, cut, error, fail, failed, hang, incomplete, say, usage

EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
TOOL = {"type": "function", "name": "execute_python", "parameters": {"type": "object", "properties": {}}}
MESSAGES: list[Any] = [{"role": "user", "content": "hi"}]


@pytest.fixture
async def client(model: LocalModel) -> AsyncIterator[openai.AsyncOpenAI]:
    """The real client."""
    async with openai.AsyncOpenAI(base_url=model.base_url, api_key=model.api_key, max_retries=0) as made:
        yield made


async def _events(client: openai.AsyncOpenAI, asked: Any = "hi") -> list[Any]:
    stream = await client.responses.create(model="local-large", input=asked, stream=True)
    return [event async for event in stream]


async def _chunks(client: openai.AsyncOpenAI, messages: list[Any] = MESSAGES) -> list[ChatCompletionChunk]:
    stream = await client.chat.completions.create(
        model="local-large", messages=messages, stream=True, stream_options={"include_usage": True}
    )
    return [chunk async for chunk in stream]


async def test_responses_stream_text_and_calls_in_the_published_shape(
    model: LocalModel, client: openai.AsyncOpenAI
) -> None:
    """Each event passes the client's own strict types; text, arguments and usage come whole."""
    model.script([[say("Let me see."), call("execute_python", {"code": "1+1"}), usage(100, 20, cached=5)]])
    events = await _events(client)
    for event in events:
        EVENT.validate_python(event.model_dump(), strict=False)
    kinds = [event.type for event in events]
    assert kinds[:3] == ["response.created", "response.in_progress", "response.output_item.added"]
    text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    done = [event.item for event in events if event.type == "response.output_item.done"]
    assert text == "Let me see."
    assert json.loads(done[1].arguments) == {"code": "1+1"}
    assert kinds.count("response.function_call_arguments.delta") == 3
    final = events[-1].response
    assert (final.status, final.usage.input_tokens, final.usage.output_tokens) == ("completed", 100, 20)
    assert model.unanswered == {done[1].call_id}


async def test_an_answered_call_is_seen_by_the_next_turn(
    model: LocalModel, client: openai.AsyncOpenAI
) -> None:
    """The second turn is a function of the request, which holds the tool's output."""
    model.script([call("execute_python", {}, call_id="c1"), lambda wants: say(wants.outputs["c1"])])
    first = (await _events(client))[-1].response
    history: list[Any] = [{"role": "user", "content": "hi"}, *(item.model_dump() for item in first.output)]
    result = {"type": "function_call_output", "call_id": "c1", "output": "42"}
    second = (await _events(client, [*history, result]))[-1].response
    assert second.output_text == "42"
    assert model.unanswered == set()
    assert model.left == 0


async def test_a_call_without_an_answer_is_refused_as_openai_does(
    client: openai.AsyncOpenAI, model: LocalModel
) -> None:
    """400 naming the call id, in both APIs, and a violation for the test."""
    model.script([say("never")])
    asked = [{"type": "function_call", "call_id": "c9", "name": "f", "arguments": "{}"}]
    with pytest.raises(openai.BadRequestError, match="No tool output found for function call c9"):
        await _events(client, asked)
    function = {"name": "f", "arguments": "{}"}
    called: Any = {
        "role": "assistant",
        "tool_calls": [{"id": "c8", "type": "function", "function": function}],
    }
    with pytest.raises(openai.BadRequestError, match="c8"):
        await _chunks(client, [*MESSAGES, called])
    with pytest.raises(AssertionError, match="c9"):
        model.finish()
    model.violations.clear()


async def test_chat_streams_text_calls_and_usage(model: LocalModel, client: openai.AsyncOpenAI) -> None:
    """Deltas add up, two calls keep their index, the last chunk has the figures."""
    model.script([[say("Hm."), call("a", {"x": 1}), call("b", "{not json"), usage(7, 3)]])
    chunks = await _chunks(client)
    deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
    arguments = ["", ""]
    for delta in deltas:
        for part in delta.tool_calls or []:
            assert part.function is not None
            arguments[part.index] += part.function.arguments or ""
    assert "".join(delta.content or "" for delta in deltas) == "Hm."
    assert arguments == ['{"x": 1}', "{not json"]
    assert chunks[-2].choices[0].finish_reason == "tool_calls"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens == 10


async def test_every_bad_end_of_a_stream(model: LocalModel, client: openai.AsyncOpenAI) -> None:
    """failed, error and incomplete are events; a cut is a silent end; a broken line is an exception."""
    model.script([[say("x"), end] for end in (failed("no"), error("oops"), incomplete(), cut())])
    assert (await _events(client))[-1].type == "response.failed"
    assert (await _events(client))[-1].type == "error"
    assert (await _events(client))[-1].response.incomplete_details.reason == "max_output_tokens"
    assert (await _events(client))[-1].type == "response.output_item.done"
    model.script([[say("x"), broken()]])
    with pytest.raises(Exception, match=r"peer closed|incomplete|disconnect|Connection|read"):
        await _events(client)


async def test_bad_ends_of_chat(model: LocalModel, client: openai.AsyncOpenAI) -> None:
    """An error chunk raises; a cut ends without a reason; `length` is a reason."""
    model.script([[say("x"), failed("no")], [say("x"), cut()], [say("x"), incomplete()]])
    with pytest.raises(openai.APIError, match="no"):
        await _chunks(client)
    assert all(chunk.choices[0].finish_reason is None for chunk in await _chunks(client))
    assert (await _chunks(client))[-2].choices[0].finish_reason == "length"


async def test_http_errors_on_command(model: LocalModel, client: openai.AsyncOpenAI) -> None:
    """401 for a wrong key; 429 and 500 by order or script; the client's own retry gets through."""
    wrong = client.with_options(api_key="sk-wrong")
    with pytest.raises(openai.AuthenticationError):
        await _events(wrong)
    model.fail_next(429, retry_after=0.01)
    model.script([fail(500, "down"), say("fine")])
    with pytest.raises(openai.RateLimitError):
        await _events(client)
    with pytest.raises(openai.InternalServerError, match="down"):
        await _events(client)
    model.fail_next(429, retry_after=0.01)
    assert (await _events(client.with_options(max_retries=1)))[-1].response.output_text == "fine"


async def test_a_hanging_model_is_released_or_abandoned(
    model: LocalModel, client: openai.AsyncOpenAI
) -> None:
    """`release` goes on with the turn; a client that gives up is noticed."""
    model.script([[say("a"), hang(), say("b")], hang()])
    first = asyncio.create_task(_events(client))
    await model.until(lambda: model.hanging)
    model.release()
    assert (await first)[-1].response.output_text == "ab"
    second = asyncio.create_task(_events(client))
    await model.until(lambda: model.hanging)
    second.cancel()
    await asyncio.gather(second, return_exceptions=True)
    await model.until(lambda: model.abandoned == 1)


async def test_models_are_listed_and_an_unscripted_request_is_a_violation(
    model: LocalModel, client: openai.AsyncOpenAI
) -> None:
    """`/v1/models` answers; nothing is invented when the script is over."""
    assert [each.id async for each in client.models.list()] == ["local-large", "local-small"]
    with pytest.raises(openai.BadRequestError, match="script is over"):
        await _events(client)
    assert len(model.violations) == 1
    model.violations.clear()
    model.answer_with(lambda wants: say(wants.text.upper()))
    assert (await _events(client, "shout"))[-1].response.output_text == "SHOUT"
