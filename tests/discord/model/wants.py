"""What a client asked for, the same view over both APIs, and what OpenAI would refuse in it."""

import json
from dataclasses import dataclass
from typing import Any, Literal

type Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class ModelRequest:
    """One request of either API."""

    api: Literal["responses", "chat"]
    body: Json
    n: int
    """0 for the first request that this server ever got."""
    previous: list[Json]
    """Items that `previous_response_id` stands for."""

    @property
    def items(self) -> list[Json]:
        """The conversation: input items of Responses, messages of Chat."""
        if self.api == "chat":
            return list(self.body["messages"])
        sent = self.body["input"]
        return [*self.previous, *([{"role": "user", "content": sent}] if isinstance(sent, str) else sent)]

    @property
    def model(self) -> str:
        """The model's name."""
        return str(self.body["model"])

    @property
    def instructions(self) -> str:
        """`instructions`, and every system or developer message."""
        texts = [self.body.get("instructions") or ""]
        texts += [text_of(each) for each in self.items if each.get("role") in ("system", "developer")]
        return "\n".join(filter(None, texts))

    @property
    def text(self) -> str:
        """The last thing a person said."""
        said = [text_of(each) for each in self.items if each.get("role") == "user"]
        return said[-1] if said else ""

    @property
    def everything(self) -> str:
        """The whole body as JSON text, to look for words in."""
        return json.dumps(self.body, ensure_ascii=False)

    @property
    def tools(self) -> list[str]:
        """Names of the offered functions."""
        tools = self.body.get("tools") or []
        return [tool["name"] if self.api == "responses" else tool["function"]["name"] for tool in tools]

    @property
    def calls(self) -> list[str]:
        """Call ids that the conversation contains."""
        if self.api == "responses":
            return [each["call_id"] for each in self.items if each.get("type") == "function_call"]
        return [one["id"] for each in self.items for one in each.get("tool_calls") or []]

    @property
    def outputs(self) -> dict[str, str]:
        """Tool results by call id (text)."""
        if self.api == "chat":
            return {m["tool_call_id"]: text_of(m) for m in self.items if m.get("role") == "tool"}
        return {
            each["call_id"]: each["output"] if isinstance(each["output"], str) else json.dumps(each["output"])
            for each in self.items
            if each.get("type") == "function_call_output"
        }

    @property
    def images(self) -> list[str]:
        """Addresses (mostly `data:`) of every picture shown, wherever it hangs."""
        return list(_images(self.items))

    def output(self, call_id: str) -> Json:
        """A tool result that is JSON."""
        return dict(json.loads(self.outputs[call_id]))

    def fault(self) -> str | None:
        """Why OpenAI would answer 400, or None."""
        return self._unanswered() or self._tools() or self._roles() or self._reasoning()

    def _unanswered(self) -> str | None:
        answered = self.outputs
        for call_id in self.calls:
            if call_id not in answered:
                return f"No tool output found for function call {call_id}."
        for call_id in answered:
            if call_id not in self.calls:
                return f"No tool call found for function call output with call_id {call_id}."
        if len(set(self.calls)) != len(self.calls):
            return "Duplicate item found: a function call appears twice."
        return None if self.api == "responses" else self._order()

    def _order(self) -> str | None:
        """Chat wants the results right after the message that called."""
        open_calls: set[str] = set()
        for message in self.items:
            if message.get("role") == "tool":
                if message["tool_call_id"] not in open_calls:
                    return "messages with role 'tool' must answer a preceding message with 'tool_calls'."
                open_calls.discard(message["tool_call_id"])
            elif open_calls:
                return "An assistant message with 'tool_calls' must be followed by a tool message for each."
            open_calls |= {one["id"] for one in message.get("tool_calls") or []}
        return None

    def _tools(self) -> str | None:
        for n, tool in enumerate(self.body.get("tools") or []):
            inner = tool if self.api == "responses" else tool.get("function", {})
            if tool.get("type") != "function" or not inner.get("name"):
                return f"Missing required parameter: 'tools[{n}].name'."
            schema = inner.get("parameters") or {}
            if inner.get("strict") and (
                schema.get("additionalProperties") is not False
                or set(schema.get("required", [])) != set(schema.get("properties", {}))
            ):
                return f"Invalid schema for function '{inner['name']}': strict needs every property required."
        return None

    def _roles(self) -> str | None:
        roles = {"user", "assistant", "system", "developer", "tool", None}
        wrong = [each["role"] for each in self.items if each.get("role") not in roles]
        return f"Invalid value: {wrong[0]!r}." if wrong else None

    def _reasoning(self) -> str | None:
        """A reasoning item comes whole, for nothing was stored, and before what it led to."""
        for n, each in enumerate(self.items):
            if each.get("type") != "reasoning":
                continue
            if not each.get("encrypted_content"):
                return f"Item with id '{each.get('id')}' not found: `store` is false."
            after = self.items[n + 1] if n + 1 < len(self.items) else {}
            if after.get("type") not in ("reasoning", "function_call") and after.get("role") != "assistant":
                return f"Item '{each['id']}' of type 'reasoning' was provided without its following item."
        return None


def text_of(item: Json) -> str:
    """The text of a message, whatever form its content has."""
    content = item.get("content") or ""
    if isinstance(content, str):
        return content
    return "".join(part.get("text", "") for part in content)


def _images(node: object) -> "list[str]":
    if isinstance(node, list):
        return [found for each in node for found in _images(each)]
    if not isinstance(node, dict):
        return []
    if node.get("type") == "input_image":
        return [str(node["image_url"])]
    if node.get("type") == "image_url":
        return [str(node["image_url"]["url"])]
    return [found for each in node.values() for found in _images(each)]
