"""What a sandbox must be, and what the engine says about the ones that exist."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from orchestrator.domain.limits import Limits

LABEL = "org.sandglass"
LABEL_INSTANCE = f"{LABEL}.instance"
LABEL_OWNER = f"{LABEL}.owner"
LABEL_EXECUTION = f"{LABEL}.execution"
LABEL_KIND = f"{LABEL}.kind"
LABEL_FINGERPRINT = f"{LABEL}.fingerprint"
LABEL_HOLDER = f"{LABEL}.holder"
IMAGE_LABEL_CONTRACT = f"{LABEL}.contract"
IMAGE_LABEL_LOCK = f"{LABEL}.lock"
IMAGE_LABEL_PACKAGES = f"{LABEL}.packages"

RUNNER_CONTRACT = 1
READY_LINE = b"sandglass-ready 1\n"
STANDBY_PREFIX = "standby-"
"""What the id of a standby begins with, and no id of an execution may."""


class SandboxKind(StrEnum):
    """What a container of ours is for."""

    EXECUTION = "execution"
    STANDBY = "standby"
    PROBE = "probe"


class Stream(StrEnum):
    """The two streams of a program."""

    STDOUT = "stdout"
    STDERR = "stderr"


@dataclass(frozen=True, kw_only=True, slots=True)
class Mount:
    """One host directory bound into the sandbox."""

    source: Path
    target: str
    read_only: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class SandboxSpec:
    """Everything that decides a container; two equal specs make equal containers."""

    execution_id: str
    owner: str
    uid: int
    image: str
    """The pinned image digest, `sha256:...`."""
    runtime: str
    limits: Limits
    mounts: tuple[Mount, ...]
    instance: str
    """The orchestrator installation that the container belongs to."""
    kind: SandboxKind = SandboxKind.EXECUTION
    warm: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)
    holder: str = ""
    """The process that keeps a standby; an execution's is in its row."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageInfo:
    """The pinned sandbox image."""

    digest: str
    contract: int
    lock: str
    packages: tuple[Mapping[str, object], ...]
    created_at: str
    size: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Survey:
    """One container of ours as the engine reports it."""

    container_id: str
    owner: str
    execution_id: str
    kind: SandboxKind
    status: str
    created_at: datetime
    holder: str = ""
