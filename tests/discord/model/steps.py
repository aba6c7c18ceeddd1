"""What a scripted model does in one turn: a turn is one step or a list of them, in order."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from .wants import ModelRequest


@dataclass(frozen=True, kw_only=True)
class Say:
    """Text, streamed in pieces; a refusal is text of its own kind."""

    text: str
    pieces: tuple[str, ...]
    delay: float = 0.0
    refusal: bool = False


@dataclass(frozen=True, kw_only=True)
class Call:
    """A function call; `arguments` is the JSON text as it is sent, well-formed or not."""

    name: str
    arguments: str
    pieces: tuple[str, ...]
    call_id: str | None = None
    delay: float = 0.0
    late: bool = False
    """Responses: no event of its own, only in the output of `response.completed`."""


@dataclass(frozen=True, kw_only=True)
class Reason:
    """A reasoning item of Responses; Chat Completions says nothing of it."""

    encrypted: str | None
    text: str = ""


@dataclass(frozen=True, kw_only=True)
class Raw:
    """One event as a compatible server may send it: its fields, over those of the usual frame."""

    fields: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Fail:
    """An HTTP error instead of a stream."""

    status: int
    message: str
    code: str | None = None
    retry_after: float | None = None


@dataclass(frozen=True, kw_only=True)
class End:
    """How a stream ends early: failed, error, cut, broken, or incomplete."""

    how: str
    message: str = ""
    reason: str = "length"
    """Why it is incomplete: `length` or `content_filter`."""


@dataclass(frozen=True, kw_only=True)
class Hang:
    """Silence: for `seconds`, or until `release()` or until the client has gone."""

    seconds: float | None = None


@dataclass(frozen=True, kw_only=True)
class Usage:
    """The figures of this turn instead of the counted ones."""

    prompt: int
    completion: int
    cached: int = 0
    reasoning: int = 0


type Step = Say | Call | Reason | Raw | Fail | End | Hang | Usage
type Turn = Step | Sequence[Step]
type Answer = Turn | Callable[[ModelRequest], Turn]


def say(text: str, *, pieces: int = 3, delay: float = 0.0, refusal: bool = False) -> Say:
    """Text in about `pieces` deltas, `delay` seconds before each."""
    return Say(text=text, pieces=_split(text, pieces), delay=delay, refusal=refusal)


def call(
    name: str,
    arguments: dict[str, Any] | str | None = None,
    *,
    pieces: int = 3,
    delay: float = 0.0,
    call_id: str | None = None,
    late: bool = False,
) -> Call:
    """A function call; a string is sent as it is, so that it can be malformed."""
    text = arguments if isinstance(arguments, str) else json.dumps(arguments or {})
    pieces_of = _split(text, pieces)
    return Call(name=name, arguments=text, pieces=pieces_of, delay=delay, call_id=call_id, late=late)


def reason(encrypted: str | None, text: str = "") -> Reason:
    """What a reasoning model thought, as it is given to clients."""
    return Reason(encrypted=encrypted, text=text)


def raw(**fields: Any) -> Raw:
    """An event that no helper here would make."""
    return Raw(fields=fields)


def fail(
    status: int,
    message: str = "scripted failure",
    *,
    code: str | None = None,
    retry_after: float | None = None,
) -> Fail:
    """401, 429, 500 ... before anything is streamed."""
    return Fail(status=status, message=message, code=code, retry_after=retry_after)


def failed(message: str = "The model failed.") -> End:
    """`response.failed`; an error chunk in Chat Completions."""
    return End(how="failed", message=message)


def error(message: str = "An error occurred.") -> End:
    """An `error` event."""
    return End(how="error", message=message)


def cut() -> End:
    """A clean end of the stream without its completion."""
    return End(how="cut")


def broken() -> End:
    """The connection breaks in the middle of the stream."""
    return End(how="broken")


def incomplete(reason: str = "length") -> End:
    """`response.incomplete` (`finish_reason`): out of output tokens, or stopped by the `content_filter`."""
    return End(how="incomplete", reason=reason)


def hang(seconds: float | None = None) -> Hang:
    """Say nothing for a while."""
    return Hang(seconds=seconds)


def think(seconds: float) -> Hang:
    """A pause before what comes next."""
    return Hang(seconds=seconds)


def usage(prompt: int, completion: int, *, cached: int = 0, reasoning: int = 0) -> Usage:
    """Fix the figures of this turn."""
    return Usage(prompt=prompt, completion=completion, cached=cached, reasoning=reasoning)


def steps_of(turn: Turn) -> tuple[Step, ...]:
    """A turn as a sequence."""
    return tuple(turn) if isinstance(turn, Sequence) else (turn,)


def _split(text: str, pieces: int) -> tuple[str, ...]:
    size = max(1, -(-len(text) // max(1, pieces)))
    return tuple(text[at : at + size] for at in range(0, len(text), size))
