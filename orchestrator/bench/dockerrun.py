"""`docker run` of the same image with the same flags: what anybody has without a line of ours."""

import asyncio
import shutil
import time
from collections.abc import Sequence
from typing import Self

from orchestrator.bench.stage import Stage, request_line
from orchestrator.domain.sandbox import SandboxSpec
from orchestrator.engine.lockdown import HOSTNAME, WORKING_DIR, environment
from orchestrator.engine.seccomp import security_option
from orchestrator.errors import ConfigurationError, EngineFault


class DockerRun:
    """Runs a program with `docker run --rm` and the flags of our lockdown."""

    def __init__(self, command: Sequence[str]) -> None:
        self._command = command

    @classmethod
    async def on(cls, stage: Stage) -> Self:
        """Ready to run the stage's image; raises `ConfigurationError` where there is no docker command."""
        if await asyncio.to_thread(shutil.which, "docker") is None:
            raise ConfigurationError(
                "The docker command is missing: install it to compare with `docker run`."
            )
        profile = stage.settings.data_dir / "seccomp.json"
        await asyncio.to_thread(profile.write_text, security_option().removeprefix("seccomp="))
        host = [f"--host={stage.settings.docker_host}"] if stage.settings.docker_host else []
        spec = await stage.spec("docker-run")
        return cls(["docker", *host, "run", *flags(spec, str(profile)), stage.image])

    async def timed(self, code: str, expected: bytes) -> float:
        """Seconds until `docker run` is over, which removes its container as well."""
        began = time.perf_counter()
        process = await asyncio.create_subprocess_exec(
            *self._command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        output, _ = await process.communicate(request_line(code))
        seconds = time.perf_counter() - began
        if expected not in output:
            raise EngineFault(
                f"`docker run` of the benchmark's program ended with {process.returncode}: "
                "run it by hand to see why."
            )
        return seconds

    def piped_to_cat(self) -> Sequence[str]:
        """The command of a shell that pipes the whole into `cat`."""
        return ["sh", "-c", '"$@" | cat', "sh", *self._command]


def flags(spec: SandboxSpec, seccomp_profile: str) -> Sequence[str]:
    """The lockdown in the words of the command line, which has none for disabling networking besides."""
    limits = spec.limits
    named = {
        "runtime": spec.runtime,
        "init": "false",
        "network": "none",
        "hostname": HOSTNAME,
        "workdir": WORKING_DIR,
        "user": f"{spec.uid}:{spec.uid}",
        "cap-drop": "ALL",
        "memory": str(limits.memory),
        "memory-swap": str(limits.memory),
        "oom-score-adj": "500",
        "pids-limit": str(limits.pids),
        "cpus": str(limits.cpus),
        "shm-size": str(limits.shm),
        "ipc": "private",
        "cgroupns": "private",
        "tmpfs": f"/tmp:rw,noexec,nosuid,nodev,size={limits.tmpfs},mode=1777",  # noqa: S108  # inside the sandbox
        "log-driver": "none",
    }
    several = {
        "security-opt": ["no-new-privileges", f"seccomp={seccomp_profile}"],
        "ulimit": [f"nofile={limits.nofile}", f"fsize={limits.file_bytes}", "core=0"],
        "env": [f"{name}={value}" for name, value in sorted(environment(spec).items())],
        "mount": [
            f"type=bind,source={mount.source},target={mount.target},bind-propagation=private"
            + (",readonly" if mount.read_only else "")
            for mount in spec.mounts
        ],
    }
    return [
        *("--rm", "--interactive", "--read-only"),
        *(f"--{name}={value}" for name, value in named.items()),
        *(f"--{name}={value}" for name, values in several.items() for value in values),
    ]
