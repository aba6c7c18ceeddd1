"""A conversation as one of its members may see it, without what a tool told of another's private files."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bot.model import Message, Said, Text, ToolResult

_PRIVATE = frozenset({"read_file", "list_files", "delete_file"})
"""Tools whose results were never shown to anybody but the model; an execution's were."""
_WITHHELD = json.dumps({"note": "This was told of another person's files and is not shown here."})


@dataclass(frozen=True, kw_only=True, slots=True)
class History:
    """What was said before, oldest first; `cut` where there is more than is ever looked back."""

    messages: tuple[Message, ...] = ()
    cut: bool = False


def as_seen_by(reader: int | None, author: int, exchange: Sequence[Message]) -> Iterator[Message]:
    """The exchange of `author` for the eyes of `reader` (None: the author's own), who is told whose it is."""
    if reader is None or reader == author:
        yield from exchange
        return
    private = {
        call.call_id
        for each in exchange
        if isinstance(each, Said)
        for call in each.calls
        if call.name in _PRIVATE
    }
    for message in exchange:
        match message:
            case ToolResult(call_id=call_id) if call_id in private:
                yield ToolResult(call_id=call_id, output=_WITHHELD)
            case Text(role="user", text=text):
                yield Text(role="user", text=f"(Another person, id {author}, says:)\n{text}")
            case _:
                yield message
