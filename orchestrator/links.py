"""Signed links: whoever holds one may fetch one file until it expires, and nothing else."""

import asyncio
import base64
import binascii
import hashlib
import hmac
import math
import os
import secrets
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import BinaryIO

from orchestrator.domain.files import StoredFile
from orchestrator.errors import ConfigurationError, FileNotFoundOrExpired, InvalidRequest, LinkNotFound
from orchestrator.lifecycle.ports import Clock
from orchestrator.storage.files import SqlFiles

LIFETIME = timedelta(hours=48)
"""Of a link where nobody names one; a file that ends earlier ends it."""

_LONGEST = timedelta(days=365)
_SECRET_BYTES = 32
_PURPOSE = b"sandglass file link 1\0"
_TOKEN_LENGTH = 512


class Links:
    """Makes and opens links; the key lies beside the index and is made when the first link is."""

    def __init__(self, files: SqlFiles, clock: Clock, secret_path: Path, public_url: str | None) -> None:
        self._files = files
        self._clock = clock
        self._secret_path = secret_path
        self._base = None if public_url is None else public_url.rstrip("/")
        self._key: bytes | None = None

    async def make(self, ref: str, owner: str, ttl: timedelta | None = None) -> str | None:
        """The address of one live file for `ttl`, never for longer than the file lives.

        None where no public address is set. Raises `FileNotFoundOrExpired`.
        """
        if ttl is not None and not timedelta() < ttl <= _LONGEST:
            raise InvalidRequest("A link can live for up to a year: give a time between 0 and 365 days.")
        file = await self._files.get(ref, owner)
        if self._base is None:
            return None
        until = self._clock.now() + (ttl or LIFETIME)
        if file.expires_at is not None:
            until = min(until, file.expires_at)
        key = await self._secret()
        return f"{self._base}/f/{_sign(key, file.file_id, owner, math.floor(until.timestamp()))}"

    async def open(self, token: str) -> tuple[StoredFile, BinaryIO]:
        """The file that a token names, and its bytes, which the caller closes; raises `LinkNotFound`.

        Forged, expired, and of a file that is gone all look the same.
        """
        key = await self._secret()
        try:
            file_id, owner = _verified(key, token, self._clock.now())
            return await self._files.stream(file_id, owner)
        except (ValueError, FileNotFoundOrExpired):
            raise LinkNotFound("This link is not valid, or no longer: ask for a new one.") from None

    async def _secret(self) -> bytes:
        if self._key is None:
            self._key = await asyncio.to_thread(_load_or_make, self._secret_path)
        return self._key


def _sign(key: bytes, file_id: str, owner: str, until: int) -> str:
    # A colon is in neither an owner's name nor a file id.
    claim = f"{until}:{owner}:{file_id}".encode()
    return f"{_encode(claim)}.{_encode(hmac.digest(key, _PURPOSE + claim, hashlib.sha256))}"


def _verified(key: bytes, token: str, now: datetime) -> tuple[str, str]:
    """File id and owner; `ValueError` for whatever we did not sign, or not for this moment."""
    if len(token) > _TOKEN_LENGTH or not token.isascii():
        raise ValueError("no token of ours")
    until, owner, file_id = _decode(token.partition(".")[0]).split(":")
    # Compared whole, so that no second spelling of a signature passes for it.
    if not hmac.compare_digest(_sign(key, file_id, owner, int(until)).encode(), token.encode()):
        raise ValueError("another signature")
    if now.timestamp() >= int(until):
        raise ValueError("expired")
    return file_id, owner


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _decode(text: str) -> str:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True).decode()
    except binascii.Error as error:
        raise ValueError("not base64") from error


def _load_or_make(path: Path) -> bytes:
    """The key, whole or not at all: of two processes that make it, the first to name its own wins."""
    try:
        if not path.exists():
            _make(path)
        key = path.read_bytes()
    except OSError as error:
        raise ConfigurationError(
            f"The key of signed links {path} is not usable ({error.strerror}): check the data directory."
        ) from error
    if len(key) != _SECRET_BYTES:
        raise ConfigurationError(
            f"The key of signed links {path} is damaged: delete it, which ends every link made so far."
        )
    return key


def _make(path: Path) -> None:
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with open(descriptor, "wb") as file:
            file.write(secrets.token_bytes(_SECRET_BYTES))
            file.flush()
            os.fsync(descriptor)
        with suppress(FileExistsError):
            os.link(temporary, path)
    finally:
        temporary.unlink()
