#!/usr/bin/env python3
"""Build the sandbox image from its inputs, and nothing when the engine already has exactly that image.

The base is `debian:trixie-slim` where a registry answers; otherwise the same system is bootstrapped from
Debian packages. Only the standard library and the `docker` client are needed. Nothing is written into the
source tree.
"""

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPOSITORY = "sandglass-sandbox"
PUBLIC_BASE = "debian:trixie-slim"
OWN_BASE = "sandglass-base:trixie"
PULL_PATIENCE = 120.0  # seconds; a registry that is behind a dead route must not hold the build for ever
CORE_INPUTS = ("Dockerfile", "thin.sh", "runner.py", "preload.txt", "verify.py", "sandglass_runner")
FULL_INPUTS = (*CORE_INPUTS, "requirements.lock", "strip.sh", "fontcache.py", "packages.json")
CA_BUNDLES = ("PIP_CERT", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "CURL_CA_BUNDLE")
INDEX_SETTINGS = {"PIP_INDEX_URL": "index-url", "PIP_EXTRA_INDEX_URL": "extra-index-url"}


class BuildFailed(Exception):
    """The image could not be built; the message is one sentence with the remedy."""


def say(words: str) -> None:
    """Print one line of progress at once."""
    print(words, flush=True)


def files_of(names: tuple[str, ...]) -> list[Path]:
    """Return every regular file the named inputs consist of, sorted, without compiled leftovers."""
    found: list[Path] = []
    for name in names:
        path = HERE / name
        found += sorted(path.rglob("*.py")) if path.is_dir() else [path]
    return found


def digest_of(names: tuple[str, ...]) -> str:
    """Return one sha256 over names and contents of the inputs: the image's identity before it is built."""
    total = hashlib.sha256()
    for path in files_of(names):
        total.update(f"{path.relative_to(HERE)}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return total.hexdigest()


def docker(*arguments: str, timeout: float | None = 60) -> subprocess.CompletedProcess[str]:
    """Run the docker client quietly; the caller looks at the return code."""
    try:
        return subprocess.run(
            ["docker", *arguments], capture_output=True, text=True, timeout=timeout, check=False
        )
    except FileNotFoundError:
        raise BuildFailed("The docker client is missing: run `make engine` first.") from None
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(arguments, 124, "", f"no answer within {timeout:.0f} s")


def labels_of(image: str) -> dict[str, str] | None:
    """Return the labels of an image the engine has, None when it has no such image."""
    answer = docker("image", "inspect", "--format", "{{json .Config.Labels}}", image)
    return (json.loads(answer.stdout) or {}) if answer.returncode == 0 else None


def run_shown(arguments: list[str], *, heading: str, shown: tuple[str, ...]) -> None:
    """Run a long command; show its telling lines with the time they came, everything when it fails."""
    say(f"{heading} ...")
    began, lines = time.monotonic(), []
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line)
            if line.startswith(shown):
                say(f"  {time.monotonic() - began:5.0f} s  {' '.join(line.split())[:110]}")
    if process.returncode:
        say("".join(lines[-60:]))
        raise BuildFailed(f"{heading} failed with exit code {process.returncode}; its last lines are above.")
    say(f"  {time.monotonic() - began:5.0f} s  done")


def find_base() -> str:
    """Return a base image the engine has: the public one, pulled if a registry answers, or our own
    bootstrap."""
    if labels_of(PUBLIC_BASE) is not None:
        return PUBLIC_BASE
    if labels_of(OWN_BASE) is not None:
        return OWN_BASE
    say(f"Pulling {PUBLIC_BASE} ...")
    pulled = docker("pull", "--quiet", PUBLIC_BASE, timeout=PULL_PATIENCE)
    if pulled.returncode == 0:
        return PUBLIC_BASE
    say("  no registry answers; bootstrapping the same system from Debian packages instead")
    bootstrap_base()
    return OWN_BASE


