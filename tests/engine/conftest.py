"""Sandboxes for the tests of the engine: the real one and its double behind the same door."""

import json
import os
import secrets
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.domain.limits import Limits
from orchestrator.domain.sandbox import Mount, SandboxSpec, Stream
from orchestrator.engine.docker import DockerEngine
from orchestrator.engine.fake import FakeEngine

IMAGE = os.environ.get("SANDGLASS_IMAGE", "sandglass-sandbox:latest")
UID = 790_001


def request(code: str) -> bytes:
    """The runner's one line."""
    return json.dumps({"contract": 1, "code": code, "inputs": []}).encode() + b"\n"


@pytest.fixture
def workspace() -> Iterator[Path]:
    """A directory that the sandbox's uid may write, reachable for it."""
    with tempfile.TemporaryDirectory(prefix="sandglass-engine-") as name:
        path = Path(name)
        path.chmod(0o777)
        yield path


@pytest.fixture
async def docker_engine() -> AsyncIterator[DockerEngine]:
    """The real engine with the shipped image."""
    engine = await DockerEngine.connect(IMAGE, os.environ.get("SANDGLASS_RUNTIME", "runc"))
    yield engine
    await engine.close()


@pytest.fixture(params=["docker", "fake"])
async def engine(request: pytest.FixtureRequest) -> AsyncIterator[Any]:
    """Each engine in turn: what holds for one must hold for the other."""
    if request.param == "docker":
        engine: Any = await DockerEngine.connect(IMAGE, "runc")
    else:
        engine = FakeEngine(without_isolation=True)
    yield engine
    await engine.close()


@pytest.fixture
def instance() -> str:
    """An installation of this test alone."""
    return f"test-{secrets.token_hex(6)}"


@pytest.fixture
def make_spec(workspace: Path, instance: str) -> Callable[..., SandboxSpec]:
    """A specification of this test, on its workspace; fields can be given."""

    def make(image: str, **fields: Any) -> SandboxSpec:
        values: dict[str, Any] = {
            "execution_id": secrets.token_hex(8),
            "owner": "tester",
            "uid": UID,
            "image": image,
            "runtime": "runc",
            "limits": Limits(),
            "mounts": (Mount(source=workspace, target="/workspace", read_only=False),),
            "instance": instance,
        }
        return SandboxSpec(**{**values, **fields})

    return make


@pytest.fixture
def run(make_spec: Callable[..., SandboxSpec]) -> Callable[..., Any]:
    """Run code to its end and remove the sandbox; returns (exit status, stdout, stderr)."""

    async def run(engine: Any, code: str, **fields: Any) -> tuple[Any, bytes, bytes]:
        sandbox = await engine.create(make_spec((await engine.image()).digest, **fields))
        try:
            await sandbox.start()
            if sandbox.spec.warm:
                await sandbox.ready(60)
            await sandbox.hand_over(request(code))
            streams = {Stream.STDOUT: bytearray(), Stream.STDERR: bytearray()}
            async for stream, piece in sandbox.output():
                streams[stream] += piece
            return await sandbox.wait(), bytes(streams[Stream.STDOUT]), bytes(streams[Stream.STDERR])
        finally:
            await sandbox.remove()

    return run
