"""The server: two endpoints that stream a script, `/v1/models`, and what it noticed about its client."""

import asyncio
import json
import secrets
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, Self

from aiohttp import web

from .chat import ChatVoice
from .responses import ResponsesVoice
from .steps import Answer, Call, End, Fail, Hang, Raw, Reason, Say, Step, Turn, Usage, steps_of
from .wants import ModelRequest

API_KEY = "sk-local-model"
MODELS = ("local-large", "local-small")
type Json = dict[str, Any]
type Voice = ResponsesVoice | ChatVoice


class GoneError(Exception):
    """The client hung up."""


class LocalModel:
    """`async with LocalModel() as model:` serves `model.base_url` on a free port of 127.0.0.1.

    Turns come from `script([...])` in order, then from `answer_with(function)`; a request without a turn is a
    400 and a violation. `finish()` raises an AssertionError for every violation.
    """

    def __init__(self) -> None:
        self.api_key = API_KEY
        self.requests: list[ModelRequest] = []
        self.violations: list[str] = []
        self.abandoned = 0
        self.hanging = 0
        self.peers: set[object] = set()
        """Who asked for turns: one address and port a connection."""
        self.linger = False
        """Keep the connection of a whole stream open, as some compatible servers do."""
        self.issued: list[str] = []
        self.spoken: list[float] = []
        """The loop's time at the last byte of each whole stream."""
        self._script: deque[Answer] = deque()
        self._always: Callable[[ModelRequest], Turn] | None = None
        self._ordered: deque[Fail] = deque()
        self._release = asyncio.Event()
        self._said: dict[str, list[Json]] = {}
        self._changed = asyncio.Condition()

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=256 * 1024 * 1024)
        app.router.add_post("/v1/responses", self._responses)
        app.router.add_post("/v1/chat/completions", self._chat)
        app.router.add_get("/v1/models", self._models)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.base_url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/v1"
        return self

    async def __aexit__(self, *_: object) -> None:
        self.release()
        await self._runner.cleanup()

    def script(self, turns: Sequence[Answer]) -> None:
        """Add turns; each is a step, a list of steps, or a function of the request that gives one."""
        self._script.extend(turns)

    def answer_with(self, function: Callable[[ModelRequest], Turn]) -> None:
        """What answers when the script is over."""
        self._always = function

    def fail_next(self, status: int, times: int = 1, *, retry_after: float | None = None) -> None:
        """Answer the next requests with an error, before the script (401, 429, 500 ...)."""
        fault = Fail(status=status, message=f"ordered {status}", retry_after=retry_after)
        self._ordered.extend([fault] * times)

    def release(self) -> None:
        """Let everything that hangs go on; later hangs hang again."""
        self._release.set()
        self._release = asyncio.Event()

    @property
    def unanswered(self) -> set[str]:
        """Ids of calls that the model made and whose result no later request brought."""
        return set(self.issued) - {call_id for each in self.requests for call_id in each.outputs}

    @property
    def left(self) -> int:
        """Turns of the script that nobody asked for yet."""
        return len(self._script)

    def finish(self) -> None:
        """Fail with everything that OpenAI would have refused."""
        assert not self.violations, "OpenAI would refuse:\n" + "\n".join(self.violations)

    async def until(self, look: Callable[[], object], timeout: float = 10.0) -> None:
        """Wait until `look()` is true; looked at again when a request comes, hangs, goes or is served."""
        async with asyncio.timeout(timeout), self._changed:
            await self._changed.wait_for(lambda: bool(look()))

    async def _responses(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        return await self._serve(request, "responses", body, ResponsesVoice(body["model"]))

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        wanted = bool((body.get("stream_options") or {}).get("include_usage"))
        return await self._serve(request, "chat", body, ChatVoice(body["model"], include_usage=wanted))

    async def _models(self, request: web.Request) -> web.StreamResponse:
        if refused := self._refusal(request):
            return refused
        models = [{"id": name, "object": "model", "created": 0, "owned_by": "local"} for name in MODELS]
        return web.json_response({"object": "list", "data": models})

    async def _serve(
        self, http: web.Request, api: Literal["responses", "chat"], body: Json, voice: Voice
    ) -> web.StreamResponse:
        if http.transport is not None:
            self.peers.add(http.transport.get_extra_info("peername"))
        if refused := self._refusal(http):
            return refused
        previous = self._said.get(body.get("previous_response_id") or "", [])
        wants = ModelRequest(api=api, body=body, n=len(self.requests), previous=previous)
        self.requests.append(wants)
        await self._tell()
        if fault := wants.fault():
            self.violations.append(fault)
            return _error(400, fault)
        turn = self._turn(wants)
        steps = steps_of(turn)
        if isinstance(steps[0], Fail):
            return _error(steps[0].status, steps[0].message, steps[0].code, steps[0].retry_after)
        used = next((each for each in steps if isinstance(each, Usage)), None) or _counted(wants, steps)
        if not body.get("stream"):
            return self._whole(voice, steps, used)
        response = await self._stream(http, voice, steps, used)
        if isinstance(voice, ResponsesVoice):
            self._said[voice.id] = [*wants.items, *voice.output]
        return response

    def _refusal(self, http: web.Request) -> web.Response | None:
        if http.headers.get("Authorization") != f"Bearer {self.api_key}":
            return _error(401, "Incorrect API key provided.", "invalid_api_key")
        if self._ordered:
            ordered = self._ordered.popleft()
            return _error(ordered.status, ordered.message, ordered.code, ordered.retry_after)
        return None

    def _turn(self, wants: ModelRequest) -> Turn:
        answer: Answer | None = self._script.popleft() if self._script else self._always
        if answer is None:
            self.violations.append(f"request {wants.n} was not in the script: {wants.text[:200]!r}")
            return Fail(status=400, message="The script is over.")
        return answer(wants) if callable(answer) else answer

    def _events(self, voice: Voice, step: Step, used: Usage) -> Iterator[Json]:
        if isinstance(step, Say):
            yield from voice.say(step)
        elif isinstance(step, Call):
            call_id = step.call_id or f"call_{secrets.token_hex(12)}"
            self.issued.append(call_id)
            yield from voice.call(step, call_id)
        elif isinstance(step, Reason) and isinstance(voice, ResponsesVoice):
            yield from voice.reason(step)
        elif isinstance(step, Raw):
            yield from voice.raw(step)
        elif isinstance(step, End):
            yield from voice.stop(step, used)

    def _whole(self, voice: Voice, steps: Sequence[Step], used: Usage) -> web.Response:
        for step in steps:
            deque(self._events(voice, step, used), maxlen=0)
        return web.json_response(voice.body("completed", used))

    async def _stream(
        self, http: web.Request, voice: Voice, steps: Sequence[Step], used: Usage
    ) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
        response.enable_chunked_encoding()
        await response.prepare(http)
        try:
            await self._speak(http, response, voice, steps, used)
            self.spoken.append(asyncio.get_running_loop().time())
            await self._tell()
            if self.linger:
                await self._hang(http, Hang())
        except (GoneError, ConnectionError):
            self.abandoned += 1
            await self._tell()
        return response

    async def _speak(
        self,
        http: web.Request,
        response: web.StreamResponse,
        voice: Voice,
        steps: Sequence[Step],
        used: Usage,
    ) -> None:
        for event in voice.begin():
            await _send(response, event)
        for step in steps:
            if isinstance(step, Hang):
                await self._hang(http, step)
            for event in self._events(voice, step, used):
                await asyncio.sleep(getattr(step, "delay", 0.0))
                if http.transport is None or http.transport.is_closing():
                    raise GoneError
                await _send(response, event)
            if isinstance(step, End):
                if step.how == "broken" and http.transport is not None:
                    http.transport.abort()
                return
        for event in voice.end(used):
            await _send(response, event)
        if voice.done:
            await response.write(f"data: {voice.done}\n\n".encode())

    async def _hang(self, http: web.Request, step: Hang) -> None:
        release, loop = self._release, asyncio.get_running_loop()
        until = loop.time() + step.seconds if step.seconds is not None else None
        self.hanging += 1
        await self._tell()
        try:
            while not release.is_set() and (until is None or loop.time() < until):
                if http.transport is None or http.transport.is_closing():
                    raise GoneError
                await asyncio.sleep(0.01)
        finally:
            self.hanging -= 1

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()


async def _send(response: web.StreamResponse, event: Json) -> None:
    # Chat chunks are bare data; Responses events carry their type as the event's name as well.
    name = f"event: {event['type']}\n" if "type" in event else ""
    await response.write(f"{name}data: {json.dumps(event)}\n\n".encode())


def _error(
    status: int, message: str, code: str | None = None, retry_after: float | None = None
) -> web.Response:
    body = {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": code}}
    headers = {} if retry_after is None else {"retry-after": str(retry_after)}
    return web.json_response(body, status=status, headers=headers)


def _counted(wants: ModelRequest, steps: Sequence[Step]) -> Usage:
    """About four characters a token, both ways."""
    said = sum(len(each.text) for each in steps if isinstance(each, Say))
    called = sum(len(each.arguments) for each in steps if isinstance(each, Call))
    return Usage(prompt=max(1, len(wants.everything) // 4), completion=max(1, (said + called) // 4))
