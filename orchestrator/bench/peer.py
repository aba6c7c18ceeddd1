"""Other libraries that run Python in Docker: each in a virtual environment of its own, over JSON lines."""

import asyncio
import json
import os
import shutil
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

DRIVERS = Path(__file__).parent / "peers"
_LINE = 1 << 20
_REASON = 160
"""Letters of a reason that are kept."""
_SECONDS = 120.0
"""Longest that a peer may take for one program."""


class PeerFailed(Exception):
    """A peer could not be installed, started or made to run the program; the message says why."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """A library to compare with; its driver imports it, so the driver has another name."""

    name: str
    driver: str
    requirements: Sequence[str]


CANDIDATES = (
    Candidate(name="llm-sandbox", driver="run_llm_sandbox.py", requirements=("llm-sandbox[docker]==0.3.46",)),
    Candidate(name="AutoGen", driver="run_autogen.py", requirements=("autogen-ext[docker]==0.7.5",)),
    Candidate(name="epicbox", driver="run_epicbox.py", requirements=("epicbox==1.1.0", "urllib3<2")),
)

PEER_IMAGE = "sandglass-bench-peers:latest"
# What they need that our image does not give: no entry point, root, an interpreter called `python`.
_DOCKERFILE = 'FROM {}\nUSER root\nRUN ln -s python3 /usr/bin/python\nENTRYPOINT []\nCMD ["sh"]\n'


class Peer:
    """A running driver."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, hello: dict[str, Any]) -> None:
        self.name = name
        self.version = str(hello["version"])
        self.does: Sequence[str] = hello["does"]
        self._process = process

    async def timed(self, do: str, code: str, expected: str) -> float:
        """Seconds of one work; raises `PeerFailed` where it did not print what was expected."""
        answer = await _asked(self._process, {"do": do, "code": code})
        if "error" in answer:
            raise PeerFailed(_short(answer["error"]))
        if expected not in answer["output"]:
            raise PeerFailed(f"it printed {answer['output'][-200:]!r}")
        return float(answer["seconds"])


@asynccontextmanager
async def started(
    candidate: Candidate, image: str, cache: Path, docker_host: str | None
) -> AsyncIterator[Peer]:
    """Install (once a machine) and start a peer's driver; on leaving it ends with its containers."""
    python = await _installed(candidate, cache)
    driver = (str(python), "-W", "ignore", str(DRIVERS / candidate.driver), image)
    async with driven(candidate.name, driver, docker_host) as peer:
        yield peer


@asynccontextmanager
async def driven(name: str, driver: Sequence[str], docker_host: str | None = None) -> AsyncIterator[Peer]:
    """Start a driver that speaks the lines of `peers/serve.py`; raises `PeerFailed` where it does not."""
    process = await asyncio.create_subprocess_exec(
        *driver,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        limit=_LINE,
        env={**os.environ, **({"DOCKER_HOST": docker_host} if docker_host else {})},
    )
    try:
        yield Peer(name, process, await _answer(process))
    finally:
        assert process.stdin is not None  # it was asked for above
        process.stdin.close()
        try:
            await asyncio.wait_for(process.wait(), _SECONDS)
        except TimeoutError:
            process.kill()
            await process.wait()


@asynccontextmanager
async def peer_image(image: str, docker_host: str | None) -> AsyncIterator[str]:
    """Our image under another tag, as the peers can use it, until this is left; raises `PeerFailed`."""
    host = [f"--host={docker_host}"] if docker_host else []
    build = ["docker", *host, "build", "--network=none", "--force-rm", "--tag", PEER_IMAGE, "-"]
    await _run(build, _DOCKERFILE.format(image).encode())
    try:
        yield PEER_IMAGE
    finally:
        with suppress(PeerFailed):  # somebody else may use it, or have removed it
            await _run(["docker", *host, "image", "rm", "--no-prune", PEER_IMAGE])


def cache_directory() -> Path:
    """Where the peers' environments are kept between runs; never within the project."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "sandglass" / "bench-peers"


async def _installed(candidate: Candidate, cache: Path) -> Path:
    key = sha256("\n".join((*candidate.requirements, sys.version)).encode()).hexdigest()[:12]
    place = cache / f"{candidate.driver.removesuffix('.py')}-{key}"
    done, python = place / "installed", place / "bin" / "python"
    if not await asyncio.to_thread(done.exists):
        for command in await asyncio.to_thread(_installing, candidate, place, python):
            await _run(command)
        await asyncio.to_thread(done.touch)
    return python


def _installing(candidate: Candidate, place: Path, python: Path) -> Sequence[Sequence[str]]:
    """Clear the place, and the commands that fill it."""
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(place, ignore_errors=True)
    if uv := _uv():
        return (
            [uv, "-q", "venv", "--no-project", "--python", sys.executable, str(place)],
            [uv, "-q", "pip", "install", "--python", str(python), *candidate.requirements],
        )
    return (
        [sys.executable, "-m", "venv", str(place)],
        [str(python), "-m", "pip", "-q", "install", *candidate.requirements],
    )


def _uv() -> str | None:
    """The one in PATH, or the one that `make setup` fetched."""
    fetched = Path(__file__).parents[2] / ".tools" / "bin"
    for path in (None, str(fetched)):
        found = shutil.which("uv", path=path)
        if found is not None:
            return found
    return None


async def _run(command: Sequence[str], given: bytes = b"") -> None:
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
    except OSError as error:
        raise PeerFailed(f"{command[0]} could not be started ({error.strerror})") from error
    said, _ = await process.communicate(given)
    if process.returncode:
        last = (said.decode(errors="replace").strip().splitlines() or ["it said nothing"])[-1]
        raise PeerFailed(f"`{' '.join(command[:4])} ...` failed: {_short(last)}")


def _short(reason: str) -> str:
    """One line that fits into a table: an engine's answer is long, and what matters is at both ends."""
    line = " ".join(reason.split())
    return line if len(line) <= _REASON else f"{line[: _REASON // 2]} ... {line[-_REASON // 2 :]}"


async def _asked(process: asyncio.subprocess.Process, request: dict[str, object]) -> dict[str, Any]:
    assert process.stdin is not None  # `started` asked for it
    with suppress(ConnectionError):  # an ended driver is told by its missing answer
        process.stdin.write(json.dumps(request).encode() + b"\n")
        await process.stdin.drain()
    return await _answer(process)


async def _answer(process: asyncio.subprocess.Process) -> dict[str, Any]:
    assert process.stdout is not None  # `started` asked for it
    try:
        line = await asyncio.wait_for(process.stdout.readline(), _SECONDS)
    except TimeoutError as error:
        raise PeerFailed(f"it did not answer within {_SECONDS:g} s") from error
    if not line:
        raise PeerFailed("its driver ended without an answer: its library may not work here")
    answer: dict[str, Any] = json.loads(line)
    return answer