def bootstrap_base() -> None:
    """Make a minimal Debian 13 with mmdebstrap and import it as our own base image."""
    ensure_mmdebstrap()
    with tempfile.TemporaryDirectory(prefix="sandglass-base-") as folder:
        archive = os.path.join(folder, "base.tar")
        excludes = [
            f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in ("doc", "man", "locale", "info")
        ]
        run_shown(
            ["mmdebstrap", "--variant=minbase", *excludes, "trixie", archive],
            heading="Bootstrapping Debian 13",
            shown=("I: ",),
        )
        imported = docker("import", archive, OWN_BASE, timeout=600)
    if imported.returncode:
        raise BuildFailed(f"The engine refused the bootstrapped base: {imported.stderr.strip()}")


def ensure_mmdebstrap() -> None:
    """Install mmdebstrap where that is possible, and say what to do where it is not."""
    if shutil.which("mmdebstrap"):
        return
    remedy = (
        f"No registry answers for {PUBLIC_BASE} and mmdebstrap is missing: install the package `mmdebstrap`."
    )
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise BuildFailed(remedy)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    say("Installing mmdebstrap ...")
    for step in (["update", "-qq"], ["install", "-y", "-qq", "--no-install-recommends", "mmdebstrap"]):
        answer = subprocess.run(
            ["apt-get", *step], env=environment, capture_output=True, text=True, check=False
        )
        if answer.returncode:
            raise BuildFailed(f"{remedy} (apt-get said: {answer.stderr.strip()[-300:]})")


def fill_context(folder: Path) -> None:
    """Copy the inputs, and what this host needs to reach its package index, into a context for one build.

    The host's files end up in a stage that is thrown away; nothing of them is in the final image.
    """
    for path in files_of(FULL_INPUTS):
        target = folder / path.relative_to(HERE)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    bundle = next((os.environ[name] for name in CA_BUNDLES if os.path.isfile(os.environ.get(name, ""))), None)
    if bundle:
        shutil.copyfile(bundle, folder / "host-ca.crt")
    settings = [
        f"{key} = {os.environ[name]}\n" for name, key in INDEX_SETTINGS.items() if os.environ.get(name)
    ]
    if settings:
        (folder / "host-pip.conf").write_text("[global]\n" + "".join(settings), encoding="utf-8")


def packages_label() -> str:
    """Return the committed package list as the compact JSON of the label."""
    return json.dumps(json.loads((HERE / "packages.json").read_bytes()), separators=(",", ":"))


def lock_digest() -> str:
    """Return the digest of the lock as the label carries it."""
    return "sha256:" + hashlib.sha256((HERE / "requirements.lock").read_bytes()).hexdigest()


def build(target: str, *, tag: str, inputs: str, base: str, context: Path, fresh: bool) -> None:
    """Build one target of the Dockerfile and give it its tag and labels."""
    proxies = [name for name in ("http_proxy", "https_proxy", "no_proxy") if os.environ.get(name)]
    run_shown(
        [
            *("docker", "build", "--network=host", "--target", target, "--tag", f"{REPOSITORY}:{tag}"),
            *(("--no-cache",) if fresh else ()),
            *("--build-arg", f"BASE={base}", "--label", f"org.sandglass.inputs={inputs}"),
            *("--build-arg", f"LOCK={lock_digest()}", "--build-arg", f"PACKAGES={packages_label()}"),
            *(word for name in proxies for word in ("--build-arg", name)),
            str(context),
        ],
        heading=f"Building {REPOSITORY}:{tag}",
        shown=("Step ", "#"),
    )


def main() -> int:
    """Bring the wanted targets up to date; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", nargs="?", choices=("core", "full"), help="default: both")
    parser.add_argument(
        "--rebuild", action="store_true", help="build even when nothing changed, without the cache"
    )
    options = parser.parse_args()
    try:
        for target, tag, names in (("core", "core", CORE_INPUTS), ("full", "latest", FULL_INPUTS)):
            inputs = digest_of(names)
            labels = labels_of(f"{REPOSITORY}:{tag}")
            up_to_date = labels is not None and labels.get("org.sandglass.inputs") == inputs
            if options.target not in (None, target) or (up_to_date and not options.rebuild):
                continue
            with tempfile.TemporaryDirectory(prefix="sandglass-image-") as folder:
                fill_context(Path(folder))
                base = find_base()
                build(target, tag=tag, inputs=inputs, base=base, context=Path(folder), fresh=options.rebuild)
    except BuildFailed as failure:
        print(failure, file=sys.stderr)
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
