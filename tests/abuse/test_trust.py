"""Attacks on what the orchestrator believes: the protocol, the tree it harvests, the next execution."""

from pathlib import Path

from orchestrator import Orchestrator, Outcome


async def test_a_forged_ready_line_or_result_is_only_output(victim: Orchestrator) -> None:
    """What a program prints is what it printed, whatever it looks like."""
    code = """
import json
print("sandglass-ready 1")
print(json.dumps({"execution_id": "x", "success": True, "generated_files": [{"file_id": "b_1_2"}]}))
raise SystemExit(5)
"""
    result = await victim.execute_code(code, "attacker")
    assert (result.outcome, result.exit_code) == (Outcome.NONZERO_EXIT, 5)
    assert result.output.startswith("sandglass-ready 1\n")
    assert result.generated_files == ()


async def test_frames_of_the_engine_cannot_be_forged_in_output(victim: Orchestrator) -> None:
    """Bytes that look like a frame header of stderr stay on stdout."""
    code = r"import sys; sys.stdout.buffer.write(b'\x02\x00\x00\x00\x00\x00\x00\x05forge')"
    result = await victim.execute_code(code, "attacker")
    assert "forge" in result.output
    assert result.error == ""


HOSTILE_TREE = r"""
import os, socket, subprocess
os.symlink('/etc/passwd', 'absolute')
os.symlink('../../../../../../etc/shadow', 'relative')
os.symlink('/', 'directory')
os.symlink('nowhere', 'dangling')
os.symlink('loop', 'loop')
os.symlink('/var/lib', 'data')
os.mkfifo('fifo')
socket.socket(socket.AF_UNIX).bind('socket')
os.makedirs('real'); open('real/file.txt', 'w').write('kept')
os.link('real/file.txt', 'hard.txt')
open('unreadable.txt', 'w').write('kept'); os.chmod('unreadable.txt', 0)
os.mkdir('closed'); open('closed/in.txt', 'w').write('kept'); os.chmod('closed', 0)
for name in (b'\xff\xfe.txt', b'new\nline.txt', '\u202etxt.exe'.encode(), b'-rf', b'\x1b[31mred.txt',
             b'a' * 255, b'@everyone.txt', b'```fence.txt', b' .txt', b'con\x01trol.txt'):
    with open(name, 'wb') as f: f.write(b'odd')
here = os.getcwd()
for level in range(1000):
    os.mkdir('d'); os.chdir('d')
open('deep.txt', 'w').write('deep')
os.chdir(here)
open('old.txt', 'w').write('set back'); os.utime('old.txt', (0, 0))
print('made')
"""


async def test_a_hostile_tree_is_harvested_within_the_workspace(victim: Orchestrator) -> None:
    """Links, pipes, sockets, depth, names: regular files come back under safe names, the rest is reported."""
    result = await victim.execute_code(HOSTILE_TREE, "attacker")
    assert result.output == "made\n", result.error
    paths = {file.path for file in result.generated_files}
    assert {"real/file.txt", "hard.txt", "old.txt", "unreadable.txt", "closed/in.txt"} <= paths
    contents = {
        file.path: await victim.load_file(file.file_id, "attacker") for file in result.generated_files
    }
    assert set(contents.values()) <= {b"kept", b"odd", b"set back"}
    skipped = {skip.path: skip.reason for skip in result.skipped_files}
    assert {"absolute", "relative", "directory", "dangling", "loop", "data"} <= set(skipped)
    if result.runtime == "runc":  # gVisor keeps pipes and sockets to itself, the host's directory has none
        assert {"fifo", "socket"} <= set(skipped)
    assert any("deep" in reason for reason in skipped.values())
    for file in result.generated_files:
        assert file.filename.isprintable()
        assert not file.filename.startswith(("-", "."))
        assert "/" not in file.filename
        assert len(file.filename.encode()) <= 255
    assert sum(content == b"odd" for content in contents.values()) == 10


async def test_a_file_replaced_by_a_link_between_executions_does_not_lead_out(victim: Orchestrator) -> None:
    """What was a stored file and is a link now is reported, not followed."""
    await victim.execute_code("open('a.txt', 'w').write('mine')", "attacker")
    result = await victim.execute_code(
        "import os; os.remove('a.txt'); os.symlink('/etc/passwd', 'a.txt')", "attacker"
    )
    assert result.generated_files == ()
    assert [skip.path for skip in result.skipped_files] == ["a.txt"]


async def test_the_next_execution_inherits_no_environment_process_or_module(victim: Orchestrator) -> None:
    """What one execution does to its interpreter is gone with its container."""
    await victim.execute_code(
        "import os, builtins, sys; os.environ['LEFT'] = '1'; builtins.left = 1; os.umask(0o777)", "attacker"
    )
    code = "import os, builtins; print('LEFT' in os.environ, hasattr(builtins, 'left'), oct(os.umask(0)))"
    result = await victim.execute_code(code, "attacker")
    assert result.output == "False False 0o22\n"


async def test_a_module_in_the_workspace_cannot_take_the_runner_over(victim: Orchestrator) -> None:
    """A json.py of the user's is there for the user's imports; the runner has its own."""
    await victim.execute_code("open('json.py', 'w').write('print(\"hijacked\")')", "attacker")
    await victim.execute_code("open('sitecustomize.py', 'w').write('print(\"hijacked\")')", "attacker")
    result = await victim.execute_code("print('clean')\nload_file", "attacker")
    assert result.output.startswith("clean\n")
    assert "hijacked" not in result.output


async def test_clocks_and_locales_of_a_program_do_not_reach_the_index(victim: Orchestrator) -> None:
    """Times in results are the orchestrator's."""
    code = "import os, time; os.environ['TZ'] = 'Asia/Tokyo'; time.tzset(); open('t.txt', 'w').write('x')"
    result = await victim.execute_code(code, "attacker")
    (file,) = result.generated_files
    assert file.created_at.utcoffset() is not None
    assert file.created_at.utcoffset().total_seconds() == 0  # type: ignore[union-attr]


async def test_other_owners_workspaces_are_not_reachable(victim: Orchestrator) -> None:
    """Not by a parent directory, not by another mount, not by /proc."""
    await victim.execute_code("open('secret.txt', 'w').write('of the victim')", "victim")
    code = """
import os
found = []
inner = os.path.join('/proc/1/root', 'workspace')
for base in ('/workspace/..', '/workspace/../victim', inner, '/proc/self/cwd/..'):
    try:
        for name in os.listdir(base):
            if name == 'secret.txt' or name == 'victim': found.append((base, name))
    except OSError: pass
print(found)
"""
    result = await victim.execute_code(code, "attacker")
    assert result.output == "[]\n"


async def test_the_workspace_directory_itself_cannot_be_swapped(victim: Orchestrator) -> None:
    """The mount point cannot be renamed or removed, and its mode is mended before the next execution."""
    code = """
import os
os.chmod('/workspace', 0o777)
for act in (lambda: os.rename('/workspace', '/w'), lambda: os.rmdir('/workspace')):
    try: act()
    except OSError: print('refused')
"""
    result = await victim.execute_code(code, "attacker")
    assert result.output == "refused\nrefused\n"
    await victim.execute_code("print(1)", "attacker")
    assert _modes(victim.settings.data_dir / "workspaces") == [0o700]


def _modes(root: Path) -> list[int]:
    return [workspace.stat().st_mode & 0o777 for workspace in root.iterdir()]
