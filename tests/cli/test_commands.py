"""The commands around `run`: files, executions, status, upkeep, doctor, help and errors."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.cli.support import SANDGLASS, Cli


def test_files_go_in_and_come_back(cli: Cli, tmp_path: Path) -> None:
    """put, ls, get, extend and rm of one file, by name and by id."""
    content = bytes(range(256)) * 10
    (tmp_path / "blob.bin").write_bytes(content)
    stored = json.loads(cli("files", "put", "blob.bin", "--json").stdout)[0]
    assert [file["file_id"] for file in json.loads(cli("files", "ls", "--json").stdout)] == [
        stored["file_id"]
    ]
    assert stored["file_id"] in cli("files", "ls").stdout
    got = cli("files", "get", stored["file_id"], "--out", "back.bin")
    assert (got.returncode, (tmp_path / "back.bin").read_bytes()) == (0, content)
    extended = json.loads(cli("files", "extend", "blob.bin", "--hours", "100", "--json").stdout)[0]
    assert extended["expires_at"] > stored["expires_at"]
    assert cli("files", "rm", "blob.bin").returncode == 0
    assert json.loads(cli("files", "ls", "--json").stdout) == []


def test_a_full_workspace_refuses_until_it_is_cleared(cli: Cli, environment: dict[str, str]) -> None:
    """Exit code 2 with the remedy, and the remedy helps: stored files stay, the rest goes."""
    code = "import os\nos.mkdir('.hidden')\nopen('kept.txt', 'w').close()\n"
    many = f"{code}for number in range(160): open(f'.hidden/{{number}}', 'w').close()"
    assert cli("run", "-c", many).returncode == 0
    small = environment | {"SANDGLASS_WORKSPACE_INODES": "100"}
    refused = cli("run", "-c", "print(1)", env=small)
    assert refused.returncode == 2
    assert "sandglass files clear" in refused.stderr
    assert json.loads(cli("files", "clear", "--json").stdout) == {"owner": "local", "removed_files": 160}
    assert "Removed 0 files" in cli("files", "clear").stdout
    assert cli("run", "-c", "import os; print(os.listdir())", env=small).stdout == "['kept.txt']\n"


def test_get_overwrites_only_with_force(cli: Cli, tmp_path: Path) -> None:
    """The caller's file stays as it is until overwriting is asked for."""
    (tmp_path / "a.txt").write_text("stored")
    cli("files", "put", "a.txt")
    (tmp_path / "a.txt").write_text("mine")
    refused = cli("files", "get", "a.txt")
    assert (refused.returncode, (tmp_path / "a.txt").read_text()) == (2, "mine")
    assert "--force" in refused.stderr
    assert cli("files", "get", "a.txt", "--force").returncode == 0
    assert (tmp_path / "a.txt").read_text() == "stored"


def test_get_pours_to_standard_output(cli: Cli, tmp_path: Path) -> None:
    """A dash is stdout, to the byte."""
    (tmp_path / "a.txt").write_text("line\x1b[0m\n")
    cli("files", "put", "a.txt")
    assert cli("files", "get", "a.txt", "--out", "-").stdout == "line\x1b[0m\n"


@pytest.mark.parametrize("command", ["get", "rm", "extend"])
def test_another_owners_file_is_not_found(cli: Cli, tmp_path: Path, command: str) -> None:
    """A foreign id answers exactly as one that never was."""
    (tmp_path / "a.txt").write_text("secret")
    file_id = json.loads(cli("files", "put", "a.txt", "--owner", "anna", "--json").stdout)[0]["file_id"]
    foreign = cli("files", command, file_id, "--owner", "ben")
    unknown = cli("files", command, "anna_1_00000000", "--owner", "ben")
    assert foreign.returncode == unknown.returncode == 2
    assert foreign.stderr.replace(file_id, "X") == unknown.stderr.replace("anna_1_00000000", "X")
    assert "File not found or expired" in foreign.stderr


