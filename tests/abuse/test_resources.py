"""Attacks by exhaustion: each is stopped by its own limit, and leaves the host and the next one alone."""

import asyncio

import pytest

from orchestrator import Orchestrator, Outcome

GOES_ON = {
    "threads are bounded": """
import threading, time
try:
    for _ in range(10_000):
        threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
except RuntimeError:
    print("refused", flush=True)
import os; os._exit(0)
""",
    "a forking program is refused processes": """
import os, time
try:
    for _ in range(10_000):
        if os.fork() == 0:
            time.sleep(60); os._exit(0)
except BlockingIOError:
    print("refused", flush=True)
""",
    "tmp is sized": """
try:
    with open('/tmp/fill', 'wb', 0) as f:
        for i in range(10_000): f.write(bytes(2**20)); (i % 40) or f.seek(0)
    import os
    for i in range(100):
        with open(f'/tmp/fill{i}', 'wb') as f: f.write(bytes(2**25))
except OSError:
    print("refused")
""",
    "shared memory is sized": """
try:
    for i in range(100):
        with open(f'/dev/shm/fill{i}', 'wb') as f: f.write(bytes(2**23))
except OSError:
    print("refused")
""",
    "one file is sized": """
try:
    with open('/workspace/big', 'wb') as f:
        for _ in range(100): f.write(bytes(2**20))
except OSError:
    print("refused")
""",
    "a sparse file of a pebibyte is refused": """
import os
try:
    os.truncate(os.open('/workspace/sparse', os.O_RDWR | os.O_CREAT), 2**50)
except OSError:
    print("refused")
""",
    "space cannot be reserved": """
import os
try:
    os.posix_fallocate(os.open('/workspace/reserved', os.O_RDWR | os.O_CREAT), 0, 2**40)
except OSError:
    print("refused")
""",
    "open files are bounded": """
import os
try:
    for _ in range(100_000): os.dup(0)
except OSError:
    print("refused")
""",
    "no core is dumped": """
import os, resource, subprocess
subprocess.run(['python3', '-c', 'import os; os.abort()'])
bounded = resource.getrlimit(resource.RLIMIT_CORE) == (0, 0)
print("refused" if bounded and not os.path.exists('core') else "ESCAPED")
""",
    "a child that eats memory dies alone": """
import subprocess
eat = 'x = bytearray(3 * 2**30)\\nfor i in range(0, len(x), 4096): x[i] = 1'
print("refused" if subprocess.run(['python3', '-c', eat]).returncode == -9 else "ESCAPED")
""",
    "pid 1 cannot be killed": """
import os, signal, time
os.kill(1, signal.SIGKILL)
time.sleep(0.2)
print("refused")
""",
}


ENDS_GVISOR = {
    "a forking program is refused processes",
    "a child that eats memory dies alone",
    "pid 1 cannot be killed",
}
"""Under gVisor all processes of a sandbox live in one of the host's: the host's limit on threads and memory
ends that one, and with it the sandbox. And its pid 1 has no protection from its own children."""


@pytest.mark.parametrize("attack", GOES_ON, ids=lambda name: str(name).replace(" ", "-"))
async def test_the_limit_refuses_and_the_program_goes_on(victim: Orchestrator, attack: str) -> None:
    """The kernel says no, the program can handle it."""
    result = await victim.execute_code(GOES_ON[attack], "attacker", timeout=60)
    if result.runtime == "runsc" and attack == "threads are bounded":
        # Ten thousand sleeping threads of the guest may need few of the host's, which the next test counts.
        after = await victim.execute_code("print('fine')", "attacker")
        assert (result.output, after.output) == ("", "fine\n")
        return
    if result.runtime == "runsc" and attack in ENDS_GVISOR:
        assert (result.output, result.success) == ("", False)
        return
    assert result.output == "refused\n", result.error
    assert result.outcome is Outcome.OK


async def test_no_more_threads_than_the_limit_reach_the_host(victim: Orchestrator) -> None:
    """Counted by the engine, whatever the program is told, and whoever's kernel tells it."""
    code = """
import threading, time
try:
    for _ in range(2000): threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
except RuntimeError: pass
time.sleep(3)
import os; os._exit(0)
"""
    running = asyncio.create_task(victim.execute_code(code, "attacker", timeout=60))
    most = 0
    while not running.done():
        most = max([most, *(usage.pids for usage in await victim.operations.stats())])
    await running
    assert 10 < most <= victim.settings.pids


