"""The gateway: hello, identify, ready, heartbeats, resume with replay, and every way of losing the line."""

import asyncio
import json
import secrets
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import WSCloseCode, WSMsgType, web

from . import payloads
from .world import World

DISPATCH, HEARTBEAT, IDENTIFY, RESUME, RECONNECT, MEMBERS, INVALID, HELLO, ACK = 0, 1, 2, 6, 7, 8, 9, 10, 11
PRESENCE = 3
GUILDS, GUILD_MESSAGES, GUILD_TYPING = 1 << 0, 1 << 9, 1 << 11
DM_MESSAGES, DM_TYPING, MESSAGE_CONTENT = 1 << 12, 1 << 14, 1 << 15
PRIVILEGED = {"members": 1 << 1, "presences": 1 << 8, "message_content": MESSAGE_CONTENT}
REPLAY = 5000
# After these, whoever says them, there is nothing left to resume.
ENDS_OF_SESSION = (1000, 1001, 4007, 4009)
type Json = dict[str, Any]


@dataclass(kw_only=True, eq=False)
class Session:
    """One identified client; it outlives its sockets until it is forgotten."""

    id: str
    intents: int
    seq: int = 0
    sent: list[Json] = field(default_factory=list)
    line: "Line | None" = None

    def dispatch(self, event: str, data: Json) -> None:
        """Number the event, keep it for a resume, send it if somebody is there."""
        self.seq += 1
        frame = {"op": DISPATCH, "t": event, "s": self.seq, "d": data}
        self.sent = [*self.sent[-REPLAY:], frame] if len(self.sent) > 2 * REPLAY else self.sent
        self.sent.append(frame)
        if self.line:
            self.line.send(frame)


class Line:
    """One socket; frames leave in order through a queue, so that nobody waits for the network."""

    def __init__(self, ws: web.WebSocketResponse, *, compress: bool) -> None:
        self.ws = ws
        self.session: Session | None = None
        self._zlib = zlib.compressobj() if compress else None
        self._frames: asyncio.Queue[Json | bytes | int] = asyncio.Queue()
        self.pump = asyncio.create_task(self._pump(), name="gateway-line")

    def send(self, frame: Json) -> None:
        """Queue a frame; all four keys are always there."""
        self._frames.put_nowait({"op": None, "d": None, "s": None, "t": None, **frame})

    def spoil(self) -> None:
        """Queue a frame that ends as a compressed one does, and is none."""
        self._frames.put_nowait(b"\xff" * 8 + b"\x00\x00\xff\xff")

    def hang_up(self, code: int) -> None:
        """Close with this code after everything queued has left."""
        self.let_go()
        self._frames.put_nowait(code)

    def let_go(self) -> None:
        """Let the session be without a line, if this one was its line."""
        if self.session and self.session.line is self:
            self.session.line = None

    async def _pump(self) -> None:
        while not isinstance(frame := await self._frames.get(), int):
            try:
                if isinstance(frame, bytes):
                    await self.ws.send_bytes(frame)
                    continue
                text = json.dumps(frame)
                if self._zlib is None:
                    await self.ws.send_str(text)
                else:
                    packed = self._zlib.compress(text.encode()) + self._zlib.flush(zlib.Z_SYNC_FLUSH)
                    await self.ws.send_bytes(packed)
            except ConnectionError:
                return  # The client went first.
        await self.ws.close(code=frame)


