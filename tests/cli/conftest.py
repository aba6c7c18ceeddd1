"""The real command in a process of its own, over a data directory of the test."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.support import SANDGLASS, Cli


@pytest.fixture
def environment(data_dir: Path) -> dict[str, str]:
    """The environment of the command, with nothing of the caller's settings."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("SANDGLASS_")}
    return inherited | {"SANDGLASS_DATA_DIR": str(data_dir), "COLUMNS": "120"}


@pytest.fixture
def cli(environment: dict[str, str], tmp_path: Path) -> Cli:
    """Call `sandglass` with these arguments and return what it printed and its exit code."""

    def call(*arguments: object, **more: Any) -> subprocess.CompletedProcess[str]:
        options: dict[str, Any] = {"env": environment, "timeout": 100} | more
        command = [str(SANDGLASS), *map(str, arguments)]
        done: subprocess.CompletedProcess[str] = subprocess.run(
            command, capture_output=True, text=True, check=False, cwd=tmp_path, **options
        )
        return done

    return call


@pytest.fixture
def run_json(cli: Cli) -> Callable[..., dict[str, Any]]:
    """`sandglass run --json` with these arguments, as the object it printed."""

    def call(*arguments: object) -> dict[str, Any]:
        done = cli("run", "--json", *arguments)
        assert done.stdout, done.stderr
        parsed: dict[str, Any] = json.loads(done.stdout)
        return parsed

    return call
