"""The kernel's word about refused forks, and what is said to a caller who holds an engine wrongly."""

import os
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.domain.limits import Limits
from orchestrator.domain.sandbox import SandboxSpec
from orchestrator.engine import pids
from orchestrator.engine.calls import Calls
from orchestrator.engine.docker import DockerEngine
from orchestrator.engine.fake import FAKE_DIGEST, FakeEngine
from orchestrator.engine.pids import PidsWatch
from orchestrator.engine.sandbox import DockerSandbox
from orchestrator.engine.streams import Attachment
from orchestrator.errors import ConfigurationError, EngineFault, ImageMissing

OURS, THEIRS = "a1" * 32, "b2" * 32
REFUSED = "6,1,1,-;cgroup: fork rejected by pids controller in {}\n"


def spec(**fields: Any) -> SandboxSpec:
    """Any specification for the double."""
    values: dict[str, Any] = {
        "execution_id": "e1",
        "owner": "7",
        "uid": 700_007,
        "image": FAKE_DIGEST,
        "runtime": "runc",
        "limits": Limits(),
        "mounts": (),
        "instance": "here",
    }
    return SandboxSpec(**{**values, **fields})


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A pipe in the place of the kernel's log; what is written is one record a read, as there."""
    path = tmp_path / "log"
    os.mkfifo(path)
    monkeypatch.setattr(pids, "KERNEL_LOG", str(path))
    yield_ = os.open(path, os.O_RDWR)
    yield yield_
    os.close(yield_)


@pytest.fixture
def watch(log: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[PidsWatch]:
    """A watch over it; a pipe has no end to go to, which the kernel's log has."""
    monkeypatch.setattr(os, "lseek", lambda *_: 0)
    watch = PidsWatch()
    yield watch
    watch.close()


@pytest.mark.parametrize(
    "group",
    [
        f"/docker/{OURS}",
        f"/system.slice/docker-{OURS}.scope",
        f"/kubepods/pod-1/{OURS}",
        f"/x/cri-{OURS}.scope",
    ],
)
def test_a_refused_fork_is_told_under_every_name_of_a_group(group: str, watch: PidsWatch, log: int) -> None:
    """Whichever driver named the control group, the container's id is in it; it is told once."""
    watch.watch(OURS)
    os.write(log, REFUSED.format(group).encode())
    assert watch.take(OURS)
    assert not watch.take(OURS)


@pytest.mark.parametrize(
    "record",
    [
        REFUSED.format(f"/docker/{THEIRS}"),
        REFUSED.format("/user.slice"),
        REFUSED.format(f"/docker/{OURS[:-1]}"),
        REFUSED.format(f"/docker/{OURS.upper()}"),
        f"6,1,1,-;{OURS} said: fork rejected\n",
        f"6,1,1,-;oom-kill: /docker/{OURS}\n",
        "\n",
    ],
)
def test_another_line_of_the_log_is_no_evidence(record: str, watch: PidsWatch, log: int) -> None:
    """Another container's refusal, half an id and other events leave ours innocent."""
    watch.watch(OURS)
    os.write(log, record.encode())
    assert not watch.take(OURS)


def test_a_refusal_before_the_watch_is_not_ours(watch: PidsWatch, log: int) -> None:
    """A container that is not watched has no evidence, and it does not pile up."""
    os.write(log, REFUSED.format(f"/docker/{OURS}").encode())
    assert not watch.take(THEIRS)
    watch.watch(OURS)
    assert not watch.take(OURS)
    assert not watch._refused


def test_asking_about_one_keeps_the_others_evidence(watch: PidsWatch, log: int) -> None:
    """Reading the log for one container loses nothing of another."""
    watch.watch(OURS)
    watch.watch(THEIRS)
    os.write(log, REFUSED.format(f"/docker/{THEIRS}").encode())
    assert not watch.take(OURS)
    assert watch.take(THEIRS)


def test_where_the_log_may_not_be_read_there_is_no_evidence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No log is no error, when made, asked and closed."""
    monkeypatch.setattr(pids, "KERNEL_LOG", str(tmp_path / "none"))
    watch = PidsWatch()
    watch.watch(OURS)
    assert not watch.take(OURS)
    watch.close()
    watch.close()


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_no_bytes_of_the_log_are_taken_for_an_id(noise: bytes) -> None:
    """Whatever stands before it, only the whole sentence with a whole id counts."""
    line = REFUSED.format(f"/docker/{OURS}").encode()
    found = pids._REFUSED.search(noise + line)
    assert found is not None
    assert found[1].decode() == OURS
    assert pids._REFUSED.search(noise) is None


async def test_a_container_that_was_not_started_takes_no_code_and_no_wait() -> None:
    """Both are defects of the caller, and say so instead of hanging."""
    ours, theirs = socket.socketpair()
    calls, watch = Calls("unix:///nowhere.sock"), PidsWatch()
    attachment = Attachment(ours)
    sandbox = DockerSandbox(spec(), OURS, calls, attachment, watch)
    with closing(theirs), closing(watch), closing(attachment):
        with pytest.raises(EngineFault, match="never started cannot be given code"):
            await sandbox.hand_over(b"x")
        with pytest.raises(EngineFault, match="never started cannot be waited for"):
            await sandbox.wait()
        theirs.setblocking(False)
        with pytest.raises(BlockingIOError):
            theirs.recv(1)
    await calls.close()


async def test_an_engine_asks_nothing_before_it_is_asked() -> None:
    """Made for an address where nobody is, and closed twice, it raises nothing."""
    engine = DockerEngine("x", "runc", "unix:///nowhere.sock")
    await engine.close()
    await engine.close()


def test_the_double_is_not_made_by_accident() -> None:
    """What isolates nothing must be asked for by name."""
    with pytest.raises(ConfigurationError, match="isolates nothing: use DockerEngine"):
        FakeEngine()


async def test_the_double_refuses_another_image() -> None:
    """As the real one does, with the command that builds it, and leaves nothing behind."""
    async with FakeEngine(without_isolation=True) as engine:
        with pytest.raises(ImageMissing, match="make image"):
            await engine.create(spec(image="sha256:" + "1" * 64))
        assert await engine.survey("here") == ()


async def test_the_double_refuses_code_and_waits_before_the_start() -> None:
    """The same two defects as with a container, in the same words."""
    async with FakeEngine(without_isolation=True) as engine:
        sandbox = await engine.create(spec())
        with pytest.raises(EngineFault, match="never started cannot be given code"):
            await sandbox.hand_over(b"x")
        with pytest.raises(EngineFault, match="never started cannot be waited for"):
            await sandbox.wait()
        assert sandbox.status == "created"


async def test_the_double_kills_and_removes_what_is_not_there() -> None:
    """Unknown ids, and a sandbox that was never started, are no errors."""
    async with FakeEngine(without_isolation=True) as engine:
        await engine.kill("unknown")
        await engine.remove("unknown")
        sandbox = await engine.create(spec())
        await sandbox.kill()
        await sandbox.remove()
        await sandbox.remove()
        assert not engine.sandboxes


async def test_the_double_surveys_its_own_installation_only() -> None:
    """Another installation's sandboxes are not shown, and a second one of a name replaces the first."""
    async with FakeEngine(without_isolation=True) as engine:
        await engine.create(spec(instance="there", execution_id="e2"))
        await engine.create(spec())
        await engine.create(spec())
        assert [each.execution_id for each in await engine.survey("here")] == ["e1"]
