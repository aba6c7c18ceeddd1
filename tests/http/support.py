"""What the tests of the service share."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

import httpx2


@dataclass(frozen=True, kw_only=True)
class Service:
    """A running server and what opens it."""

    address: str
    token: str

    @property
    def port(self) -> int:
        """Of the loopback address."""
        return int(self.address.rpartition(":")[2])

    async def ask(
        self,
        method: str,
        path: str,
        *,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        token: bool = True,
    ) -> httpx2.Response:
        """One request on a connection of its own."""
        authorization = {"authorization": f"Bearer {self.token}"} if token else {}
        transport = await asyncio.to_thread(httpx2.AsyncHTTPTransport)
        async with httpx2.AsyncClient(
            base_url=self.address, timeout=60, transport=transport, trust_env=False
        ) as client:
            return await client.request(
                method, path, content=content, headers={**authorization, **(headers or {})}
            )
