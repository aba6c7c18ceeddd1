"""The Makefile and the locks: what is promised is listed, what is locked is what is asked for."""

import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROMISED = [
    "setup",
    "engine",
    "engine-gvisor",
    "test-gvisor",
    "image",
    "demo",
    "test",
    "check",
    "bench",
    "bench-check",
    "bench-figures",
    "chat",
    "help",
]


def make(*arguments: str) -> str:
    """What make prints, free of the make that may have started this run."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(
        ["make", *arguments], cwd=ROOT, env=clean, capture_output=True, text=True, timeout=60, check=True
    ).stdout


def pins(name: str) -> dict[str, str]:
    """Distribution and version of every line of a lock."""
    return dict(re.findall(r"^([a-z0-9._-]+)==([^ ;\\]+)", (ROOT / name).read_text(), re.MULTILINE))


def bare(requirement: str) -> str:
    return re.split(r"[\[<>=!~; ]", requirement, maxsplit=1)[0].lower()


@pytest.mark.parametrize("target", PROMISED)
def test_help_lists_every_promised_target(target: str) -> None:
    """A target that nobody can find is not there."""
    assert re.search(rf"^  make {target} +\S", make("help"), re.MULTILINE)


def test_a_second_setup_does_nothing(tmp_path: Path) -> None:
    """The stamp lies inside .venv and is newer than what it was made from."""
    assert ".ci/setup.sh" not in make("-n", "setup")
    assert ".ci/setup.sh" in make("-n", "setup", f"VENV={tmp_path}/none")


def test_every_requirement_is_locked_and_both_locks_agree() -> None:
    """What pyproject.toml asks for is pinned, and tests run against the versions that users get."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    runtime, development = pins("requirements.txt"), pins("requirements-dev.txt")
    assert {bare(wanted) for wanted in project["project"]["dependencies"]} <= runtime.keys()
    assert {bare(wanted) for wanted in project["dependency-groups"]["dev"]} <= development.keys()
    assert runtime.items() <= development.items()


@pytest.mark.parametrize("lock", ["requirements.txt", "requirements-dev.txt", ".ci/uv.txt"])
def test_every_pin_has_a_hash_and_no_address(lock: str) -> None:
    """A lock says what, never where from."""
    text = (ROOT / lock).read_text()
    assert "://" not in text
    for pin in re.split(r"\n(?=\S)", text):
        if "==" in pin:
            assert "--hash=sha256:" in pin, pin.partition("\n")[0]
