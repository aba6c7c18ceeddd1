"""Tool calls put together from the deltas of Chat Completions, which servers number and name as they like."""

import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from bot.model.port import ToolCall


@dataclass(slots=True)
class _Call:
    index: int | None
    call_id: str
    name: str = ""
    arguments: str = ""

    def take(self, name: str, arguments: str) -> None:
        """The next piece; a name comes in pieces, or whole each time."""
        self.name = name if name.startswith(self.name) else self.name + name
        self.arguments += arguments

    def goes_on(self, name: str, arguments: str) -> bool:
        """Whether a piece that looks like this call's can be: a name and more, once it is whole, cannot."""
        if not name or as_object(self.arguments) is None:
            return True
        return self.name == name and not arguments.strip()


class Calls:
    """The calls of one turn, in the order in which they began."""

    def __init__(self) -> None:
        self._calls: list[_Call] = []

    def take(self, part: Any) -> str | None:
        """The next delta; the name, as far as it is known, of the call that it opens."""
        function = getattr(part, "function", None)
        name = getattr(function, "name", None) or ""
        arguments = getattr(function, "arguments", None) or ""
        index, call_id = getattr(part, "index", None), getattr(part, "id", None) or ""
        call = self._at(index, {call_id, ""} if call_id else None)
        opened = call is None or not call.goes_on(name, arguments)
        if call is None or opened:
            call = _Call(index=index, call_id=call_id)
            self._calls.append(call)
        call.call_id = call.call_id or call_id
        call.index = index if call.index is None else call.index
        call.take(name, arguments)
        return call.name if opened else None

    def whole(self) -> Iterator[ToolCall]:
        """All of them; each has an id of its own, also where the server gave none, or one to several."""
        given: set[str] = set()
        for call in self._calls:
            fresh = call.call_id and call.call_id not in given
            call_id = call.call_id if fresh else f"call_{secrets.token_hex(8)}"
            given.add(call_id)
            yield ToolCall(call_id=call_id, name=call.name, arguments=call.arguments)

    def _at(self, index: int | None, ids: set[str] | None) -> _Call | None:
        """The newest call at this place and with one of these ids, as far as either was told."""
        for call in reversed(self._calls):
            if (index is None or call.index in {index, None}) and (ids is None or call.call_id in ids):
                return call
        return None


def as_object(arguments: str) -> dict[str, Any] | None:
    """The arguments as the JSON object that they should be, None where they are anything else."""
    try:
        value = json.loads(arguments, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _refuse(constant: str) -> object:
    raise ValueError(constant)
