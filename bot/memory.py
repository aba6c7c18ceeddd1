"""A conversation as rows, and cut to the model's window.

Pictures are not kept, for files outlive them. Neither is what a model thought: it is opaque, so that nobody
could be shown what is kept of them, and another model, which a person may choose at any time, refuses it.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from bot.model import Message, Said, Text, ToolCall, ToolResult

type Json = dict[str, Any]

_BYTES_A_TOKEN = 3
_PICTURE_TOKENS = 1_000
_OVERHEAD = 8
_UNSEEN = "The pictures could not be shown to you."


def dumped(messages: Sequence[Message]) -> list[Json]:
    """Messages as JSON values."""
    return [_dump(each) for each in messages]


def _dump(message: Message) -> Json:
    match message:
        case Text(role=role, text=text):
            return {"role": role, "text": text}
        case Said(text=text, calls=calls):
            kept = [{"id": c.call_id, "name": c.name, "arguments": c.arguments} for c in calls]
            return {"role": "assistant", "text": text, "calls": kept}
        case ToolResult(call_id=call_id, output=output):
            return {"role": "tool", "id": call_id, "text": output}


def loaded(values: Sequence[Json]) -> Iterator[Message]:
    """What `dumped` made, back."""
    for value in values:
        if value["role"] == "tool":
            yield ToolResult(call_id=value["id"], output=value["text"])
        elif value["role"] == "assistant":
            calls = [
                ToolCall(call_id=c["id"], name=c["name"], arguments=c["arguments"]) for c in value["calls"]
            ]
            yield Said(text=value["text"], calls=tuple(calls))
        else:
            yield Text(role=value["role"], text=value["text"])


def tokens(message: Message) -> int:
    """An estimate on the safe side: three UTF-8 bytes a token, where English has four and code has three.

    Only for trimming, never for the bill; a real tokenizer would have to fetch its tables at run time.
    """
    match message:
        case Text(text=text, pictures=pictures):
            return _estimate(text) + _PICTURE_TOKENS * len(pictures)
        case Said(items=items) if items:
            return _estimate(json.dumps(items))
        case Said(text=text, calls=calls):
            return _estimate(text) + sum(_estimate(call.name + call.arguments) for call in calls)
        case ToolResult(output=output, pictures=pictures):
            return _estimate(output) + _PICTURE_TOKENS * len(pictures)


def _estimate(text: str) -> int:
    return _OVERHEAD + -(-len(text.encode("utf-8", "replace")) // _BYTES_A_TOKEN)


def bare(message: Message) -> Message:
    """A message as every model can take it: no pictures, and it says so, and no items of one API."""
    match message:
        case Text(text=text, pictures=pictures) if pictures:
            return replace(message, text=f"{text}\n\n({_UNSEEN})", pictures=())
        case ToolResult(output=output, pictures=pictures) if pictures:
            seen = {**json.loads(output), "pictures": _UNSEEN}
            return replace(message, output=json.dumps(seen, ensure_ascii=False), pictures=())
        case Said(items=items) if items:
            return replace(message, items=())
    return message


def trimmed(history: Sequence[Message], room: int) -> tuple[list[Message], int]:
    """The newest whole questions that fit into `room` tokens, and how many messages were left out.

    Cuts only before a person's message, so that no call is parted from its result.
    """
    starts = [n for n, each in enumerate(history) if isinstance(each, Text) and each.role == "user"]
    used, first = 0, len(history)
    for start in reversed(starts):
        used += sum(tokens(each) for each in history[start:first])
        if used > room:
            break
        first = start
    return list(history[first:]), first
