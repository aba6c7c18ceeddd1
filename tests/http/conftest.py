"""The real service of a real orchestrator, on a free port of the loopback address."""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from orchestrator import Orchestrator, Sandglass, Settings, open_orchestrator, open_remote
from orchestrator.http.serve import bind, serving
from tests.e2e.support import MovableClock
from tests.http.support import Service


@pytest.fixture
def settings(data_dir: Path) -> Settings:
    """The shipped defaults, with a public address and a token of this test alone."""
    return Settings.load(
        data_dir=data_dir, public_url="https://files.example.org", http_token=secrets.token_hex(32)
    )


@pytest.fixture
def clock() -> MovableClock:
    """The host's clock until a test moves it."""
    return MovableClock()


@pytest.fixture
async def orchestrator(settings: Settings, clock: MovableClock) -> AsyncIterator[Orchestrator]:
    """What is served."""
    async with open_orchestrator(settings, clock=clock, maintain=False) as opened:
        yield opened


@asynccontextmanager
async def served(orchestrator: Orchestrator) -> AsyncIterator[Service]:
    """A server in this process, over real sockets."""
    assert orchestrator.settings.http_token is not None
    token = orchestrator.settings.http_token.get_secret_value()
    async with serving(orchestrator, bind("127.0.0.1", 0), token) as address:
        yield Service(address=address, token=token)


@pytest.fixture
async def service(orchestrator: Orchestrator) -> AsyncIterator[Service]:
    """The service of the orchestrator."""
    async with served(orchestrator) as running:
        yield running


@pytest.fixture(params=["embedded", "remote"])
async def sandglass(request: pytest.FixtureRequest, orchestrator: Orchestrator) -> AsyncIterator[Sandglass]:
    """The same interface, here and over HTTP, to the same orchestrator."""
    if request.param == "embedded":
        yield orchestrator
        return
    async with served(orchestrator) as service, open_remote(service.address, service.token) as remote:
        yield remote
