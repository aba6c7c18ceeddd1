"""Attacks this very host from real sandboxes, and judges from outside what got through."""

import asyncio
import json
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.domain.attestation import ProbeResult
from orchestrator.domain.limits import Limits
from orchestrator.domain.outcomes import ExitStatus
from orchestrator.domain.sandbox import RUNNER_CONTRACT, Mount, SandboxKind, SandboxSpec
from orchestrator.errors import StorageFault
from orchestrator.lifecycle.attacks import BORDERS, MEMORY, MEMORY_CHUNK, THREADS
from orchestrator.lifecycle.ports import Engine
from orchestrator.lifecycle.supervise import Control, Supervision

OWNER = "sandglass-probe"
_CAPABILITIES = ("CapPrm", "CapEff", "CapBnd", "CapAmb")

type Seen = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """What is attacked: an engine with the runtime, the image and the limits that executions get."""

    engine: Engine
    image: str
    runtime: str
    limits: Limits
    instance: str
    uid: int
    """Of the attacker; the other owner, whose files it is after, is the next below."""
    directory: Path
    """Where the attacker's and the other owner's files may lie for a moment."""


async def attack(target: Target) -> tuple[ProbeResult, ...]:
    """Run every attack; raises the engine's faults. A report that is missing or illegible held nothing."""
    root = target.directory / secrets.token_hex(8)
    mounts = (
        Mount(source=root / "workspace", target="/workspace", read_only=False),
        Mount(source=root / "inputs", target="/inputs", read_only=True),
    )
    chunks = 2 * target.limits.memory // MEMORY_CHUNK
    try:
        try:
            await asyncio.to_thread(_make_scene, root, target.uid)
        except OSError as error:
            raise StorageFault(
                f"The host could not be attacked, {root} cannot be prepared ({error.strerror}): "
                "run as root on a disk with room."
            ) from error
        # One after the other: together they could be more than the slots that the host has.
        _, report, said = await _run(target, mounts, BORDERS)
        crowded, count, _ = await _run(target, mounts, THREADS)
        died, escaped, _ = await _run(target, mounts, MEMORY, str(chunks))
    finally:
        await asyncio.to_thread(shutil.rmtree, root, ignore_errors=True)
    try:
        seen = json.loads(report)
    except ValueError:
        seen = {"report": (said or report)[-200:] or "nothing was reported"}
    return (*_judge(seen, target), _threads(crowded, count, target), _memory(died, escaped))


async def _run(
    target: Target, mounts: tuple[Mount, ...], code: str, *argv: str
) -> tuple[ExitStatus, str, str]:
    spec = SandboxSpec(
        execution_id=f"probe-{secrets.token_hex(8)}",
        owner=OWNER,
        uid=target.uid,
        image=target.image,
        runtime=target.runtime,
        limits=target.limits,
        mounts=mounts,
        instance=target.instance,
        kind=SandboxKind.PROBE,
    )
    request = {"contract": RUNNER_CONTRACT, "code": code, "inputs": [], "argv": argv, "namespace": None}
    sandbox = await target.engine.create(spec)
    try:
        supervision = Supervision(sandbox, target.limits, Control(), None)
        status = await supervision.run(json.dumps(request).encode("ascii") + b"\n")
        return status, supervision.stdout.text(), supervision.stderr.text()
    finally:
        await asyncio.shield(sandbox.remove())


def _make_scene(root: Path, uid: int) -> None:
    """The attacker's workspace, and inputs among which another owner's private directory lies."""
    another = root / "inputs" / "another"
    another.mkdir(parents=True)
    secret = another / "secret"
    secret.write_text("of another owner")
    workspace = root / "workspace"
    workspace.mkdir()
    for path, owner in ((secret, uid - 1), (another, uid - 1), (workspace, uid)):
        os.chown(path, owner, owner)
        path.chmod(0o700)
    (root / "inputs").chmod(0o755)


def _judge(seen: Seen, target: Target) -> Iterator[ProbeResult]:
    missing = seen.get("report", "nothing was reported")
    status = seen.get("status", {})

    def refused(name: str, *attempts: str) -> ProbeResult:
        through = {attempt: str(seen.get(attempt, missing)) for attempt in attempts}
        through = {attempt: said for attempt, said in through.items() if not said.startswith("refused")}
        told = "; ".join(f"{attempt} {said}" for attempt, said in through.items())
        return ProbeResult(name=name, held=not through, seen=told or "refused")

    def exactly(name: str, value: object, *, held: bool) -> ProbeResult:
        return ProbeResult(name=name, held=held, seen=str(missing if value is None else value))

    interfaces = seen.get("interfaces")
    yield exactly("only loopback", interfaces, held=interfaces in (["lo"], []))
    yield refused("no network", "connect", "metadata", "raw")
    # gVisor shows fewer sets; what it shows must be empty, and the effective one is always shown.
    capabilities = {name: status[name] for name in _CAPABILITIES if name in status}
    empty = "CapEff" in capabilities and all(int(value, 16) == 0 for value in capabilities.values())
    yield exactly("no capabilities", capabilities.get("CapEff"), held=empty)
    yield exactly("no new privileges", seen.get("no_new_privs"), held=seen.get("no_new_privs") == 1)
    # gVisor's kernel is its own filter and says that there is none.
    filtered = status.get("Seccomp") == "2" or target.runtime == "runsc"
    yield exactly("system calls are filtered", status.get("Seccomp"), held=filtered)
    closed = ("mount", "bpf", "keyctl", "userfaultfd")
    # gVisor has an io_uring of its own, which is not the host's.
    yield refused("closed system calls", *closed, *(() if target.runtime == "runsc" else ("io_uring",)))
    uid = seen.get("uid")
    wanted = [[target.uid] * 3, [target.uid] * 3]
    yield exactly("its own uid", uid, held=uid is not None and uid[:2] == wanted and 0 not in uid[2])
    yield refused("root is out of reach", "root")
    paths = ("/pwned", "/etc/passwd", "/usr/bin/pwned", "/opt/pwned", "/inputs/pwned")
    yield refused("read-only", *(f"write {path}" for path in (*paths, "/proc/sys/pwned")))
    yield refused("nothing executes from /tmp", "execute")
    yield refused("other owners' files", "list another", "read another")


def _threads(status: ExitStatus, printed: str, target: Target) -> ProbeResult:
    """Refused at the limit, or, where gVisor itself cannot have another thread of the host, ended there."""
    count = printed.strip()
    held = int(count) <= target.limits.pids if count.isdigit() else status.exit_code != 0
    return ProbeResult(name="processes are bounded", held=held, seen=count or f"exit {status.exit_code}")


def _memory(status: ExitStatus, printed: str) -> ProbeResult:
    held = "ESCAPED" not in printed and status.exit_code != 0
    return ProbeResult(name="memory is bounded", held=held, seen=f"exit {status.exit_code}")
