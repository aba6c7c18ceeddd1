"""`sandglass run` with real containers."""

import hashlib
import os
import pty
import re
import select
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import docker
import pytest

from tests.cli.support import SANDGLASS, Cli

FOUR_FILES = """
import json, os
os.makedirs("out", exist_ok=True)
open("out/a.csv", "w").write("x,y\\n1,2\\n")
json.dump({"a": 1}, open("b.json", "w"))
open("c.txt", "w").write("hello\\n")
print("made")
"""


def test_json_is_the_result_object_with_every_file_right(
    tmp_path: Path, run_json: Callable[..., dict[str, Any]]
) -> None:
    """Type, media type, size, sha256 and the pattern of the ids, for a script of the caller."""
    script = tmp_path / "demo.py"
    script.write_text(FOUR_FILES)
    result = run_json("--owner", "123", script)
    assert (result["success"], result["outcome"], result["output"], result["hint"]) == (
        True,
        "ok",
        "made\n",
        None,
    )
    expected = {
        "out/a.csv": ("a.csv", "data", "text/csv", b"x,y\n1,2\n"),
        "b.json": ("b.json", "structured", "application/json", b'{"a": 1}'),
        "c.txt": ("c.txt", "text", "text/plain", b"hello\n"),
    }
    assert {file["path"] for file in result["generated_files"]} == set(expected)
    for file in result["generated_files"]:
        filename, kind, media_type, content = expected[file["path"]]
        assert (file["filename"], file["type"], file["media_type"]) == (filename, kind, media_type)
        assert (file["size"], file["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())
        assert re.fullmatch(r"123_\d{10}_[0-9a-f]{8}", file["file_id"])
    assert result["generated_file_ids"] == [file["file_id"] for file in result["generated_files"]]


def test_json_prints_one_object_and_nothing_else(cli: Cli) -> None:
    """What the program says on either stream is inside the object alone."""
    done = cli("run", "--json", "-c", "import sys; print(1); print(2, file=sys.stderr)")
    assert done.stdout.startswith("{")
    assert done.stdout.endswith("}\n")
    assert done.stderr == ""


def test_streams_keep_apart_and_the_summary_goes_to_stderr(cli: Cli) -> None:
    """Stdout carries the program's stdout to the byte; its stderr and the summary share the other."""
    done = cli("run", "-c", "import sys; print('out'); print('err', file=sys.stderr)")
    assert done.stdout == "out\n"
    assert done.stderr.startswith("err\n")
    assert "ok · " in done.stderr


def test_output_comes_as_it_is_printed(environment: dict[str, str]) -> None:
    """The first line is there while the program still sleeps, and in order."""
    code = "import time\nprint('first', flush=True)\ntime.sleep(4)\nprint('second')"
    with subprocess.Popen(
        [SANDGLASS, "run", "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"first\n"
        seen = time.monotonic()
        assert process.stdout.readline() == b"second\n"
        assert time.monotonic() - seen > 2


def test_code_comes_from_standard_input(cli: Cli) -> None:
    """A dash reads the program from stdin."""
    assert cli("run", "-", input="print(6 * 7)").stdout == "42\n"


def test_a_failing_program_exits_1_with_its_outcome(cli: Cli) -> None:
    """Its own exit code is in the summary; ours says that the program failed."""
    done = cli("run", "-c", "import sys; print('so far'); sys.exit(7)")
    assert (done.returncode, done.stdout) == (1, "so far\n")
    assert "nonzero_exit" in done.stderr
    assert "exit code 7" in done.stderr


def test_a_timeout_is_an_outcome(cli: Cli) -> None:
    """The asked wall time is kept, with what was printed until then."""
    done = cli("run", "--timeout", "2", "-c", "print('so far', flush=True)\nwhile True: pass")
    assert (done.returncode, done.stdout) == (1, "so far\n")
    assert "timed_out" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_kills_the_container(
    environment: dict[str, str], data_dir: Path, docker_client: docker.DockerClient, number: int
) -> None:
    """Ctrl-C and SIGTERM end the program; the result says cancelled, with the output until then."""
    code = "import time\nprint('started', flush=True)\ntime.sleep(50)"
    with subprocess.Popen(
        [SANDGLASS, "run", "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "started\n"
        instance = (data_dir / "instance").read_text()
        label = f"org.sandglass.instance={instance}"
        assert len(docker_client.containers.list(filters={"label": label})) == 1
        process.send_signal(number)
        _, error = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "cancelled" in error
    assert docker_client.containers.list(all=True, filters={"label": label}) == []


def test_a_reader_that_goes_away_ends_the_program(environment: dict[str, str]) -> None:
    """As with any command in a pipe: nobody reads, nobody runs, and there is no traceback."""
    code = "import time\nfor i in range(1000): print('y' * 1000, flush=True); time.sleep(0.05)"
    process = subprocess.Popen(
        [SANDGLASS, "run", "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    error = process.stderr.read()
    process.stderr.close()
    assert process.wait(30) == 1
    assert b"Traceback" not in error


def test_a_terminal_gets_no_escape_sequence(environment: dict[str, str]) -> None:
    """On a terminal what the program prints is text, whatever it is."""
    ours, theirs = pty.openpty()
    code = r"print('\x1b]0;owned\x07\x1b[2J\u202eend')"
    with subprocess.Popen(
        [SANDGLASS, "run", "-c", code], stdout=theirs, stderr=subprocess.DEVNULL, env=environment
    ) as process:
        os.close(theirs)
        seen = _read_all(ours)
        assert process.wait(30) == 0
    os.close(ours)
    assert b"\x1b" not in seen
    assert rb"\x1b]0;owned\x07\x1b[2J\u202eend" in seen


def test_uploads_are_visible_and_named_files_restrict(cli: Cli, tmp_path: Path) -> None:
    """An upload can be read in the run; naming a file hides the others."""
    (tmp_path / "in.txt").write_text("uploaded")
    (tmp_path / "other.txt").write_text("hidden")
    assert cli("files", "put", "other.txt").returncode == 0
    listing = "import os; print(sorted(n for d in os.listdir('/inputs') for n in os.listdir(f'/inputs/{d}')))"
    assert cli("run", "--upload", "in.txt", "-c", listing).stdout == "['in.txt', 'other.txt']\n"
    assert cli("run", "--file", "in.txt", "-c", listing).stdout == "['in.txt']\n"


def test_out_copies_the_generated_files(cli: Cli, tmp_path: Path) -> None:
    """Relative paths are kept, and a file that was there is replaced only with a word about it."""
    first = cli("run", "--out", "copies", "-c", FOUR_FILES)
    assert (first.returncode, (tmp_path / "copies/out/a.csv").read_text()) == (0, "x,y\n1,2\n")
    second = cli("run", "--out", "copies", "-c", "open('c.txt', 'w').write('other')")
    assert (tmp_path / "copies/c.txt").read_text() == "other"
    assert "Replaced copies/c.txt" in second.stderr


def _read_all(descriptor: int) -> bytes:
    seen = b""
    while select.select([descriptor], [], [], 60)[0]:
        try:
            piece = os.read(descriptor, 65536)
        except OSError:  # the other side was closed
            break
        if not piece:
            break
        seen += piece
    return seen