def test_another_owners_file_cannot_be_given_to_a_run(cli: Cli, tmp_path: Path) -> None:
    """--file with a foreign id refuses the request before anything runs."""
    (tmp_path / "a.txt").write_text("secret")
    file_id = json.loads(cli("files", "put", "a.txt", "--owner", "anna", "--json").stdout)[0]["file_id"]
    refused = cli("run", "--owner", "ben", "--file", file_id, "-c", "print(1)")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "File not found or expired" in refused.stderr


def test_executions_are_listed_and_shown(cli: Cli) -> None:
    """What was run can be looked up, by a beginning of its id as well."""
    result = json.loads(cli("run", "--json", "-c", "print('seen')").stdout)
    listed = json.loads(cli("executions", "ls", "--json").stdout)
    assert [row["execution_id"] for row in listed] == [result["execution_id"]]
    assert result["execution_id"] in cli("executions", "ls").stdout
    shown = cli("executions", "show", result["execution_id"][:8])
    assert "print('seen')" in shown.stdout
    assert "COMPLETED" in shown.stdout
    unknown = cli("executions", "show", "nosuchid")
    assert unknown.returncode == 2


def test_status_speaks_the_keys_of_a_code_interpreter(cli: Cli) -> None:
    """The documented keys are in the JSON, and people get a page."""
    figures = json.loads(cli("status", "--json").stdout)
    assert {"installed_packages", "package_count", "last_cleanup", "total_user_files", "image"} <= set(
        figures
    )
    assert "48 h" in cli("status").stdout


def test_upkeep_reports(cli: Cli) -> None:
    """Db upgrade, sweep and reap say what they did, for people and as JSON."""
    assert json.loads(cli("db", "upgrade", "--json").stdout)["upgraded"] is True
    assert json.loads(cli("db", "upgrade", "--json").stdout)["upgraded"] is False
    assert json.loads(cli("sweep", "--json").stdout)["expired_files"] == 0
    assert "dry run" in cli("sweep", "--dry-run").stdout
    assert json.loads(cli("reap", "--dry-run", "--json").stdout)["removed_containers"] == []


def test_the_image_is_described_without_starting_it(cli: Cli) -> None:
    """Digest, contract and packages come from the engine."""
    info = json.loads(cli("image", "ls", "--json").stdout)
    assert info["digest"].startswith("sha256:")
    assert info["contract"] == 1


def test_doctor_is_content_with_a_good_installation(cli: Cli, data_dir: Path) -> None:
    """Every line has a tick, before and after the first use."""
    data_dir.chmod(0o700)
    assert cli("doctor").returncode == 0
    cli("db", "upgrade")
    report = json.loads(cli("doctor", "--json").stdout)
    assert report["healthy"] is True
    checks = {line["check"] for line in report["checks"]}
    assert len(checks) >= 19
    assert {"no network", "no capabilities", "memory is bounded", "other owners' files"} <= checks


@pytest.mark.parametrize(
    ("broken", "check", "remedy"),
    [
        ({"SANDGLASS_DOCKER_HOST": "unix:///nowhere.sock"}, "engine", "Docker"),
        ({"SANDGLASS_IMAGE": "no-such-image:latest"}, "image", "make image"),
        ({"SANDGLASS_DISK_RESERVE": str(10**18)}, "disk room", "sandglass sweep"),
    ],
)
def test_doctor_names_what_is_broken_and_the_remedy(  # noqa: PLR0917  # fixtures and parameters
    cli: Cli, environment: dict[str, str], data_dir: Path, broken: dict[str, str], check: str, remedy: str
) -> None:
    """A broken part fails the command with 3, and its line says what to do."""
    data_dir.chmod(0o700)
    done = cli("doctor", "--json", env=environment | broken)
    assert done.returncode == 3
    finding = next(line for line in json.loads(done.stdout)["checks"] if line["check"] == check)
    assert finding["good"] is False
    assert remedy in finding["remedy"]


