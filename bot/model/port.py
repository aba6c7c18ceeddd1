"""What a conversation needs of a model, in values that belong to no vendor."""

import base64
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol


def sound(text: str) -> str:
    """`text` as it can be sent and stored: half of a surrogate pair, which has no UTF-8, is replaced.

    Models write them, and one that stayed in a conversation would make every later request of it fail. The
    values below are sound from the beginning; halves that came apart in a stream find each other again.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def _make_sound(value: object, *names: str) -> None:
    for name in names:
        object.__setattr__(value, name, sound(getattr(value, name)))


class ModelError(Exception):
    """The model gave no whole answer; `str(error)` is one sentence for the person who asked.

    `refused`: the server did not take the request as it was, and may take it with less in it.
    """

    def __init__(self, sentence: str, *, refused: bool = False) -> None:
        super().__init__(sentence)
        self.refused = refused


@dataclass(frozen=True, kw_only=True, slots=True)
class Picture:
    """A picture shown to a model that sees."""

    media_type: str
    data: bytes

    @property
    def url(self) -> str:
        """The picture as a data URL."""
        return f"data:{self.media_type};base64,{base64.b64encode(self.data).decode()}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Text:
    """What a person says (`role` user), or what the model is told (`role` system)."""

    role: str
    text: str
    pictures: tuple[Picture, ...] = ()

    def __post_init__(self) -> None:
        _make_sound(self, "text")


@dataclass(frozen=True, kw_only=True, slots=True)
class ToolCall:
    """A call as the model wrote it; `arguments` is its JSON text, which may be malformed."""

    call_id: str
    name: str
    arguments: str

    def __post_init__(self) -> None:
        _make_sound(self, "call_id", "name", "arguments")


@dataclass(frozen=True, kw_only=True, slots=True)
class Said:
    """One turn of the model: words, then calls.

    `items` is the same as its API said it, where that is more, such as what a reasoning model thought:
    opaque, and sent back instead of words and calls while this question is answered, not remembered longer.
    """

    text: str
    calls: tuple[ToolCall, ...] = ()
    items: tuple[Mapping[str, Any], ...] = ()

    def __post_init__(self) -> None:
        _make_sound(self, "text")


@dataclass(frozen=True, kw_only=True, slots=True)
class ToolResult:
    """The answer to one call, JSON text, with the pictures that belong to it."""

    call_id: str
    output: str
    pictures: tuple[Picture, ...] = ()

    def __post_init__(self) -> None:
        _make_sound(self, "call_id", "output")


type Message = Text | Said | ToolResult


@dataclass(frozen=True, kw_only=True, slots=True)
class ToolSpec:
    """A tool as the model is told of it; `parameters` is a JSON schema."""

    name: str
    description: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Usage:
    """Tokens as the API counted them; `cached` is a part of `prompt`."""

    prompt: int = 0
    completion: int = 0
    cached: int = 0

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            prompt=self.prompt + other.prompt,
            completion=self.completion + other.completion,
            cached=self.cached + other.cached,
        )

    def __sub__(self, other: "Usage") -> "Usage":
        return Usage(
            prompt=self.prompt - other.prompt,
            completion=self.completion - other.completion,
            cached=self.cached - other.cached,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Piece:
    """The next piece of the model's words."""

    text: str

    def __post_init__(self) -> None:
        _make_sound(self, "text")


@dataclass(frozen=True, kw_only=True, slots=True)
class CallBegun:
    """The first piece of a call has come; its arguments are still on the way."""

    name: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Used:
    """What the turn has cost so far, as soon as the API tells; the last figures of a turn stand.

    An event of its own, so that a turn which then ends badly is booked as well. Where a stream breaks or is
    cancelled before its API told any, there are none, and none are invented.
    """

    usage: Usage


@dataclass(frozen=True, kw_only=True, slots=True)
class Finished:
    """The last event of a turn that came whole."""

    said: Said


type Event = Piece | CallBegun | Used | Finished


class Model(Protocol):
    """A model that answers with a stream."""

    @property
    def name(self) -> str: ...

    def turn(self, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> AsyncGenerator[Event]:
        """Yield pieces as they come and `Finished` at the end; raises `ModelError` for anything less."""
        ...
