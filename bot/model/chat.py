"""Chat Completions, which most compatible servers speak."""

import secrets
from collections.abc import Iterator, Sequence
from typing import Any

from bot.model.adapter import Adapter, Heard, Json
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
    ToolCall,
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
        self._calls: dict[int, dict[str, str]] = {}
        self._reason: str | None = None

    def take(self, event: Any) -> Iterator[Event]:
        if event.usage is not None:
            yield Used(usage=_usage(event.usage))
        for choice in event.choices[:1]:
            self._reason = choice.finish_reason or self._reason
            if choice.delta.content:
                self._text.append(choice.delta.content)
                yield Piece(text=choice.delta.content)
            for part in choice.delta.tool_calls or ():
                yield from self._take_call(part)

    def _take_call(self, part: Any) -> Iterator[Event]:
        begun = part.index not in self._calls
        call = self._calls.setdefault(part.index, {"id": "", "name": "", "arguments": ""})
        call["id"] = part.id or call["id"]
        if part.function is not None:
            call["name"] = part.function.name or call["name"]
            call["arguments"] += part.function.arguments or ""
        if begun:
            yield CallBegun(name=call["name"])

    def finished(self) -> Finished:
        if self._reason is None:
            raise broken()
        if self._reason == "length":
            raise too_long()
        if self._reason == "content_filter":
            raise filtered()
        calls = tuple(
            ToolCall(
                call_id=call["id"] or f"call_{secrets.token_hex(8)}",
                name=call["name"],
                arguments=call["arguments"],
            )
            for _, call in sorted(self._calls.items())
        )
        return Finished(said=Said(text="".join(self._text), calls=calls))


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
                "function": {"name": call.name, "arguments": call.arguments},
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
