"""The CDN: signed addresses that are good for a day, as Discord hands them out."""

import hashlib
import hmac
from collections.abc import Mapping

from .world import Attachment, World

SIGNED_FOR = 24 * 60 * 60
SECRET = b"local"


class Cdn:
    """Signs the addresses of attachments and finds what a signed address names."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.base = ""

    def address(self, one: Attachment) -> str:
        """Where the file can be read until tomorrow."""
        now = int(self._world.clock.now().timestamp())
        path, until, since = _path(one), f"{now + SIGNED_FOR:x}", f"{now:x}"
        return f"{self.base}{path}?ex={until}&is={since}&hm={_signature(path, until, since)}&"

    def find(self, path: str, query: Mapping[str, str]) -> Attachment | None:
        """The file under this path, None where the path, its signature or its time is wrong."""
        until, since, signature = (query.get(key, "") for key in ("ex", "is", "hm"))
        if not hmac.compare_digest(signature, _signature(path, until, since)):
            return None
        if int(until, 16) < self._world.clock.now().timestamp():
            return None
        return next((each for each in self._world.attachments.values() if _path(each) == path), None)


def _path(one: Attachment) -> str:
    return f"/attachments/{one.channel_id}/{one.id}/{one.filename}"


def _signature(path: str, until: str, since: str) -> str:
    return hmac.new(SECRET, f"{path}?{until}&{since}".encode(), hashlib.sha256).hexdigest()
