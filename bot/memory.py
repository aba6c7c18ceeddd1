"""A conversation as rows, and cut to the model's window.

Pictures are not kept, for files outlive them. Neither is what a model thought: it is opaque, so that nobody
could be shown what is kept of them, and another model, which a person may choose at any time, refuses it.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from bot.model import Message, Said, Text, ToolCall, ToolResult, ToolSpec
from bot.runs import shortened

type Json = dict[str, Any]

_BYTES_A_TOKEN = 3
_PICTURE_TOKENS = 1_000
_OVERHEAD = 8
_ANSWER = 4_000
_SHORTENED = (2_000, 200)
"""Characters that are left of a tool's result when the window is full."""
_CUT = "Shortened, for the window is full, and without its pictures: call again for what is needed."
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


def room_in(window: int, tools: Sequence[ToolSpec]) -> int:
    """Tokens that messages may have: the window without the tools' description and room for an answer."""
    described = sum(_estimate(json.dumps([each.name, each.description, each.parameters])) for each in tools)
    return window - described - min(_ANSWER, window // 8)


def fitted(asked: Sequence[Message], added: Sequence[Message], room: int) -> tuple[list[Message], int]:
    """`asked` and what the turn `added`, made to fit into `room`; and how many older messages that costs.

    The turn's older tool results are shortened first, then the oldest questions go, then the newest results
    are shortened, and at last older rounds of the turn go as a whole. System, question and newest calls stay.
    """
    rounds = list(added)
    newest = max((n for n, each in enumerate(rounds) if isinstance(each, Said)), default=0)
    over = _sum(asked) + _sum(rounds) - room
    over = _shorten(rounds, range(newest), over)
    kept, left_out = _without_oldest(asked, over)
    over -= _sum(asked) - _sum(kept)
    over = _shorten(rounds, range(newest, len(rounds)), over)
    while over > 0 and newest:
        end = next(n for n in range(1, newest + 1) if isinstance(rounds[n], Said))
        over -= _sum(rounds[:end])
        newest -= end
        del rounds[:end]
    return [*kept, *rounds], left_out


def _sum(messages: Sequence[Message]) -> int:
    return sum(tokens(each) for each in messages)


def _shorten(rounds: list[Message], where: range, over: int) -> int:
    """Shorten results from the oldest on, first a little, then much; what is still `over` is returned."""
    whole = list(rounds)
    for characters in _SHORTENED:
        for n in where:
            result = whole[n]
            if over <= 0 or not isinstance(result, ToolResult):
                continue
            values = {"note": _CUT, "result": shortened(result.output, characters)}
            shorter = replace(result, output=json.dumps(values, ensure_ascii=False), pictures=())
            if (gain := tokens(rounds[n]) - tokens(shorter)) > 0:
                rounds[n], over = shorter, over - gain
    return over


def _without_oldest(asked: Sequence[Message], over: int) -> tuple[list[Message], int]:
    """Leave out whole questions before the last one; what the system says stays."""
    if over <= 0:
        return list(asked), 0
    question = max((n for n, each in enumerate(asked) if _role(each) == "user"), default=0)
    old = [n for n in range(question) if _role(asked[n]) != "system"]
    history = [asked[n] for n in old]
    _, left_out = trimmed(history, _sum(history) - over)
    gone = set(old[:left_out])
    return [each for n, each in enumerate(asked) if n not in gone], left_out


def _role(message: Message) -> str | None:
    return message.role if isinstance(message, Text) else None


def trimmed(history: Sequence[Message], room: int) -> tuple[list[Message], int]:
    """The newest whole questions that fit into `room` tokens, and how many messages were left out.

    Cuts only before a person's message, so that no call is parted from its result.
    """
    starts = [n for n, each in enumerate(history) if _role(each) == "user"]
    used, first = 0, len(history)
    for start in reversed(starts):
        used += _sum(history[start:first])
        if used > room:
            break
        first = start
    return list(history[first:]), first
