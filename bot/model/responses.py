"""The Responses API: items in, typed events out."""

import json
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
    sound,
)


class ResponsesModel(Adapter):
    """A model behind `/responses`. Nothing is stored there: the whole conversation is sent each time.

    What a reasoning model thought comes encrypted by default. It is not asked for (`include`): models that do
    not reason, and servers that do not know the word, refuse the request for it.
    """

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
        self._items: list[Json] = []
        self._more = False
        """Whether the items say what words and calls do not."""

    def take(self, event: Any) -> Iterator[Event]:
        if event.type in {"response.output_text.delta", "response.refusal.delta"}:
            self._text.append(event.delta)
            yield Piece(text=event.delta)
        elif event.type == "response.output_item.added" and event.item.type == "function_call":
            yield CallBegun(name=event.item.name)
        elif event.type == "response.output_item.done":
            self._keep(event.item)
        elif event.type == "response.completed":
            yield from _used(event.response)
            yield from self._take_late(event.response)
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
        items = tuple(self._items) if self._more else ()
        return Finished(said=Said(text="".join(self._text), calls=tuple(self._calls), items=items))

    def _keep(self, item: Any) -> None:
        """Without the ids of words and calls: they would name what the server was told not to store."""
        if item.type == "function_call":
            call = ToolCall(call_id=item.call_id, name=item.name, arguments=item.arguments)
            self._calls.append(call)
            self._items.append(_call(call))
        elif item.type == "message":
            parts = (getattr(each, "text", None) or getattr(each, "refusal", None) for each in item.content)
            text = "".join(filter(None, parts))
            phase = {"phase": item.phase} if getattr(item, "phase", None) else {}
            self._items.append({"role": "assistant", "content": sound(text), **phase})
            self._more |= bool(phase)
        elif item.type == "reasoning" and getattr(item, "encrypted_content", None):
            # One that is not encrypted is known to the server by its id alone, and it does not store any.
            kept = item.to_dict(mode="json", exclude_unset=True, exclude_none=True)
            self._items.append(json.loads(sound(json.dumps(kept, ensure_ascii=False))))
            self._more = True

    def _take_late(self, response: Any) -> Iterator[Event]:
        """Calls that some servers name only at the end."""
        known = {each.call_id for each in self._calls}
        for item in getattr(response, "output", None) or ():
            if item.type == "function_call" and item.call_id not in known:
                yield CallBegun(name=item.name)
                self._keep(item)


def _items(message: Message) -> Iterator[Json]:
    match message:
        case Text(role=role, text=text, pictures=pictures):
            yield {"role": role, "content": _content(text, pictures)}
        case Said(items=items) if items:
            yield from (dict(each) for each in items)
        case Said(text=text, calls=calls):
            if text:
                yield {"role": "assistant", "content": text}
            yield from map(_call, calls)
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


def _call(call: ToolCall) -> Json:
    return {
        "type": "function_call",
        "call_id": call.call_id,
        "name": call.name,
        "arguments": call.arguments,
    }


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
