"""What of a run of tests is still on the host, by the paths and labels of that run alone."""

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import docker

from tests.conftest import INSTANCE_LABEL

PATIENCE = 30
"""Seconds that an engine may take to forget what it was told to remove."""


def what_stays(look: Callable[[], list[str]]) -> list[str]:
    """What `look` still sees after `PATIENCE`."""
    deadline = time.monotonic() + PATIENCE
    while (seen := look()) and time.monotonic() < deadline:
        time.sleep(0.2)
    return seen


def containers(client: docker.DockerClient, data_dirs: list[Path]) -> list[str]:
    """By the label of each installation, whatever the container is for and whether it runs."""
    ours = {(data / "instance").read_text().strip() for data in data_dirs if (data / "instance").exists()}
    every = client.api.containers(all=True, filters={"label": INSTANCE_LABEL})
    return [one["Id"] for one in every if one["Labels"][INSTANCE_LABEL] in ours]


def processes(ours: str) -> list[str]:
    """Children of this process, and whoever lives where one of our directories is mounted or is named."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            inside = ours in (process / "mountinfo").read_text()
            parent = (process / "stat").read_text().rpartition(")")[2].split()[1]
        except OSError:
            continue  # it has just ended
        if inside or parent == str(os.getpid()):
            found.append(f"{process.name} {command}")
    return found


def mounts(ours: str) -> list[str]:
    """Below a directory of ours, or of a file or loop device that lies there."""
    devices = tuple(line.split()[0] + " " for line in loop_devices(ours))
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return [line for line in lines if ours in line or any(device in line for device in devices)]


def loop_devices(ours: str) -> list[str]:
    """Those whose file lies, or lay, below a directory of ours."""
    listed = subprocess.run(
        ["losetup", "--list", "--noheadings", "--output", "NAME,BACK-FILE"],
        capture_output=True,
        text=True,
        check=True,
    )
    return [line for line in listed.stdout.splitlines() if ours in line]


def half_done(data: Path) -> list[Path]:
    """Bytes without a name, inputs without an execution, directories of attacks on the host."""
    return [*data.glob("blobs/.tmp/*"), *data.glob("staging/*"), *data.glob("probes/*")]