async def test_a_fork_bomb_dies_and_the_next_execution_of_its_owner_is_fine(victim: Orchestrator) -> None:
    """It ends by a limit, nothing of it lives on."""
    code = "import os\nwhile True:\n    os.fork()"
    result = await victim.execute_code(code, "attacker", timeout=10)
    assert result.outcome in {
        Outcome.PROCESS_LIMIT,
        Outcome.TIMED_OUT,
        Outcome.NONZERO_EXIT,
        Outcome.OUT_OF_MEMORY,
    }
    assert not result.success
    after = await victim.execute_code("print('fine')", "attacker")
    assert after.output == "fine\n"


@pytest.mark.parametrize(
    "code",
    [
        "import signal, time\nfor s in (2, 15, 1): signal.signal(s, signal.SIG_IGN)\nwhile 1: time.sleep(1)",
        "while True: pass",
        "import ctypes; ctypes.CDLL(None).pause()",
        "import os, time\nif os.fork() == 0:\n    os.setsid()\ntime.sleep(1000)",
        "import re; re.match('(a+)+b', 'a' * 64)",
        "import time; time.sleep(10**9)",
    ],
    ids=[
        "ignoring-every-signal",
        "spinning",
        "waiting-in-c-for-ever",
        "in-a-session-of-its-own",
        "in-a-regular-expression",
        "sleeping-for-ever",
    ],
)
async def test_nobody_outlives_the_timeout(victim: Orchestrator, code: str) -> None:
    """Whatever it does, it is dead and reported soon after its time."""
    result = await victim.execute_code(code, "attacker", timeout=2)
    assert result.outcome is Outcome.TIMED_OUT
    assert result.timings.run < 20


async def test_a_child_that_keeps_stdout_open_dies_with_its_parent(victim: Orchestrator) -> None:
    """A double fork in a session of its own does not hold the result back."""
    code = """
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        time.sleep(50)
        print("outlived", flush=True)
    os._exit(0)
os.wait()
print("parent")
"""
    result = await victim.execute_code(code, "attacker")
    assert (result.output, result.outcome) == ("parent\n", Outcome.OK)
    assert result.timings.run < 30


@pytest.mark.parametrize(
    ("code", "exit_code"),
    [
        ("import ctypes; ctypes.string_at(0)", 139),
        ("import os; os.abort()", 134),
        ("import sys; sys.setrecursionlimit(10**9)\ndef f(): return f() + 1\nf()", None),
        ("import os; os.close(1); os.close(2); os._exit(9)", 9),
    ],
    ids=["segfault", "abort", "stack-overflow", "streams-closed"],
)
async def test_a_crash_is_a_result(victim: Orchestrator, code: str, exit_code: int | None) -> None:
    """A crash of the interpreter is the program's failure, never ours."""
    result = await victim.execute_code(code, "attacker", timeout=30)
    assert not result.success
    assert result.hint
    if exit_code is not None:
        assert result.exit_code == exit_code


async def test_bytes_of_any_kind_are_output(victim: Orchestrator) -> None:
    """NULs, surrogates, broken UTF-8 and a megabyte without a newline become text that JSON carries."""
    code = r"""
import sys
sys.stdout.buffer.write(b'\x00\xff\xed\xa0\x80 \x1b[31m')
sys.stdout.flush()
sys.stderr.buffer.write(b'y' * 1_000_000)
"""
    result = await victim.execute_code(code, "attacker")
    assert result.success
    assert "\0" not in result.output
    result.model_dump_json().encode()
    assert result.error_bytes == 1_000_000


async def test_what_is_printed_at_once_arrives_whole(victim: Orchestrator) -> None:
    """A megabyte in one call, by the program and by a Python that it starts; gVisor's pipes take 64 KiB."""
    code = """
import subprocess, sys
print('o' * 1_000_000)
print('e' * 1_000_000, file=sys.stderr)
subprocess.run([sys.executable, '-c', "print('c' * 1_000_000)"])
sys.stdout.write('end')
None
"""
    result = await victim.execute_code(code, "attacker")
    assert (result.output_bytes, result.error_bytes) == (2_000_005, 1_000_001)
    assert result.output.endswith("cccc\nend")


async def test_a_flood_on_both_streams_is_ended_by_its_own_limit(victim: Orchestrator) -> None:
    """Both streams count together."""
    code = "import sys\nwhile True:\n    print('o' * 65536)\n    print('e' * 65536, file=sys.stderr)"
    result = await victim.execute_code(code, "attacker")
    assert result.outcome is Outcome.OUTPUT_LIMIT
    assert result.output_bytes + result.error_bytes >= 64 * 2**20