class Gateway:
    """All sessions. `portal` holds the privileged intents switched on for the application."""

    def __init__(self, world: World, token: str, visible: Callable[[str, Json, int], Json | None]) -> None:
        self._world = world
        self._token = token
        self._visible = visible
        self.address = ""
        self.portal = set(PRIVILEGED)
        self.heartbeat_ms = 41_250
        self.acknowledge = True
        self.refuse = 0
        self.sessions: dict[str, Session] = {}
        self.lines: set[Line] = set()
        self.identifies = 0
        self.resumes = 0

    @property
    def connected(self) -> bool:
        """Whether an identified client is on the line."""
        return any(session.line for session in self.sessions.values())

    def dispatch(self, event: str, data: Json) -> None:
        """Send the event to every session whose intents cover it (kept for those that are away)."""
        for session in self.sessions.values():
            seen = self._visible(event, data, session.intents)
            if seen is not None:
                session.dispatch(event, seen)

    def drop(self, code: int, *, forget: bool) -> None:
        """Close every line with this code; `forget`, as some codes do, makes a resume impossible."""
        if forget or code in ENDS_OF_SESSION:
            self.sessions.clear()
        for line in list(self.lines):
            line.hang_up(code)

    def order(self, op: int, data: object = None) -> None:
        """Send an op (RECONNECT, INVALID) on every line."""
        for line in self.lines:
            line.send({"op": op, "d": data})

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """The websocket's handler."""
        if self.refuse > 0:
            self.refuse -= 1
            return web.Response(status=503, text="upstream connect error")
        ws = web.WebSocketResponse(max_msg_size=1 << 20)
        await ws.prepare(request)
        line = Line(ws, compress=request.query.get("compress") == "zlib-stream")
        self.lines.add(line)
        line.send({"op": HELLO, "d": {"heartbeat_interval": self.heartbeat_ms, "_trace": []}})
        try:
            async for message in ws:
                if message.type is WSMsgType.TEXT:
                    self._hear(line, message.data)
        finally:
            self.lines.discard(line)
            if line.session and line.session.line is line and ws.close_code in ENDS_OF_SESSION:
                self.sessions.pop(line.session.id, None)
            line.let_go()
            line.pump.cancel()
            self._world.changed()
        return ws

    async def close(self) -> None:
        """Leave no socket and no task."""
        for line in list(self.lines):
            line.pump.cancel()
            await line.ws.close(code=WSCloseCode.GOING_AWAY)

    def _hear(self, line: Line, text: str) -> None:
        try:
            frame = json.loads(text)
            op, data = frame["op"], frame["d"]
        except (ValueError, KeyError, TypeError):
            line.hang_up(4002)
            return
        if op == HEARTBEAT:
            if self.acknowledge:
                line.send({"op": ACK})
            return
        refused = self._obey(line, op, data)
        if refused:
            line.hang_up(refused)

    def _obey(self, line: Line, op: int, data: Json) -> int:
        """Do what the client says; the close code when it may not say that."""
        if op == IDENTIFY:
            return self._identify(line, data)
        if op == RESUME:
            return self._resume(line, data)
        if op == MEMBERS:
            self._members(line, data)
        return 0 if op in (MEMBERS, PRESENCE) else 4001

    def _identify(self, line: Line, data: Json) -> int:
        self.identifies += 1
        if line.session:
            return 4005
        if data["token"] != self._token:
            return 4004
        withheld = [bit for name, bit in PRIVILEGED.items() if name not in self.portal]
        if any(data["intents"] & bit for bit in withheld):
            return 4014
        session = Session(id=secrets.token_hex(16), intents=data["intents"], line=line)
        self.sessions[session.id] = line.session = session
        guilds = list(self._world.guilds.values())
        ready: Json = {
            "v": 10,
            "user": payloads.myself(self._world.me),
            "guilds": [{"id": str(guild.id), "unavailable": True} for guild in guilds],
            "session_id": session.id,
            "resume_gateway_url": self.address,
            "application": {"id": str(self._world.me.id), "flags": 0},
            "private_channels": [],
            "_trace": ["local"],
        }
        if "shard" in data:
            ready["shard"] = data["shard"]
        session.dispatch("READY", ready)
        for guild in guilds:
            session.dispatch("GUILD_CREATE", payloads.guild_create(guild, self._world))
        self._world.changed()
        return 0

    def _resume(self, line: Line, data: Json) -> int:
        if data["token"] != self._token:
            return 4004
        session = self.sessions.get(data["session_id"])
        if session is None:
            line.send({"op": INVALID, "d": False})
            return 0
        if data["seq"] > session.seq:
            del self.sessions[session.id]
            return 4007
        self.resumes += 1
        line.session, session.line = session, line
        for frame in session.sent:
            if frame["s"] > data["seq"]:
                line.send(frame)
        session.dispatch("RESUMED", {"_trace": ["local"]})
        self._world.changed()
        return 0

    def _members(self, line: Line, data: Json) -> None:
        guild = self._world.guilds.get(int(data["guild_id"]))
        if guild is None or line.session is None:
            return
        wanted = {int(each) for each in data.get("user_ids") or []} or set(guild.members)
        found = [payloads.member(who) for number, who in guild.members.items() if number in wanted]
        chunk = {
            "guild_id": str(guild.id),
            "members": found,
            "chunk_index": 0,
            "chunk_count": 1,
            "not_found": [],
        }
        line.session.dispatch("GUILD_MEMBERS_CHUNK", {**chunk, "nonce": data.get("nonce")})
