"""Run the runner: as a plain process of this Python, or in a real container of the image under the full
lockdown."""

import json
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

RUNNER = Path(__file__).parents[2] / "sandbox-image" / "runner.py"
IMAGE = "sandglass-sandbox:latest"
PATIENCE = 100  # seconds
USER = 43210
LOCKDOWN = (
    *("--network", "none", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--read-only"),
    *("--user", f"{USER}:{USER}", "--tmpfs", "/tmp:rw,noexec,nosuid,nodev,size=64m,mode=1777"),
    *("--memory", "1g", "--memory-swap", "1g", "--pids-limit", "128", "--cpus", "1", "--ipc", "private"),
    *("--env", "OPENBLAS_NUM_THREADS=1", "--env", "OMP_NUM_THREADS=1", "--env", "POLARS_MAX_THREADS=1"),
)


@dataclass(frozen=True, kw_only=True)
class Ran:
    """What came of one run."""

    code: int
    out: str
    err: str


@dataclass(frozen=True, kw_only=True)
class Box:
    """The directories one container sees; both must be readable for a foreign uid."""

    workspace: Path
    inputs: Path | None = None
    extra: tuple[str, ...] = field(default=())


def request(code: str, **more: object) -> bytes:
    """Return the request line for `code`."""
    return (
        json.dumps({"contract": 1, "code": code, "inputs": [], "argv": [], "namespace": None} | more).encode()
        + b"\n"
    )


def record(file_id: str, filename: str, **more: object) -> dict[str, object]:
    """Return an inputs record as the orchestrator sends it."""
    return {"file_id": file_id, "filename": filename, "path": filename, "type": "data"} | more


def run_here(code: str, *, cwd: Path, **more: object) -> Ran:
    """Run `code` through the runner in a process of this Python."""
    return send_here(request(code, **more), cwd=cwd)


def send_here(line: bytes, *, cwd: Path) -> Ran:
    """Send raw bytes to the runner in a process of this Python."""
    done = subprocess.run(
        [sys.executable, "-I", "-B", "-u", str(RUNNER)],
        input=line,
        cwd=cwd,
        capture_output=True,
        timeout=PATIENCE,
        check=False,
    )
    return Ran(code=done.returncode, out=done.stdout.decode(), err=done.stderr.decode())


def run_in(box: Box, code: str, *, warm: bool = False, **more: object) -> Ran:
    """Run `code` in a real container, cold or through a standby, whose ready line is checked and taken
    off."""
    mounts = ["--volume", f"{box.workspace}:/workspace"]
    if box.inputs:
        mounts += ["--volume", f"{box.inputs}:/inputs:ro"]
    done = subprocess.run(
        ["docker", "run", "--rm", "-i", *LOCKDOWN, *mounts, *box.extra, IMAGE, *(["--warm"] if warm else [])],
        input=request(code, **more),
        capture_output=True,
        timeout=PATIENCE,
        check=False,
    )
    out = done.stdout.decode()
    if warm:
        ready, _, out = out.partition("\n")
        assert ready == "sandglass-ready 1", done.stderr.decode()
    return Ran(code=done.returncode, out=out, err=done.stderr.decode())