def test_doctor_sees_a_data_directory_that_others_can_read(cli: Cli, data_dir: Path) -> None:
    """A mode wider than 0700 is a finding."""
    data_dir.chmod(0o755)
    done = cli("doctor")
    assert done.returncode == 3
    assert "chmod 700" in done.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ["run"],
        ["run", "-c", "1", "also.py"],
        ["run", "missing.py"],
        ["run", "-c", "1", "--timeout", "-1"],
        ["run", "-c", "1", "--owner", "../etc"],
        ["run", "-c", "1", "--upload", "missing.csv"],
        ["run", "--nonsense"],
        ["nonsense"],
        ["files", "get", "nothing"],
        ["files", "put", "/"],
    ],
)
def test_a_bad_request_is_one_sentence_and_exit_code_2(cli: Cli, arguments: list[str]) -> None:
    """For people one line on stderr, for programs one object, never a traceback."""
    plain = cli(*arguments)
    assert (plain.returncode, plain.stdout, plain.stderr.count("\n")) == (2, "", 1)
    machine = cli(*arguments, "--json")
    error = json.loads(machine.stderr)
    assert (machine.returncode, error["exit_code"]) == (2, 2)
    assert len(error["error"]) > 10


def test_a_dead_engine_is_a_fault_with_a_remedy(cli: Cli, environment: dict[str, str]) -> None:
    """Running needs the engine and says so with 3; files can still be had."""
    broken = environment | {"SANDGLASS_DOCKER_HOST": "unix:///nowhere.sock"}
    done = cli("run", "-c", "1", env=broken)
    assert (done.returncode, done.stderr.count("\n")) == (3, 1)
    assert cli("files", "ls", env=broken).returncode == 0


def test_a_malformed_setting_names_its_variable(cli: Cli, environment: dict[str, str]) -> None:
    """A setting that cannot be read is refused by name."""
    done = cli("status", env=environment | {"SANDGLASS_PIDS": "many"})
    assert done.returncode == 2
    assert "SANDGLASS_PIDS" in done.stderr


def test_a_script_in_another_encoding_runs(cli: Cli, tmp_path: Path) -> None:
    """The encoding that a script declares is honoured; undeclared bytes are refused."""
    (tmp_path / "latin.py").write_bytes("# -*- coding: latin-1 -*-\nprint('Grüße')\n".encode("latin-1"))
    assert cli("run", "latin.py").stdout == "Grüße\n"
    (tmp_path / "broken.py").write_bytes(b"print('\xff')\n")
    assert cli("run", "broken.py").returncode == 2


def test_help_and_version_import_nothing_heavy(environment: dict[str, str]) -> None:
    """What makes a start slow is not loaded to show help."""
    listing = "import sys, runpy; sys.argv = ['sandglass', '--help']\n"
    listing += "try: runpy.run_module('orchestrator.cli', run_name='__main__')\nexcept SystemExit: pass\n"
    listing += "print(sorted({m.split('.')[0] for m in sys.modules}), file=sys.stderr)"
    python = SANDGLASS.parent / "python"
    done = subprocess.run(
        [python, "-c", listing], capture_output=True, text=True, timeout=30, check=True, env=environment
    )
    loaded = set(done.stderr.strip("[]\n").replace("'", "").split(", "))
    assert "typer" in loaded
    assert not loaded & {"sqlalchemy", "docker", "pydantic", "alembic", "rich", "magic", "structlog"}
    assert "Exit codes: 0 done" in done.stdout


def test_every_command_has_help(cli: Cli) -> None:
    """--help works for each command and says more than its name."""
    for command in (
        "run",
        "files",
        "files ls",
        "executions",
        "image",
        "db",
        "status",
        "sweep",
        "reap",
        "doctor",
    ):
        done = cli(*command.split(), "--help")
        assert (done.returncode, done.stderr) == (0, "")
        assert len(done.stdout) > 80


@pytest.mark.timeout(300)
def test_the_image_is_verified_under_the_lockdown(cli: Cli, data_dir: Path) -> None:
    """Every distribution is imported in a container; the exit code tells whether all went well."""
    done = cli("image", "verify", "--json", timeout=280)
    report = json.loads(done.stdout)
    assert len([line for line in report["checked"] if "name" in line]) >= 70
    failed = [line for line in report["checked"] if line["error"]]
    assert (done.returncode, failed) == (0, [])
    assert list(data_dir.iterdir()) == []
