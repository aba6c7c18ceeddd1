"""The Responses API: items in, typed events out."""

from collections.abc import Iterator, Sequence
from typing import Any

from bot.model.adapter import Adapter, Heard, Json
from bot.model.faults import broken, failed, filtered, too_long
from bot.model.port import (
    CallBegun,
    Event,
    Finished,
    Message,
    ModelError,
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


class ResponsesModel(Adapter):
    """A model behind `/responses`. Nothing is stored there: the whole conversation is sent each time."""

    def _heard(self) -> Heard:
        return _Heard()

    async def _ask(self, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> Any:
        request: Json = {
            "model": self.name,
            "input": [item for message in messages for item in _items(message)],
            "stream": True,
            "store": False,
        }
        if tools:
            request["tools"] = [_tool(each) for each in tools]
        return await self._client.responses.create(**request)


class _Heard(Heard):
    def __init__(self) -> None:
        self._text: list[str] = []
        self._calls: list[ToolCall] = []

    def take(self, event: Any) -> Iterator[Event]:
        if event.type in {"response.output_text.delta", "response.refusal.delta"}:
            self._text.append(event.delta)
            yield Piece(text=event.delta)
        elif event.type == "response.output_item.added" and event.item.type == "function_call":
            yield CallBegun(name=event.item.name)
        elif event.type == "response.output_item.done" and event.item.type == "function_call":
            self._calls.append(_call(event.item))
        elif event.type == "response.completed":
            yield from _used(event.response)
            self.over = True
        elif event.type == "response.incomplete":
            yield from _used(event.response)
            raise _cut_off(event.response)
        elif event.type == "response.failed":
            yield from _used(event.response)
            raise failed()
        elif event.type == "error":
            raise failed()

    def finished(self) -> Finished:
        if not self.over:
            raise broken()
        return Finished(said=Said(text="".join(self._text), calls=tuple(self._calls)))


def _items(message: Message) -> Iterator[Json]:
    match message:
        case Text(role=role, text=text, pictures=pictures):
            yield {"role": role, "content": _content(text, pictures)}
        case Said(text=text, calls=calls):
            if text:
                yield {"role": "assistant", "content": text}
            for call in calls:
                yield {
                    "type": "function_call",
                    "call_id": call.call_id,
                    "name": call.name,
                    "arguments": call.arguments,
                }
        case ToolResult(call_id=call_id, output=output, pictures=pictures):
            yield {
                "type": "function_call_output",
                "call_id": call_id,
                "output": _content(output, pictures),
            }


def _content(text: str, pictures: Sequence[Picture]) -> str | list[Json]:
    if not pictures:
        return text
    shown = [{"type": "input_image", "image_url": each.url, "detail": "auto"} for each in pictures]
    return [{"type": "input_text", "text": text}, *shown]


def _tool(spec: ToolSpec) -> Json:
    return {
        "type": "function",
        "name": spec.name,
        "description": spec.description,
        "parameters": dict(spec.parameters),
        "strict": False,
    }


def _call(item: Any) -> ToolCall:
    return ToolCall(call_id=item.call_id, name=item.name, arguments=item.arguments)


def _cut_off(response: Any) -> ModelError:
    why = getattr(response.incomplete_details, "reason", None)
    return filtered() if why == "content_filter" else too_long()


def _used(response: Any) -> Iterator[Used]:
    usage = getattr(response, "usage", None)
    if usage is None:
        return
    details = getattr(usage, "input_tokens_details", None)
    yield Used(
        usage=Usage(
            prompt=usage.input_tokens or 0,
            completion=usage.output_tokens or 0,
            cached=getattr(details, "cached_tokens", 0) or 0,
        )
    )
