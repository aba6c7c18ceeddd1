"""The events of the Responses API, as OpenAI numbers and nests them."""

import secrets
import time
from collections.abc import Iterator
from itertools import count
from typing import Any

from .steps import Call, End, Raw, Reason, Say, Usage

type Json = dict[str, Any]
type Event = Json


class ResponsesVoice:
    """Builds one streamed response; what was said so far is in `output`."""

    done: str | None = None

    def __init__(self, model: str) -> None:
        self.id = f"resp_{secrets.token_hex(16)}"
        self.model = model
        self.output: list[Json] = []
        self._created = time.time()
        self._numbers = count()

    def begin(self) -> Iterator[Event]:
        """created, in_progress."""
        yield self._event("response.created", response=self.body("in_progress"))
        yield self._event("response.in_progress", response=self.body("in_progress"))

    def say(self, step: Say) -> Iterator[Event]:
        """One message item, delta by delta."""
        at, item_id = len(self.output), f"msg_{secrets.token_hex(12)}"
        item: Json = {
            "id": item_id,
            "type": "message",
            "role": "assistant",
            "status": "in_progress",
            "content": [],
        }
        where: Json = {"item_id": item_id, "output_index": at, "content_index": 0}
        yield self._event("response.output_item.added", output_index=at, item=item)
        part = _refusal if step.refusal else _part
        yield self._event("response.content_part.added", **where, part=part(""))
        for piece in step.pieces:
            if step.refusal:
                yield self._event("response.refusal.delta", **where, delta=piece)
            else:
                yield self._event("response.output_text.delta", **where, delta=piece, logprobs=[])
        if step.refusal:
            yield self._event("response.refusal.done", **where, refusal=step.text)
        else:
            yield self._event("response.output_text.done", **where, text=step.text, logprobs=[])
        yield self._event("response.content_part.done", **where, part=part(step.text))
        item = {**item, "status": "completed", "content": [part(step.text)]}
        self.output.append(item)
        yield self._event("response.output_item.done", output_index=at, item=item)

    def call(self, step: Call, call_id: str) -> Iterator[Event]:
        """One function call item, its arguments delta by delta."""
        at, item_id = len(self.output), f"fc_{secrets.token_hex(12)}"
        item: Json = {"id": item_id, "type": "function_call", "status": "in_progress", "call_id": call_id}
        item |= {"name": step.name, "arguments": ""}
        where: Json = {"item_id": item_id, "output_index": at}
        if step.late:
            self.output.append({**item, "status": "completed", "arguments": step.arguments})
            return
        yield self._event("response.output_item.added", output_index=at, item=item)
        for piece in step.pieces:
            yield self._event("response.function_call_arguments.delta", **where, delta=piece)
        whole = {"arguments": step.arguments, "name": step.name}
        yield self._event("response.function_call_arguments.done", **where, **whole)
        item = {**item, "status": "completed", "arguments": step.arguments}
        self.output.append(item)
        yield self._event("response.output_item.done", output_index=at, item=item)

    def reason(self, step: Reason) -> Iterator[Event]:
        """One reasoning item; what is encrypted is whole only at its end."""
        at, item_id = len(self.output), f"rs_{secrets.token_hex(12)}"
        item: Json = {"id": item_id, "type": "reasoning", "summary": []}
        yield self._event("response.output_item.added", output_index=at, item=item)
        if step.text:
            item["summary"] = [{"type": "summary_text", "text": step.text}]
        if step.encrypted is not None:
            item["encrypted_content"] = step.encrypted
        self.output.append(item)
        yield self._event("response.output_item.done", output_index=at, item=item)

    def raw(self, step: Raw) -> Iterator[Event]:
        """An event as another server would send it."""
        yield {"sequence_number": next(self._numbers), **step.fields}

    def end(self, used: Usage) -> Iterator[Event]:
        """completed, with usage."""
        yield self._event("response.completed", response=self.body("completed", used))

    def stop(self, step: End, used: Usage) -> Iterator[Event]:
        """How it ends otherwise; nothing for a cut or a broken line."""
        if step.how == "failed":
            fault = {"code": "server_error", "message": step.message}
            yield self._event("response.failed", response={**self.body("failed", used), "error": fault})
        elif step.how == "error":
            yield self._event("error", code="server_error", message=step.message, param=None)
        elif step.how == "incomplete":
            why = {"reason": "max_output_tokens" if step.reason == "length" else step.reason}
            body = {**self.body("incomplete", used), "incomplete_details": why}
            yield self._event("response.incomplete", response=body)

    def body(self, status: str, used: Usage | None = None) -> Json:
        """The response object itself."""
        body: Json = {
            "id": self.id,
            "object": "response",
            "created_at": self._created,
            "status": status,
            "model": self.model,
            "output": list(self.output) if status != "in_progress" else [],
            "parallel_tool_calls": True,
            "tool_choice": "auto",
            "tools": [],
            "error": None,
            "incomplete_details": None,
            "instructions": None,
            "metadata": {},
            "temperature": 1.0,
            "top_p": 1.0,
            "usage": None,
        }
        if used:
            body["usage"] = {
                "input_tokens": used.prompt,
                "input_tokens_details": {"cached_tokens": used.cached, "cache_write_tokens": 0},
                "output_tokens": used.completion,
                "output_tokens_details": {"reasoning_tokens": used.reasoning},
                "total_tokens": used.prompt + used.completion,
            }
        return body

    def _event(self, kind: str, **rest: Any) -> Event:
        return {"type": kind, "sequence_number": next(self._numbers), **rest}


def _refusal(text: str) -> Json:
    return {"type": "refusal", "refusal": text}


def _part(text: str) -> Json:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
