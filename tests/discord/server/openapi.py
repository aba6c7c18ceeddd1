"""Holds every request and every answer against Discord's published OpenAPI document, in its own thread."""

import json
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match
from referencing import Registry
from referencing.jsonschema import DRAFT202012

from tests.discord.document import DOCUMENT

NAME = "urn:discord"
ASKED = "urn:discord:requests"
METHODS = ("get", "put", "post", "patch", "delete")
# How Discord reads a flag in a query.
TRUTH = {"1": True, "true": True, "0": False, "false": False}
type Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """One request and its answer; bodies are parsed JSON, None where there was none."""

    method: str
    template: str
    query: dict[str, str] = field(default_factory=dict)
    asked: Any = None
    status: int
    answered: Any = None
    injected: bool = False

    def __str__(self) -> str:
        return f"{self.method} {self.template} -> {self.status}"


class Document:
    """The published document, with its schemas ready to judge."""

    def __init__(self, path: Path) -> None:
        self._paths: Json = json.loads(path.read_text())
        registry: Registry[Any] = Registry()
        for name, document in ((NAME, _for_answers(self._paths)), (ASKED, _for_requests(self._paths))):
            registry = registry.with_resource(name, DRAFT202012.create_resource(document))
        self._registry = registry
        # Discord names some parameters otherwise than we do: compare paths by their shape.
        self._templates = {_shape(template): template for template in self._paths["paths"]}
        self._judges: dict[str, Draft202012Validator] = {}

    def faults(self, exchange: Exchange) -> list[str]:
        """Everything about the exchange that the document does not allow."""
        template = self._templates.get(_shape(exchange.template))
        operation = self._paths["paths"].get(template, {}).get(exchange.method.lower())
        if template is None or operation is None:
            return [f"{exchange}: not in the published document"]
        where = f"/paths/{template.replace('~', '~0').replace('/', '~1')}/{exchange.method.lower()}"
        return [
            f"{exchange}: {fault}"
            for part in (self._query, self._request, self._answer)
            for fault in part(operation, where, exchange)
        ]

    def _query(self, operation: Json, where: str, exchange: Exchange) -> list[str]:
        faults = []
        known = {
            each["name"]: n for n, each in enumerate(operation.get("parameters", [])) if each["in"] == "query"
        }
        for name, text in exchange.query.items():
            if name not in known:
                faults.append(f"query parameter {name!r} is not in the document")
                continue
            values = (text, _parsed(text), TRUTH.get(text.lower(), text))
            wrong = [self._judge(f"{where}/parameters/{known[name]}/schema", value) for value in values]
            if all(wrong):
                faults.append(f"query parameter {name}={text!r}: {wrong[0]}")
        return faults

    def _request(self, operation: Json, where: str, exchange: Exchange) -> list[str]:
        if "requestBody" not in operation:
            return ["a body was sent, none is described"] if exchange.asked not in (None, {}) else []
        if exchange.asked is None:
            return ["the required body is missing"] if operation["requestBody"].get("required") else []
        fault = self._judge(f"{where}/requestBody/content/application~1json/schema", exchange.asked, ASKED)
        return [f"request: {fault}"] if fault else []

    def _answer(self, operation: Json, where: str, exchange: Exchange) -> list[str]:
        if exchange.injected and exchange.status >= 500:
            return []  # The document has nothing to say about a broken Discord.
        responses = operation["responses"]
        key = next((k for k in (str(exchange.status), f"{exchange.status // 100}XX") if k in responses), None)
        if key is None:
            return [f"status {exchange.status} is not in the document"]
        at = f"{where}/responses/{key}"
        if "$ref" in responses[key]:
            at = responses[key]["$ref"].removeprefix("#")
        described = self._at(at).get("content", {}).get("application/json")
        if described is None:
            return ["an answer was sent, none is described"] if exchange.answered is not None else []
        fault = self._judge(f"{at}/content/application~1json/schema", exchange.answered)
        return [f"answer: {fault}"] if fault else []

    def _at(self, pointer: str) -> Json:
        node: Any = self._paths
        for part in pointer.strip("/").split("/"):
            node = node[part.replace("~1", "/").replace("~0", "~")]
        return dict(node)

    def _judge(self, pointer: str, value: object, document: str = NAME) -> str | None:
        where = f"{document}#{quote(pointer, safe='/~')}"
        if where not in self._judges:
            self._judges[where] = Draft202012Validator({"$ref": where}, registry=self._registry)
        judge = self._judges[where]
        if judge.is_valid(value):
            return None
        error = best_match(judge.iter_errors(value))
        return f"{error.json_path}: {error.message[:300]}"


@cache
def document() -> Document | None:
    """The document where it lies beside the repository, None where it does not."""
    return Document(DOCUMENT) if DOCUMENT.is_file() else None


class Checker:
    """Collects violations in the background, so that judging costs the conversation nothing."""

    def __init__(self) -> None:
        self.present = DOCUMENT.is_file()
        self.violations: list[str] = []
        self.judged = 0
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="discord-openapi")

    def submit(self, exchange: Exchange) -> None:
        """Judge this one some time before `finish` returns."""
        if self.present:
            self._worker.submit(self._judge, exchange)

    def _judge(self, exchange: Exchange) -> None:
        try:
            book = document()
            assert book is not None
            self.violations += book.faults(exchange)
            self.judged += 1
        except Exception as fault:  # noqa: BLE001  (a judge that breaks down must fail the test)
            self.violations.append(f"{exchange}: the check itself failed: {fault!r}")

    def finish(self) -> None:
        """Wait for everything submitted (blocking: call it in a thread)."""
        self._worker.submit(int).result()

    def close(self) -> None:
        """Finish and end the thread (blocking)."""
        self.present = False
        self._worker.shutdown(wait=True)


def _with_schemas(document: Json, changed: Json) -> Json:
    parts = document["components"]
    return {**document, "components": {**parts, "schemas": {**parts["schemas"], **changed}}}


def _for_answers(document: Json) -> Json:
    """The document says that a form fault's code is a number; Discord sends words (`BASE_TYPE_...`)."""
    fault = {"type": "object", "required": ["code", "message"], "properties": {"code": {"type": "string"}}}
    inner = document["components"]["schemas"]["InnerErrors"]
    listed = {**inner["properties"]["_errors"], "items": fault}
    return _with_schemas(document, {"InnerErrors": {**inner, "properties": {"_errors": listed}}})


def _for_requests(document: Json) -> Json:
    """Discord also takes an id as a number, and nextcord sends some so."""
    number = {"type": ["string", "integer"], "pattern": "^(0|[1-9][0-9]*)$"}
    return _with_schemas(document, {"SnowflakeType": number})


def _shape(template: str) -> str:
    return re.sub(r"\{[^}]+\}", "{}", template)


def _parsed(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return text
