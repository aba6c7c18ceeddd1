"""The chunks of Chat Completions."""

import secrets
import time
from collections.abc import Iterator
from typing import Any

from .steps import Call, End, Raw, Say, Usage

type Json = dict[str, Any]
type Event = Json


class ChatVoice:
    """Builds one streamed completion; `include_usage` adds the chunk with the figures."""

    done: str | None = "[DONE]"

    def __init__(self, model: str, *, include_usage: bool) -> None:
        self.id = f"chatcmpl-{secrets.token_hex(12)}"
        self.model = model
        self._created = int(time.time())
        self._include_usage = include_usage
        self._text = ""
        self._calls: list[Json] = []

    def begin(self) -> Iterator[Event]:
        """The role."""
        yield self._chunk({"role": "assistant", "content": ""})

    def say(self, step: Say) -> Iterator[Event]:
        """Content deltas."""
        for piece in step.pieces:
            yield self._chunk({"refusal" if step.refusal else "content": piece})
        self._text += step.text

    def call(self, step: Call, call_id: str) -> Iterator[Event]:
        """The call's head, then its arguments."""
        at = len(self._calls)
        head = {
            "index": at,
            "id": call_id,
            "type": "function",
            "function": {"name": step.name, "arguments": ""},
        }
        yield self._chunk({"tool_calls": [head]})
        for piece in step.pieces:
            yield self._chunk({"tool_calls": [{"index": at, "function": {"arguments": piece}}]})
        function = {"name": step.name, "arguments": step.arguments}
        self._calls.append({"id": call_id, "type": "function", "function": function})

    def raw(self, step: Raw) -> Iterator[Event]:
        """A chunk as another server would send it."""
        yield {**self._chunk({}), **step.fields}

    def end(self, used: Usage) -> Iterator[Event]:
        """The reason, and the figures if they were asked for."""
        yield self._chunk({}, "tool_calls" if self._calls else "stop")
        if self._include_usage:
            yield {**self._chunk({}), "choices": [], "usage": _figures(used)}

    def stop(self, step: End, used: Usage) -> Iterator[Event]:
        """How it ends otherwise."""
        if step.how in ("failed", "error"):
            yield {
                "error": {
                    "message": step.message,
                    "type": "server_error",
                    "param": None,
                    "code": "server_error",
                }
            }
        elif step.how == "incomplete":
            yield self._chunk({}, step.reason)
            if self._include_usage:
                yield {**self._chunk({}), "choices": [], "usage": _figures(used)}

    def body(self, status: str, used: Usage | None = None) -> Json:
        """The completion object of a request without streaming."""
        message: Json = {"role": "assistant", "content": self._text or None, "refusal": None}
        if self._calls:
            message["tool_calls"] = self._calls
        reason = "length" if status == "incomplete" else "tool_calls" if self._calls else "stop"
        choice = {"index": 0, "message": message, "finish_reason": reason, "logprobs": None}
        head = {"id": self.id, "object": "chat.completion", "created": self._created, "model": self.model}
        return {**head, "choices": [choice], "usage": _figures(used) if used else None}

    def _chunk(self, delta: Json, reason: str | None = None) -> Event:
        choice = {"index": 0, "delta": delta, "finish_reason": reason, "logprobs": None}
        head = {
            "id": self.id,
            "object": "chat.completion.chunk",
            "created": self._created,
            "model": self.model,
        }
        return {**head, "choices": [choice]}


def _figures(used: Usage) -> Json:
    return {
        "prompt_tokens": used.prompt,
        "completion_tokens": used.completion,
        "total_tokens": used.prompt + used.completion,
        "prompt_tokens_details": {"cached_tokens": used.cached},
        "completion_tokens_details": {"reasoning_tokens": used.reasoning},
    }
