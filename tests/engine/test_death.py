"""The evidence of a death, and what the engine leaves behind: nothing."""

import asyncio
from typing import Any

import pytest

from orchestrator.domain.limits import MIB, Limits
from orchestrator.domain.sandbox import Mount
from orchestrator.engine import docker as module
from orchestrator.engine.docker import DockerEngine
from orchestrator.engine.lockdown import container_config
from orchestrator.engine.streams import Demultiplexer
from orchestrator.errors import (
    ConfigurationError,
    EngineFault,
    EngineUnavailable,
    ImageMismatch,
    ImageMissing,
    LockdownMismatch,
)


async def test_out_of_memory_is_the_engines_word(docker_engine: DockerEngine, run: Any) -> None:
    """A program past its memory dies of 137 with the engine's flag, and says nothing itself."""
    status, _, _ = await run(docker_engine, "b'x' * (1 << 30)", limits=Limits(memory=128 * MIB))
    assert (status.exit_code, status.oom_killed) == (137, True)


async def test_a_refused_fork_is_the_kernels_word(docker_engine: DockerEngine, run: Any) -> None:
    """A fork bomb ends in an exception, and the kernel's event says that the limit was the reason."""
    status, _, err = await run(
        docker_engine,
        "import os, time\nwhile True:\n    if os.fork() == 0: time.sleep(60)",
        limits=Limits(pids=32),
    )
    assert (status.exit_code, status.pids_refused) == (1, True)
    assert b"BlockingIOError" in err


async def test_an_ordinary_failure_is_no_refused_fork(docker_engine: DockerEngine, run: Any) -> None:
    """A program that claims to have met the limit has no evidence for it."""
    status, _, _ = await run(docker_engine, "raise BlockingIOError(11, 'Resource temporarily unavailable')")
    assert (status.exit_code, status.pids_refused, status.oom_killed) == (1, False, False)


async def test_a_cancelled_create_leaves_no_container(
    docker_engine: DockerEngine, make_spec: Any, instance: str
) -> None:
    """Cancelling in the middle of create undoes what the thread has made."""
    digest = (await docker_engine.image()).digest
    for delay in (0, 0.002, 0.005, 0.01, 0.015, 0.02):
        creating = asyncio.create_task(docker_engine.create(make_spec(digest)))
        await asyncio.sleep(delay)
        creating.cancel()
        try:
            sandbox = await creating
        except asyncio.CancelledError:
            pass
        else:
            await sandbox.remove()
    assert not await docker_engine.survey(instance)


async def test_a_different_container_is_removed_and_named(
    docker_engine: DockerEngine, make_spec: Any, instance: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An engine that makes something else is refused before the start, and its container is gone."""
    honest = container_config

    def loosened(spec: Any) -> dict[str, Any]:
        config: Any = honest(spec)
        return {**config, "HostConfig": {**config["HostConfig"], "CapAdd": ["NET_ADMIN"]}}

    monkeypatch.setattr(module, "container_config", loosened)
    with pytest.raises(LockdownMismatch, match="CapAdd"):
        await docker_engine.create(make_spec((await docker_engine.image()).digest))
    assert not await docker_engine.survey(instance)


async def test_a_failed_create_leaves_nothing(
    docker_engine: DockerEngine, make_spec: Any, instance: str, workspace: Any
) -> None:
    """A directory that does not exist is the engine's refusal as a sentence."""
    mount = Mount(source=workspace / "absent", target="/workspace", read_only=False)
    with pytest.raises(EngineFault, match="refused"):
        await docker_engine.create(make_spec((await docker_engine.image()).digest, mounts=(mount,)))
    assert not await docker_engine.survey(instance)


async def test_a_strangers_container_of_our_name_is_left_alone(
    docker_engine: DockerEngine, make_spec: Any, docker_client: Any
) -> None:
    """A container that another installation owns is never removed to make room for ours."""
    spec = make_spec((await docker_engine.image()).digest)
    theirs = docker_client.containers.create(spec.image, name=f"sandglass-{spec.execution_id}")
    try:
        with pytest.raises(EngineFault, match="already in use"):
            await docker_engine.create(spec)
        theirs.reload()
    finally:
        theirs.remove(force=True)


async def test_a_missing_runtime_is_a_wrong_setting(docker_engine: DockerEngine, run: Any) -> None:
    """There is no fallback to another runtime."""
    with pytest.raises(ConfigurationError, match="SANDGLASS_RUNTIME"):
        await run(docker_engine, "print(1)", runtime="absent")


async def test_no_engine_is_a_sentence_with_the_remedy(tmp_path: Any) -> None:
    """A socket that nobody listens on names the command that helps."""
    with pytest.raises(EngineUnavailable, match="make engine"):
        await DockerEngine.connect("any", "runc", f"unix://{tmp_path}/absent.sock")


def test_a_remote_engine_is_refused() -> None:
    """Workspaces are mounted by path, so the engine must be this host's."""
    with pytest.raises(ConfigurationError, match="unix://"):
        DockerEngine("any", "runc", "tcp://10.0.0.1:2375")


async def test_a_missing_image_is_not_pulled() -> None:
    """The name of the image and the command that makes it are in the sentence."""
    with pytest.raises(ImageMissing, match="make image"):
        await DockerEngine.connect("sandglass-absent:none", "runc")


async def test_an_image_of_another_contract_is_refused(docker_client: Any) -> None:
    """An image without our contract's label is not run."""
    repository = "sandglass-test-foreign"
    docker_client.api.import_image_from_data(b"\0" * 10240, repository=repository, tag="none")
    tag = f"{repository}:none"
    try:
        with pytest.raises(ImageMismatch, match="image-rebuild"):
            await DockerEngine.connect(tag, "runc")
    finally:
        docker_client.images.remove(tag)


async def test_live_figures_and_the_effective_lockdown_can_be_read(
    docker_engine: DockerEngine, make_spec: Any
) -> None:
    """A running container shows its pids and memory, and what the engine says it is."""
    sandbox = await docker_engine.create(make_spec((await docker_engine.image()).digest))
    try:
        await sandbox.start()
        stats = await docker_engine.stats(sandbox.container_id)
        assert stats["pids_stats"]["current"] >= 1
        assert (await docker_engine.effective(sandbox.container_id))["HostConfig"]["ReadonlyRootfs"]
        await docker_engine.kill(sandbox.container_id)
    finally:
        await sandbox.remove()
    with pytest.raises(EngineFault, match="sandglass ps"):
        await docker_engine.stats(sandbox.container_id)


@pytest.mark.parametrize("size", [1, 3, 7, 8, 9, 64])
def test_frames_may_be_cut_anywhere(size: int) -> None:
    """However the bytes arrive, the streams are the same."""
    raw = b"\1\0\0\0\0\0\0\3abc" + b"\2\0\0\0\0\0\0\1x" + b"\1\0\0\0\0\0\0\0" + b"\1\0\0\0\0\0\0\2de"
    frames = Demultiplexer()
    pieces = [p for start in range(0, len(raw), size) for p in frames.feed(raw[start : start + size])]
    assert b"".join(data for stream, data in pieces if stream == "stdout") == b"abcde"
    assert b"".join(data for stream, data in pieces if stream == "stderr") == b"x"


def test_an_unknown_frame_is_a_fault() -> None:
    """What is not an engine's framing is not passed on as output."""
    with pytest.raises(EngineFault, match="stream 72"):
        Demultiplexer().feed(b"HTTP/1.1 200 OK\r\n")
