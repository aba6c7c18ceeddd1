"""Chat Completions, which most compatible servers speak."""

from collections.abc import Iterator, Sequence
from typing import Any

from bot.model.adapter import Adapter, Heard, Json
from bot.model.calls import Calls, as_object
from bot.model.faults import broken, filtered, too_long
from bot.model.port import (
    CallBegun,
    Event,
    Finished,
    Message,
    Picture,
    Piece,
    Said,
    Text,
    ToolResult,
    ToolSpec,
    Usage,
    Used,
)


class ChatModel(Adapter):
    """A model behind `/chat/completions`."""

    def _heard(self) -> Heard:
        return _Heard()

    async def _ask(self, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> Any:
        request: Json = {
            "model": self.name,
            "messages": list(_conversation(messages)),
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if tools:
            request["tools"] = [_tool(each) for each in tools]
        return await self._client.chat.completions.create(**request)


class _Heard(Heard):
    def __init__(self) -> None:
        self._text: list[str] = []
        self._calls = Calls()
        self._reason: str | None = None

    def take(self, event: Any) -> Iterator[Event]:
        # Compatible servers leave out, or send as null, whatever the client's types promise.
        if (usage := getattr(event, "usage", None)) is not None:
            yield Used(usage=_usage(usage))
        for choice in (getattr(event, "choices", None) or ())[:1]:
            self._reason = getattr(choice, "finish_reason", None) or self._reason
            yield from self._take_delta(getattr(choice, "delta", None))

    def _take_delta(self, delta: Any) -> Iterator[Event]:
        for said in (getattr(delta, "content", None), getattr(delta, "refusal", None)):
            if said:
                self._text.append(said)
                yield Piece(text=said)
        for part in getattr(delta, "tool_calls", None) or ():
            if (name := self._calls.take(part)) is not None:
                yield CallBegun(name=name)

    def finished(self) -> Finished:
        if self._reason is None:
            raise broken()
        if self._reason == "length":
            raise too_long()
        if self._reason == "content_filter":
            raise filtered()
        return Finished(said=Said(text="".join(self._text), calls=tuple(self._calls.whole())))


def _conversation(messages: Sequence[Message]) -> Iterator[Json]:
    """In order; pictures follow the last result of a row, for a tool message holds only text."""
    pictures: list[Picture] = []
    for message in messages:
        if not isinstance(message, ToolResult) and pictures:
            yield _shown("Pictures made by the tools:", pictures)
            pictures = []
        match message:
            case Text(role=role, text=text, pictures=seen):
                yield {"role": role, "content": text} if not seen else _shown(text, seen)
            case Said():
                yield _said(message)
            case ToolResult(call_id=call_id, output=output, pictures=seen):
                yield {"role": "tool", "tool_call_id": call_id, "content": output}
                pictures.extend(seen)
    if pictures:
        yield _shown("Pictures made by the tools:", pictures)


def _shown(text: str, pictures: Sequence[Picture]) -> Json:
    parts = [{"type": "image_url", "image_url": {"url": each.url}} for each in pictures]
    return {"role": "user", "content": [{"type": "text", "text": text}, *parts]}


def _said(said: Said) -> Json:
    message: Json = {"role": "assistant", "content": said.text or None}
    if said.calls:
        message["tool_calls"] = [
            {
                "id": call.call_id,
                "type": "function",
                # Chat templates of compatible servers parse them; what was wrong is said by the result.
                "function": {
                    "name": call.name,
                    "arguments": "{}" if as_object(call.arguments) is None else call.arguments,
                },
            }
            for call in said.calls
        ]
    return message


def _tool(spec: ToolSpec) -> Json:
    function = {"name": spec.name, "description": spec.description, "parameters": dict(spec.parameters)}
    return {"type": "function", "function": function}


def _usage(usage: Any) -> Usage:
    details = getattr(usage, "prompt_tokens_details", None)
    return Usage(
        prompt=usage.prompt_tokens or 0,
        completion=usage.completion_tokens or 0,
        cached=getattr(details, "cached_tokens", 0) or 0,
    )
