"""`users erase`: everything of an owner goes, once it is sure that this is meant."""

import json
import os
import pty
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.support import SANDGLASS, Cli

MAKES = "import os; os.mkdir('.cache'); open('.cache/x', 'w'); open('a.txt', 'w').write('four'); print(1)"


def test_an_owner_is_erased_and_nobody_else(
    cli: Cli, run_json: Callable[..., Any], environment: dict[str, str]
) -> None:
    """Counted for programs and for people; figures and a uid are what is left, and an empty workspace."""
    for owner in ("ann", "bob"):
        run_json("--owner", owner, "-c", MAKES)
    erased = json.loads(cli("users", "erase", "ann", "--yes", "--json").stdout)
    assert erased == {
        "owner": "ann",
        "files": 1,
        "workspace_files": 1,
        "executions": 1,
        "under_way": [],
    }
    ann = json.loads(cli("users", "show", "ann", "--json").stdout)
    assert (ann["executions"], ann["files"]) == (0, 0)
    assert list((Path(environment["SANDGLASS_DATA_DIR"]) / "workspaces" / "ann").iterdir()) == []
    told = cli("users", "erase", "bob", "--yes")
    assert (told.returncode, told.stderr) == (0, "")
    assert "Erased of bob: 1 executions, 1 stored files, 1 other files of the workspace" in told.stdout


def test_where_nobody_can_be_asked_nothing_is_erased(cli: Cli, environment: dict[str, str]) -> None:
    """Without --yes it is refused with the remedy."""
    cli("files", "put", "--owner", "ann", SANDGLASS)
    refused = cli("users", "erase", "ann", stdin=subprocess.DEVNULL)
    assert refused.returncode == 2
    assert "--yes" in refused.stderr
    assert json.loads(cli("users", "erase", "ann", "--yes", "--json").stdout)["files"] == 1


@pytest.mark.parametrize(("answer", "erased"), [("y", True), ("n", False), ("", False)])
def test_on_a_terminal_it_is_asked(cli: Cli, tmp_path: Path, answer: str, *, erased: bool) -> None:
    """Only a yes is one."""
    (tmp_path / "a.txt").write_text("x")
    cli("files", "put", "--owner", "ann", tmp_path / "a.txt")
    ours, theirs = pty.openpty()
    os.write(ours, f"{answer}\n".encode())
    done = cli("users", "erase", "ann", stdin=theirs)
    os.close(ours)
    os.close(theirs)
    assert done.returncode == 0
    assert "cannot be undone" in done.stderr
    assert ("Nothing was erased" in done.stdout) is not erased
    assert (json.loads(cli("files", "ls", "--owner", "ann", "--json").stdout) == []) is erased


def test_a_running_program_is_named_and_goes_on(
    cli: Cli, environment: dict[str, str], tmp_path: Path
) -> None:
    """Exit code 2 and how to end it, whatever process runs it; afterwards the rest is erased."""
    code = "import time\nopen('kept.txt', 'w').write('kept')\nwhile True: time.sleep(0.01)"
    command = [str(SANDGLASS), "run", "--owner", "ann", "--timeout", "100", "--json", "-c", code]
    with subprocess.Popen(
        command, env=environment, cwd=tmp_path, stdout=subprocess.PIPE, text=True
    ) as process:
        kept = Path(environment["SANDGLASS_DATA_DIR"]) / "workspaces" / "ann" / "kept.txt"
        deadline = time.monotonic() + 60
        while not kept.exists():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        kept_from = cli("users", "erase", "ann", "--yes", "--json")
        assert kept_from.returncode == 2
        (running,) = json.loads(kept_from.stdout)["under_way"]
        assert "sandglass kill" in json.loads(kept_from.stderr)["error"]
        assert kept.exists()
        assert cli("kill", running).returncode == 0
        process.communicate(timeout=60)
    assert cli("users", "erase", "ann", "--yes").returncode == 0
    assert not kept.exists()
