"""The whole lockdown in one pure function: one line per defence, each with its reason."""

import json
from collections.abc import Mapping
from functools import cache
from hashlib import sha256
from math import ceil

from orchestrator.domain.limits import Limits
from orchestrator.domain.sandbox import (
    LABEL_EXECUTION,
    LABEL_FINGERPRINT,
    LABEL_HOLDER,
    LABEL_INSTANCE,
    LABEL_KIND,
    LABEL_OWNER,
    Mount,
    SandboxSpec,
)
from orchestrator.engine.seccomp import security_option

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "POLARS_MAX_THREADS",
    "RAYON_NUM_THREADS",
)
"""Libraries that would start a thread per core of the host, and then be throttled to our share of it."""

WORKING_DIR = "/workspace"
HOSTNAME = "sandbox"
NANO = 1_000_000_000


def container_name(spec: SandboxSpec) -> str:
    """A name that follows from the execution, so that a create whose reply was lost can be found again."""
    return f"sandglass-{spec.execution_id}"


def container_config(spec: SandboxSpec) -> dict[str, object]:
    """The body of `POST /containers/create`; nothing a caller says is merged over it."""
    return {
        # What runs: the pinned image and its own entry point.
        "Image": spec.image,  # a digest: a tag could have moved since it was checked
        "Cmd": ["--warm"] if spec.warm else [],  # empty: the request comes over stdin, never over argv
        "Labels": labels(spec),  # how the reaper knows what is ours, and only that
        # What it sees of the host: nothing.
        "User": f"{spec.uid}:{spec.uid}",  # not root, and another uid for every owner
        "Hostname": HOSTNAME,  # tells neither the host's name nor the container's id
        "WorkingDir": WORKING_DIR,
        "Env": [f"{name}={value}" for name, value in sorted(environment(spec).items())],
        "NetworkDisabled": True,  # no endpoint is ever made, and the start takes half the time
        # One request in, two streams out; end of stdin after the one client that attached.
        "Tty": False,  # a terminal would merge the streams and take control characters from the program
        "OpenStdin": True,
        "StdinOnce": True,
        "AttachStdin": True,
        "AttachStdout": True,
        "AttachStderr": True,
        "HostConfig": _host_config(spec),
    }


@cache
def lockdown_digest() -> str:
    """A digest of everything above and below but what differs from one specification to the next."""
    plain = SandboxSpec(
        execution_id="", owner="", uid=0, image="", runtime="", limits=Limits(), mounts=(), instance=""
    )
    return sha256(json.dumps(container_config(plain), sort_keys=True).encode()).hexdigest()


def _host_config(spec: SandboxSpec) -> dict[str, object]:
    limits = spec.limits
    return {
        "Runtime": spec.runtime,  # as set; an engine without it refuses, there is no fallback
        "NetworkMode": "none",  # a fresh network namespace with only `lo`
        "CapDrop": ["ALL"],  # not even what the engine leaves to root by default
        "CapAdd": [],  # and none comes back
        "SecurityOpt": [
            "no-new-privileges",  # setuid bits give nothing
            security_option(),  # our own filter of system calls, stricter than the engine's
        ],
        "Privileged": False,  # the one flag that would undo most of the others
        "ReadonlyRootfs": True,  # the image is the same at the end as at the start
        "Memory": limits.memory,  # past it the kernel kills, in this container only
        "MemorySwap": limits.memory,  # memory and swap together: so there is no swap
        "OomKillDisable": False,  # a program at its limit dies, it does not hang
        "OomScoreAdj": 500,  # when the host itself is short, the stranger goes before the orchestrator
        "NanoCpus": round(limits.cpus * NANO),  # a spinning program takes its share, not the machine
        "PidsLimit": limits.pids,  # processes and threads: a fork bomb ends in an exception
        "Ulimits": [
            {"Name": "nofile", "Soft": limits.nofile, "Hard": limits.nofile},  # open files cost kernel memory
            {
                "Name": "fsize",
                "Soft": limits.file_bytes,
                "Hard": limits.file_bytes,
            },  # no file beyond what we keep
            {"Name": "core", "Soft": 0, "Hard": 0},  # a crash writes no image of itself
        ],
        "Tmpfs": {"/tmp": f"rw,noexec,nosuid,nodev,size={limits.tmpfs},mode=1777"},  # noqa: S108  # bounded scratch
        "ShmSize": limits.shm,  # /dev/shm counts as memory, and is bounded besides
        "IpcMode": "private",  # no shared memory or semaphores with anybody
        "CgroupnsMode": "private",  # the container sees itself as the root of its control groups
        "Mounts": [_mount(mount) for mount in spec.mounts],
        "LogConfig": {"Type": "none", "Config": {}},  # a flood of output fills no disk of the host
        "RestartPolicy": {"Name": "no", "MaximumRetryCount": 0},  # used once
        "AutoRemove": False,  # the cause of death is read from the dead container
        "Init": False,  # the image brings its own, so no binary of the host is mounted in
    }


def labels(spec: SandboxSpec) -> dict[str, str]:
    """What is written on the container; the constants are the reaper's as well."""
    return {
        LABEL_INSTANCE: spec.instance,
        LABEL_OWNER: spec.owner,
        LABEL_EXECUTION: spec.execution_id,
        LABEL_KIND: spec.kind.value,
        LABEL_FINGERPRINT: f"{spec.uid}/{spec.runtime}",
        LABEL_HOLDER: spec.holder,
    }


def environment(spec: SandboxSpec) -> Mapping[str, str]:
    """The variables added to the image's own: what the specification names, then as many threads as cpus."""
    threads = str(max(1, ceil(spec.limits.cpus)))
    return {**spec.environment, **dict.fromkeys(THREAD_VARIABLES, threads)}


def _mount(mount: Mount) -> dict[str, object]:
    return {
        "Type": "bind",  # never a volume, which the engine would make and keep
        "Source": str(mount.source),
        "Target": mount.target,
        "ReadOnly": mount.read_only,
        "BindOptions": {"Propagation": "private"},  # a mount made on one side never shows on the other
    }
