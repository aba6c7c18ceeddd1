"""Files over HTTP: in by way of an unnamed file on our disk, out piece by piece, always as an attachment."""

import asyncio
import re
from pathlib import Path
from tempfile import TemporaryFile
from typing import BinaryIO
from urllib.parse import quote

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from orchestrator.app import Orchestrator
from orchestrator.domain.files import StoredFile
from orchestrator.errors import InvalidRequest, StorageFault
from orchestrator.storage.blobs import too_large

_PIECE = 1 << 18
_AT_ONCE = 8
"""Uploads; the others wait, their bytes unread."""


class Uploads:
    """Takes bodies in, a few at once."""

    def __init__(self, orchestrator: Orchestrator) -> None:
        self._orchestrator = orchestrator
        self._most = orchestrator.settings.max_file_bytes
        self._room = asyncio.Semaphore(_AT_ONCE)

    async def store(self, request: Request, owner: str, filename: str) -> StoredFile:
        """Store the body under a name; raises `FileTooLarge`, at once where its length is declared."""
        declared = request.headers.get("content-length", "")
        if declared.isdigit() and int(declared) > self._most:
            raise too_large(self._most)
        async with self._room:
            try:
                file = await asyncio.to_thread(_unnamed, self._orchestrator.settings.data_dir / "uploads")
            except OSError as error:
                raise StorageFault(
                    f"The upload cannot be written ({error.strerror}): check the data directory's disk."
                ) from error
            try:
                await self._fill(file, request)
                return await self._orchestrator.upload_file(owner, file, filename)
            finally:
                file.close()

    async def _fill(self, file: BinaryIO, request: Request) -> None:
        size = 0
        waiting = bytearray()
        try:
            async for chunk in request.stream():
                size += len(chunk)
                if size > self._most:
                    raise too_large(self._most)
                waiting += chunk
                if len(waiting) >= _PIECE:
                    await _write(file, bytes(waiting))
                    waiting.clear()
        except ClientDisconnect as error:
            raise InvalidRequest("The upload broke off: send it again.") from error
        await _write(file, bytes(waiting))
        await asyncio.to_thread(file.seek, 0)


def _unnamed(directory: Path) -> BinaryIO:
    directory.mkdir(mode=0o700, exist_ok=True)
    return TemporaryFile(dir=directory)  # the caller closes it, and a crash leaves nothing


async def _write(file: BinaryIO, data: bytes) -> None:
    try:
        await asyncio.to_thread(file.write, data)
    except OSError as error:
        raise StorageFault(
            f"The upload cannot be written ({error.strerror}): free some room on the data directory's disk."
        ) from error


class Download(Response):
    """The bytes of one stored file, closed when they are sent or nobody wants them any more."""

    def __init__(self, file: StoredFile, stream: BinaryIO) -> None:
        super().__init__(
            headers={
                "content-length": str(file.size),
                "content-disposition": disposition(file.filename),
            },
            # Never the type that its maker would like a browser to believe.
            media_type="application/octet-stream",
        )
        self._stream = stream

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        """Send head and bytes."""
        with self._stream:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            while scope["method"] != "HEAD" and (piece := await asyncio.to_thread(self._stream.read, _PIECE)):
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})


def disposition(filename: str) -> str:
    """The header by which a browser saves a file and never shows it, whatever its name holds (RFC 6266)."""
    plain = re.sub(r"[^A-Za-z0-9 ._()+-]", "_", filename)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(filename, safe='', errors='replace')}"
