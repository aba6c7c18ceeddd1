"""Attacks on the kernel's borders: each program tries, and says `refused` only when the kernel refused."""

import pytest

from orchestrator import Orchestrator, Outcome

CALLS = """
import ctypes, errno, os, sys
libc = ctypes.CDLL(None, use_errno=True)
REFUSALS = (
    errno.EPERM, errno.EACCES, errno.ENOSYS, errno.EINVAL, errno.ENOENT, errno.ENODEV, errno.EOPNOTSUPP
)
def refused(result):
    if result == -1 and ctypes.get_errno() in REFUSALS:
        print("refused")
    else:
        print("ESCAPED", result, os.strerror(ctypes.get_errno()))
def fails(action, *kinds):
    try:
        value = action()
    except kinds or (OSError,):
        print("refused")
    else:
        print("ESCAPED", repr(value)[:200])
"""

SYSTEM_CALLS = {
    "a file system cannot be mounted": "refused(libc.mount(b'none', b'/tmp', b'tmpfs', 0, None))",
    "the root cannot be remounted writable": "refused(libc.mount(None, b'/', None, 32 | 4096, None))",
    "a mount cannot be taken away": "refused(libc.umount2(b'/inputs', 2))",
    "a user namespace cannot be made": "refused(libc.unshare(0x10000000))",
    "a mount namespace cannot be made": "refused(libc.unshare(0x00020000))",
    "a network namespace cannot be made": "refused(libc.unshare(0x40000000))",
    "another namespace cannot be entered": (
        "def enter():\n"
        "    if libc.setns(os.open('/proc/1/ns/mnt', 0), 0) == -1: raise OSError('refused')\n"
        "fails(enter)"
    ),
    "the root cannot be changed": "refused(libc.chroot(b'/tmp'))",
    "a device node cannot be made": "fails(lambda: os.mknod('/tmp/d', 0o20666, os.makedev(1, 3)))",
    "a disk node cannot be made": "fails(lambda: os.mknod('/workspace/d', 0o60666, os.makedev(254, 0)))",
    "bpf programs cannot be loaded": "refused(libc.syscall(321, 0, 0, 0))",
    "the kernel keyring is closed": "refused(libc.syscall(250, 0, -3, 1))",
    "keys cannot be added": "refused(libc.syscall(248, b'user', b'x', b'y', 1, -3))",
    "userfaultfd is closed": "refused(libc.syscall(323, 0))",
    "io_uring is closed": "refused(libc.syscall(425, 4, ctypes.create_string_buffer(200)))",
    "perf events are closed": "refused(libc.syscall(298, ctypes.create_string_buffer(99), 0, -1, -1, 0))",
    "kernel modules cannot be loaded": "refused(libc.syscall(175, b'', 0, b''))",
    "kexec is closed": "refused(libc.syscall(246, 0, 0, None, 0))",
    "the host cannot be rebooted": "refused(libc.reboot(0x01234567))",
    "the clock cannot be set": "import time; fails(lambda: time.clock_settime(time.CLOCK_REALTIME, 0))",
    "the host name cannot be set": "import socket; fails(lambda: socket.sethostname('pwned'))",
    "swap cannot be turned on": "refused(libc.swapon(b'/workspace/x', 0))",
    "accounting cannot be turned on": "refused(libc.acct(b'/workspace/x'))",
    "files cannot be opened by handle": "refused(libc.syscall(304, -100, ctypes.create_string_buffer(9), 0))",
    "the uid cannot become root": "fails(lambda: os.setuid(0))",
    "the gid cannot become root": "fails(lambda: os.setgid(0))",
    "groups cannot be added": "fails(lambda: os.setgroups([0]))",
    "niceness cannot be lowered": "fails(lambda: os.nice(-10))",
    "real-time scheduling is closed": (
        "fails(lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(50)))"
    ),
    "limits cannot be raised": (
        "from resource import setrlimit, RLIMIT_NOFILE as N; "
        "fails(lambda: setrlimit(N, (10**6, 10**6)), ValueError, OSError)"
    ),
    "the oom killer cannot be avoided": (
        "fails(lambda: os.write(os.open('/proc/self/oom_score_adj', os.O_WRONLY), b'-1000'))"
    ),
    "the io port of the machine is closed": "refused(libc.iopl(3))",
}

