"""Disk that is taken without a name is counted, once, and where it is taken."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from orchestrator.domain.files import Space
from orchestrator.storage.unnamed import unnamed_space

UID = 799_001
SIZE = 1_048_576
HOLD = f"""
import contextlib, ctypes, os, sys
os.chroot('..'); os.chdir('/workspace')
os.setgroups([]); os.setresgid({UID}, {UID}, {UID}); os.setresuid({UID}, {UID}, {UID})
{{made}}
os.write(held, bytes({SIZE}))
print(flush=True)
sys.stdin.read()
with contextlib.suppress(ChildProcessError):
    os.wait()
"""
MADE = {
    "never had a name": "held = os.open('.', os.O_RDWR | os.O_TMPFILE)",
    "was removed": "held = os.open('f', os.O_RDWR | os.O_CREAT); os.unlink('f')",
    "is held twice": (
        "held = os.open('.', os.O_RDWR | os.O_TMPFILE); os.dup(held)\n"
        "if os.fork() == 0: sys.stdin.read(); os._exit(0)"
    ),
    "is held by who allows a look": (
        "ctypes.CDLL(None).prctl(4, 1, 0, 0, 0); held = os.open('.', os.O_RDWR | os.O_TMPFILE)"
    ),
}


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """One of an owner with a uid of their own."""
    made = tmp_path / "workspace"
    made.mkdir(mode=0o700)
    os.chown(made, UID, UID)
    return made


@contextmanager
def holding(workspace: Path, made: str) -> Iterator[None]:
    """A program of the owner, with their workspace where a sandbox has it, that has written and waits."""
    with subprocess.Popen(
        [sys.executable, "-I", "-c", HOLD.format(made=made)],
        cwd=workspace,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,  # pytest's own is such a file
    ) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == b"\n"
        yield
        assert program.stdin is not None
        program.stdin.close()


@pytest.mark.parametrize("made", MADE.values(), ids=MADE.keys())
def test_a_file_without_a_name_counts_once(workspace: Path, made: str) -> None:
    """As long as somebody holds it, and no longer."""
    with holding(workspace, made):
        assert unnamed_space(workspace) == Space(bytes=SIZE, inodes=1)
    assert unnamed_space(workspace) == Space(bytes=0, inodes=0)


def test_a_file_with_a_name_is_the_walk_s_to_count(workspace: Path) -> None:
    """What a directory shows is not counted twice."""
    with holding(workspace, "held = os.open('f', os.O_RDWR | os.O_CREAT)"):
        assert unnamed_space(workspace) == Space(bytes=0, inodes=0)


def test_what_is_in_another_workspace_is_not_counted_here(workspace: Path, tmp_path: Path) -> None:
    """Told apart by the workspace itself: another installation has an owner of the same uid."""
    other = tmp_path / "other" / "workspace"
    other.mkdir(mode=0o700, parents=True)
    os.chown(other, UID, UID)
    with holding(other, MADE["never had a name"]):
        assert unnamed_space(workspace) == Space(bytes=0, inodes=0)
        assert unnamed_space(other) == Space(bytes=SIZE, inodes=1)
