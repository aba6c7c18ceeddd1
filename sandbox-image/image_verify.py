#!/usr/bin/env python3
"""Run the image's own verify.py under the full lockdown; show what it found with sizes and import times.

`--write-packages` instead writes down in packages.json what is installed, which the build puts into a label.
Exit code 1 when anything fails, also when the label, packages.json and the image do not agree.
"""

import json
import random
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
from docker.errors import DockerException, ImageNotFound

HERE = Path(__file__).resolve().parent
IMAGE = "sandglass-sandbox:latest"
PATIENCE = 900  # seconds for importing everything on one core
LOCKDOWN: dict[str, Any] = {
    "network_mode": "none",
    "network_disabled": True,
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges"],
    "read_only": True,
    "tmpfs": {"/tmp": "rw,noexec,nosuid,nodev,size=256m,mode=1777"},
    "mem_limit": "1g",
    "memswap_limit": "1g",
    "pids_limit": 128,
    "nano_cpus": 1_000_000_000,
    "ipc_mode": "private",
}


def main() -> int:
    """Verify, or write the package list; return the exit code."""
    if shutil.which("docker") is None and not Path("/var/run/docker.sock").exists():
        return refuse("No Docker engine is reachable: run `make engine` first.")
    try:
        client = docker.from_env(timeout=PATIENCE)
        image = client.images.get(IMAGE)
        if "--write-packages" in sys.argv[1:]:
            (HERE / "packages.json").write_text(packed(installed(client)), encoding="utf-8")
            return 0
        return verify(client, image.labels)
    except ImageNotFound:
        return refuse(f"There is no image {IMAGE}: run `make image` first.")
    except DockerException as failure:
        return refuse(f"The engine failed: {failure}")


def refuse(sentence: str) -> int:
    """Say why nothing was verified."""
    print(sentence, file=sys.stderr)
    return 3


def verify(client: docker.DockerClient, labels: dict[str, str]) -> int:
    """Show every line the container prints and the checks made from outside; return the exit code."""
    failures, packages, size, sections = 0, [], 0, 0
    print(f"{'distribution':30} {'version':22} {'size':>10} {'import':>10}")
    for line in lines_of(client, "/opt/sandglass/verify.py"):
        failures += line["error"] is not None
        verdict = f"  FAILED: {line['error']}" if line["error"] else ""
        if "check" in line:
            print(f"check: {line['check']}{verdict or '  ok'}", flush=True)
            sections += 1
            continue
        packages.append({key: line[key] for key in ("name", "version", "imports")})
        size += line["size"]
        mib, milliseconds = line["size"] / 2**20, line["import_ms"]
        print(
            f"{line['name']:30} {line['version'][:22]:22} {mib:7.1f} MB {milliseconds:7.0f} ms{verdict}",
            flush=True,
        )
    if not packages or not sections:
        failures += 1
        print("check: the image's own verification came to its end  FAILED")
    committed = json.loads((HERE / "packages.json").read_bytes())
    for told, what in ((committed, "packages.json"), (json.loads(labels["org.sandglass.packages"]), "label")):
        agrees = told == packages
        failures += not agrees
        print(f"check: {what} agrees with the image{'  ok' if agrees else '  FAILED: run `make image-lock`'}")
    print(f"{len(packages)} distributions, {size / 2**20:.0f} MB, {failures} failed")
    return 1 if failures else 0


def installed(client: docker.DockerClient) -> list[dict[str, Any]]:
    """Return name, version and import names of everything in the image."""
    told: list[dict[str, Any]] = json.loads("".join(output_of(client, "/opt/sandglass/verify.py", "--list")))
    return told


def packed(packages: list[dict[str, Any]]) -> str:
    """Return the list as JSON with one package a line, which reads well in a diff."""
    return "[\n" + ",\n".join(json.dumps(one, ensure_ascii=False) for one in packages) + "\n]\n"


def lines_of(client: docker.DockerClient, *command: str) -> Iterator[dict[str, Any]]:
    """Yield the JSON lines that a command in the locked-down image prints, as they come."""
    rest = ""
    for piece in output_of(client, *command):
        *whole, rest = (rest + piece).split("\n")
        yield from map(json.loads, whole)


def output_of(client: docker.DockerClient, *command: str) -> Iterator[str]:
    """Run Python in the image under the full lockdown as a random user; yield its stdout as it comes."""
    user = random.randint(20_000, 60_000)
    with tempfile.TemporaryDirectory(prefix="sandglass-verify-") as workspace:
        Path(workspace).chmod(0o777)
        container = client.containers.create(
            IMAGE,
            list(command),
            entrypoint=["/usr/bin/tini", "--", "/usr/bin/python3", "-I", "-B", "-u"],
            user=f"{user}:{user}",
            volumes={workspace: {"bind": "/workspace", "mode": "rw"}},
            labels={"org.sandglass.role": "verify"},
            **LOCKDOWN,
        )
        try:
            output = container.attach(stdout=True, stderr=False, stream=True, logs=True)
            container.start()
            for piece in output:
                yield piece.decode("utf-8", "replace")
        finally:
            container.remove(force=True)
            keep_plot(Path(workspace))


def keep_plot(workspace: Path) -> None:
    """Keep the drawn plot where a person can look at it."""
    plot = workspace / "verify.png"
    if plot.is_file() and not plot.is_symlink():
        kept = Path(tempfile.gettempdir()) / "sandglass-verify.png"
        shutil.copyfile(plot, kept)
        print(f"the plot is at {kept}")


if __name__ == "__main__":
    sys.exit(main())