WITHIN_GVISOR = {
    "a user namespace cannot be made": "ESCAPED 0 Success\n",
    "a mount namespace cannot be made": "ESCAPED 0 Success\n",
    "a device node cannot be made": "ESCAPED None\n",
    "io_uring is closed": "ESCAPED 3 Success\n",
    "niceness cannot be lowered": "ESCAPED -10\n",
    "the oom killer cannot be avoided": "ESCAPED 5\n",
}
"""What gVisor grants: each is a thing of its own kernel, which is a process of the host without rights. A
namespace of the guest, a node that opens no device, a ring, a niceness and a score nobody outside reads."""

PATHS = {
    "kernel settings cannot be written": "/proc/sys/kernel/hostname",
    "the core pattern cannot be written": "/proc/sys/kernel/core_pattern",
    "sysrq cannot be triggered": "/proc/sysrq-trigger",
    "the memory of the kernel cannot be read": "/proc/kcore",
    "the memory device is absent": "/dev/mem",
    "the disk device is absent": "/dev/vda",
    "the loop control is absent": "/dev/loop-control",
    "fuse is absent": "/dev/fuse",
    "kvm is absent": "/dev/kvm",
    "the tun device is absent": "/dev/net/tun",
    "the release agent cannot be written": "/sys/fs/cgroup/memory/release_agent",
    "the cgroup limits cannot be written": "/sys/fs/cgroup/memory/memory.limit_in_bytes",
    "uevents cannot be sent": "/sys/kernel/uevent_helper",
    "the power state cannot be written": "/sys/power/state",
    "users cannot be added": "/etc/passwd",
    "the runner cannot be replaced": "/opt/sandglass/runner.py",
    "the interpreter cannot be replaced": "/usr/bin/python3",
    "packages cannot be replaced": "/usr/local/lib/python3.13/dist-packages/pwned.py",
    "inputs cannot be added": "/inputs/pwned",
    "the root cannot be written": "/pwned",
    "the device directory cannot be written": "/dev/pwned",
    "the docker socket is absent": "/var/run/docker.sock",
}


@pytest.mark.parametrize("attack", SYSTEM_CALLS, ids=lambda name: str(name).replace(" ", "-"))
async def test_system_calls(victim: Orchestrator, attack: str) -> None:
    """The call is refused by the kernel, and the program goes on to say so."""
    result = await victim.execute_code(CALLS + SYSTEM_CALLS[attack], "attacker")
    wanted = WITHIN_GVISOR.get(attack, "refused\n") if result.runtime == "runsc" else "refused\n"
    assert (result.output, result.outcome) == (wanted, Outcome.OK), result.error


@pytest.mark.parametrize("attack", PATHS, ids=lambda name: str(name).replace(" ", "-"))
async def test_paths(victim: Orchestrator, attack: str) -> None:
    """The path is absent or refuses a writer."""
    code = f"fails(lambda: os.write(os.open({PATHS[attack]!r}, os.O_RDWR | os.O_CREAT), b'0'))"
    result = await victim.execute_code(CALLS + code, "attacker")
    assert (result.output, result.outcome) == ("refused\n", Outcome.OK), result.error


async def test_no_privilege_is_held_and_none_can_be_gained(victim: Orchestrator) -> None:
    """Every capability set is empty, no_new_privs is set, seccomp filters, and the uid is not root's."""
    code = "print({w[0][:-1]: w[1] for w in map(str.split, open('/proc/self/status')) if len(w) > 1})"
    result = await victim.execute_code(code, "attacker")
    status = eval(result.output)
    for name in ("CapInh", "CapPrm", "CapEff", "CapBnd"):
        assert int(status[name], 16) == 0, name
    assert int(status["Uid"]) >= 700_000
    if victim.settings.runtime == "runc":
        # gVisor shows none of these three; its kernel is the filter.
        assert int(status["CapAmb"], 16) == 0
        assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")


async def test_no_file_of_the_image_raises_privileges(victim: Orchestrator) -> None:
    """No setuid, setgid or capability-carrying file exists."""
    code = """
import os
for top, dirs, files in os.walk('/'):
    if top.startswith(('/proc', '/sys')):
        dirs[:] = []
        continue
    for name in files:
        path = os.path.join(top, name)
        try:
            mode = os.lstat(path).st_mode
        except OSError:
            continue
        if mode & 0o6000:
            print('raises', path)
"""
    result = await victim.execute_code(code, "attacker")
    assert (result.output, result.outcome) == ("", Outcome.OK), result.error


async def test_nothing_can_be_executed_from_tmp(victim: Orchestrator) -> None:
    """A copied binary does not start there."""
    code = """
import shutil, subprocess
shutil.copy('/bin/echo', '/tmp/echo')
fails(lambda: subprocess.run(['/tmp/echo']))
"""
    result = await victim.execute_code(CALLS + code, "attacker")
    assert result.output == "refused\n", result.error
