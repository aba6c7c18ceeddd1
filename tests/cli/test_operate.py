"""The operator's commands, over an execution that another process runs."""

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.support import SANDGLASS, Cli

CODE = """
import time
open("kept.txt", "w").write("kept")
print("started", flush=True)
while True:
    time.sleep(0.01)
"""


@pytest.fixture
def running(environment: dict[str, str], tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    """`sandglass run --json` of a program without an end, once that has printed something."""
    command = [str(SANDGLASS), "run", "--owner", "ann", "--timeout", "200", "--json", "-c", CODE]
    with subprocess.Popen(
        command, env=environment, cwd=tmp_path, stdout=subprocess.PIPE, text=True
    ) as process:
        kept = Path(environment["SANDGLASS_DATA_DIR"]) / "workspaces" / "ann" / "kept.txt"
        deadline = time.monotonic() + 30
        while not kept.exists():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        yield process
        process.terminate()


def parsed(done: "subprocess.CompletedProcess[str]") -> Any:
    """The JSON of a command that did what it was asked."""
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_an_operator_finds_a_running_execution_looks_into_it_and_kills_it(
    cli: Cli, running: "subprocess.Popen[str]"
) -> None:
    """From `ps` to `kill`: the owner's own command comes back with `killed`, the output and the file."""
    (sandbox,) = parsed(cli("ps", "--json"))["sandboxes"]
    assert (sandbox["owner"], sandbox["status"], sandbox["state"]) == ("ann", "running", "RUNNING")
    execution_id = sandbox["execution_id"]
    assert execution_id in cli("ps").stdout
    assert parsed(cli("status", "--json"))["running"] == 1

    inspection = parsed(cli("inspect", execution_id, "--json"))
    assert inspection["lockdown"]["differences"] == []
    effective = {one["name"]: one["effective"] for one in inspection["lockdown"]["defences"]}
    assert effective["HostConfig.NetworkMode"] == "none"
    assert effective["HostConfig.CapDrop"] == ["ALL"]
    assert "as it was asked for" in cli("inspect", execution_id).stdout

    (usage,) = parsed(cli("stats", "--json"))
    assert usage["execution_id"] == execution_id
    assert 0 < usage["memory"] < usage["memory_limit"] == 1024**3
    assert usage["pids"] >= 1

    assert "with the process that runs it" in parsed(cli("logs", execution_id, "--json"))["note"]

    assert parsed(cli("kill", execution_id[:8], "--json"))["killed"]
    out, _ = running.communicate(timeout=20)
    result = json.loads(out)
    assert running.returncode == 1
    assert result["outcome"] == "killed"
    assert "operator" in result["hint"]
    assert [file["path"] for file in result["generated_files"]] == ["kept.txt"]

    assert cli("logs", execution_id).stdout == "started\n"
    assert not parsed(cli("kill", execution_id, "--json"))["killed"]
    assert "no container" in cli("inspect", execution_id).stdout
    assert parsed(cli("ps", "-a", "--json")) == {"sandboxes": [], "queue": []}
    assert cli("kill", "nobody").returncode == 2


def test_logs_follows_what_another_process_runs(
    cli: Cli, environment: dict[str, str], tmp_path: Path
) -> None:
    """`logs -f` shows what comes until the end, and its outcome; of one that has ended, what was kept."""
    code = "import time\nfor n in range(2000): print(n, flush=True); time.sleep(0.01)"
    run = [str(SANDGLASS), "run", "--owner", "ann", "--timeout", "100", "--json", "-c", code]
    with subprocess.Popen(run, env=environment, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 60
        while not (alive := parsed(cli("ps", "--json"))["sandboxes"]) or alive[0]["state"] != "RUNNING":
            assert time.monotonic() < deadline
        execution_id = alive[0]["execution_id"]
        follow = [str(SANDGLASS), "logs", "-f", execution_id]
        with subprocess.Popen(
            follow, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as following:
            assert following.stdout is not None
            first = int(following.stdout.readline())
            process.terminate()
            out, err = following.communicate(timeout=60)
        result = json.loads(process.communicate(timeout=60)[0])
    assert following.returncode == 0, err
    assert "From here on" in err
    assert err.endswith(f"{execution_id}: cancelled\n")
    numbers = [first, *map(int, out.split())]
    assert numbers == list(range(first, numbers[-1] + 1))
    assert result["output"].split()[-1] == str(numbers[-1])
    assert cli("logs", "-f", execution_id).stdout == result["output"]


def test_the_users_command_shows_what_each_owner_has(cli: Cli, run_json: Callable[..., Any]) -> None:
    """Executions, files and bytes of an owner; an unknown one is refused with a sentence."""
    run_json("--owner", "ann", "-c", "open('a.txt', 'w').write('four')")
    run_json("--owner", "bob", "-c", "print(1)")
    (ann, bob) = parsed(cli("users", "ls", "--json"))
    assert (ann["owner"], ann["executions"], ann["files"], ann["bytes"]) == ("ann", 1, 1, 4)
    assert (bob["owner"], bob["files"]) == ("bob", 0)
    assert ann["uid"] != bob["uid"]
    assert parsed(cli("users", "show", "ann", "--json")) == ann
    refused = cli("users", "show", "carl")
    assert refused.returncode == 2
    assert "users ls" in refused.stderr


def test_a_replay_says_what_differs(cli: Cli, run_json: Callable[..., Any], tmp_path: Path) -> None:
    """A program without chance repeats itself; time and a deleted input are told apart by name."""
    given = tmp_path / "in.txt"
    given.write_text("given")
    same = run_json("--upload", given, "-c", "print(load_file('in.txt')); open('o.txt', 'w').write('x')")
    again = parsed(cli("executions", "replay", same["execution_id"], "--json"))
    assert again["differences"] == []
    other = run_json("-c", "import time; print('a'); print(time.time_ns())")
    replayed = parsed(cli("executions", "replay", other["execution_id"], "--json"))
    assert replayed["differences"] == ["output differs from line 2 on"]
    (file,) = [one for one in parsed(cli("files", "ls", "--json")) if one["filename"] == "in.txt"]
    assert cli("files", "rm", file["file_id"]).returncode == 0
    gone = cli("executions", "replay", same["execution_id"])
    assert gone.returncode == 1
    assert f"differs: input {file['file_id']} is gone" in gone.stderr
