"""The filter of system calls: nothing that engines block is allowed, and ordinary programs notice nothing."""

import errno
import json
from typing import Any

import pytest

from orchestrator.engine.docker import DockerEngine
from orchestrator.engine.seccomp import profile, security_option
from orchestrator.engine.syscalls import ORDINARY

BLOCKED_BY_ENGINES = """
    acct add_key bpf clock_adjtime clock_settime create_module delete_module finit_module get_kernel_syms
    get_mempolicy init_module ioperm io_uring_enter io_uring_register io_uring_setup iopl kcmp
    kexec_file_load kexec_load keyctl lookup_dcookie mbind mount move_pages nfsservctl open_by_handle_at
    perf_event_open pivot_root process_vm_readv process_vm_writev ptrace query_module quotactl reboot
    request_key set_mempolicy setns settimeofday stime swapoff swapon sysfs _sysctl umount umount2 unshare
    uselib userfaultfd ustat vm86 vm86old
"""
"""What the engine's documentation lists as blocked; clone and personality are there with conditions."""

ALSO_REFUSED = """
    chroot fanotify_init fsconfig fsmount fsopen fspick memfd_secret migrate_pages modify_ldt
    mount_setattr move_mount name_to_handle_at open_tree pidfd_getfd process_madvise quotactl_fd
    sethostname setdomainname set_mempolicy_home_node socketcall syslog vhangup io_setup io_submit
"""

OPEN_TO_ANYBODY = {
    "another user's view of itself": "unshare(0x400)",
    "tracing": "ptrace(0, 0, 0, 0)",
    "a personality without address randomisation": "personality(0x0040000)",
    "a 32-bit personality": "personality(8)",
    "reading another process": "syscall(310, os.getpid(), iov, 1, iov, 1, 0)",
    "comparing processes": "syscall(312, os.getpid(), os.getpid(), 2, 0, 0)",
    "a socket of the kernel's cryptography": "socket(38, 5, 0)",
    "a socket of another netlink": "socket(16, 3, 9)",
    "asynchronous input and output": "syscall(206, 8, ctypes.byref(ctypes.c_ulong(0)))",
    "memory policy": "syscall(239, 0, 0, 0, 0, 0)",
    "descriptor tables of its own": "syscall(154, 0, ctypes.create_string_buffer(64), 16)",
}
"""Calls that any user's program may make where no filter stands in the way."""

CLOSED = {
    "clone into a user namespace": "syscall(56, 0x10000000 | 17, 0, 0, 0, 0)",
    "clone into a network namespace": "syscall(56, 0x40000000 | 17, 0, 0, 0, 0)",
    "unshare of a user namespace": "unshare(0x10000000)",
    "setns": "setns(0, 0)",
    "mount": "mount(b'a', b'/tmp', b'tmpfs', 0, None)",
    "the mount API": "syscall(430, b'tmpfs', 0)",
    "open_tree": "syscall(428, -100, b'/', 1)",
    "io_uring_setup": "syscall(425, 4, ctypes.create_string_buffer(200))",
    "io_uring_enter": "syscall(426, -1, 0, 0, 0, 0)",
    "userfaultfd": "syscall(323, 1)",
    "bpf": "syscall(321, 0, 0, 0)",
    "perf_event_open": "syscall(298, ctypes.create_string_buffer(120), 0, -1, -1, 0)",
    "keyctl": "syscall(250, 0, -3, 1)",
    "add_key": "syscall(248, b'user', b'x', b'y', 1, -3)",
    "vsock": "socket(40, 1, 0)",
    "packet sockets": "socket(17, 3, 768)",
    "bluetooth": "socket(31, 3, 1)",
    "vsock pairs": "socketpair(40, 1, 0, ctypes.create_string_buffer(8))",
    "a device node": "mknod(b'/tmp/device', 0o20666, 259)",
    "chroot": "chroot(b'/tmp')",
    "kexec_load": "syscall(246, 0, 0, None, 0)",
    "init_module": "syscall(175, b'', 0, b'')",
    "syslog": "syscall(103, 3, ctypes.create_string_buffer(99), 99)",
}

PROBE = """
import ctypes, errno, json, os
libc = ctypes.CDLL(None, use_errno=True)
word = ctypes.create_string_buffer(8)
iov = (ctypes.c_void_p * 2)(ctypes.addressof(word), 8)
answers = {}
for name, call in CALLS.items():
    ctypes.set_errno(0)
    result = eval("libc." + call)
    if result == 0 and call.startswith("syscall(56"):
        os._exit(0)
    answers[name] = errno.errorcode.get(ctypes.get_errno(), "") if result == -1 else "DONE"
print(json.dumps(answers))
"""

ORDINARY_PROGRAM = """
import asyncio, mmap, os, signal, socket, subprocess, tempfile, threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
import numpy, pandas, sqlite3

with ThreadPoolExecutor(4) as pool:
    assert list(pool.map(abs, range(-3, 0))) == [3, 2, 1]
with ProcessPoolExecutor(2) as pool:
    assert list(pool.map(abs, range(-3, 0))) == [3, 2, 1]
assert subprocess.run("echo hi | cat", shell=True, capture_output=True).stdout == b"hi\\n"
a, b = socket.socketpair()
a.send(b"x"), b.recv(1)
assert [name for _, name in socket.if_nameindex()] == ["lo"]
async def serve():
    server = await asyncio.start_server(lambda r, w: (w.write(b"x"), w.close()), "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    assert await reader.read() == b"x"
    writer.close()
    server.close()
asyncio.run(serve())
frame = pandas.DataFrame({"a": numpy.arange(1000)})
frame.to_parquet("t.parquet")
assert pandas.read_parquet("t.parquet").a.sum() == 499500
assert sqlite3.connect("t.db").execute("PRAGMA journal_mode=wal").fetchone() == ("wal",)
os.mkfifo("fifo")
mmap.mmap(-1, 4096).close()
os.close(os.memfd_create("m"))
signal.setitimer(signal.ITIMER_REAL, 0)
assert os.sched_getaffinity(0)
print("fine")
"""


def rules(name: str) -> list[dict[str, Any]]:
    """Every rule about one system call."""
    listed: Any = profile()["syscalls"]
    return [rule for rule in listed if name in rule["names"]]


@pytest.mark.parametrize("name", [*BLOCKED_BY_ENGINES.split(), *ALSO_REFUSED.split()])
def test_what_engines_block_is_in_no_rule(name: str) -> None:
    """A call without a rule meets the default, which is a refusal."""
    assert profile()["defaultAction"] == "SCMP_ACT_ERRNO"
    assert rules(name) == []


def test_only_these_calls_are_allowed_under_conditions() -> None:
    """New threads, sockets, personalities and nodes depend on their arguments; clone3 does not exist."""
    conditional = {"clone", "socket", "socketpair", "personality", "mknod", "mknodat"}
    for name in conditional:
        assert rules(name)
        assert all(rule["args"] for rule in rules(name)), name
    assert [(rule["action"], rule["errnoRet"]) for rule in rules("clone3")] == [("SCMP_ACT_ERRNO", 38)]
    listed: Any = profile()["syscalls"]
    fallen_back = {"clone3", "fallocate"}
    assert {name for rule in listed for name in rule["names"]} == {*ORDINARY, *conditional, *fallen_back}


def test_the_option_is_the_profile() -> None:
    """The engine is handed the whole filter as one line of JSON, on both architectures."""
    name, _, text = security_option().partition("=")
    assert (name, json.loads(text)) == ("seccomp", profile())
    architectures: Any = profile()["archMap"]
    assert [entry["architecture"] for entry in architectures] == ["SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64"]
    assert all(entry["subArchitectures"] == [] for entry in architectures)


async def test_every_class_of_call_is_refused(docker_engine: DockerEngine, run: Any) -> None:
    """In a real container each call ends in EPERM, whatever its arguments are worth."""
    calls = {**OPEN_TO_ANYBODY, **CLOSED}
    status, out, err = await run(docker_engine, f"CALLS = {calls!r}\n{PROBE}")
    assert status.exit_code == 0, err
    answers = json.loads(out)
    allowed = {name: answer for name, answer in answers.items() if answer != "EPERM"}
    assert (allowed, len(answers)) == ({}, len(calls))


async def test_blocks_cannot_be_reserved_unwritten(docker_engine: DockerEngine, run: Any) -> None:
    """EOPNOTSUPP, which the C library takes as "write them": no file grows faster than it is written."""
    code = f"""
CALLS = {{'fallocate': 'syscall(285, 3, 0, ctypes.c_long(0), ctypes.c_long(4096))'}}
{PROBE}
os.posix_fallocate(os.open('reserved', os.O_RDWR | os.O_CREAT), 0, 8192)
print(os.stat('reserved').st_size)
"""
    status, out, err = await run(docker_engine, code)
    assert status.exit_code == 0, err
    answer, size = out.splitlines()
    assert (json.loads(answer), size) == ({"fallocate": errno.errorcode[errno.EOPNOTSUPP]}, b"8192")


async def test_clone3_is_unknown_so_that_libraries_fall_back(docker_engine: DockerEngine, run: Any) -> None:
    """ENOSYS, which the C library takes as "use clone"; EPERM would break every thread."""
    status, out, err = await run(
        docker_engine, f"CALLS = {{'clone3': 'syscall(435, ctypes.create_string_buffer(88), 88)'}}\n{PROBE}"
    )
    assert (status.exit_code, json.loads(out)) == (0, {"clone3": "ENOSYS"}), err


def test_without_the_filter_these_calls_are_open(docker_client: Any) -> None:
    """The control: what is refused above is refused by the filter, not by accident."""
    out = docker_client.containers.run(
        "sandglass-sandbox:latest",
        entrypoint=["python3", "-c", f"CALLS = {OPEN_TO_ANYBODY!r}\n{PROBE}"],
        user="790001:790001",
        cap_drop=["ALL"],
        security_opt=["seccomp=unconfined"],
        network_mode="none",
        remove=True,
        tty=True,
    )
    answers = json.loads(out)
    assert all(answer != "EPERM" for answer in answers.values()), answers


async def test_a_call_of_the_32_bit_twin_ends_the_program(docker_engine: DockerEngine, run: Any) -> None:
    """With int 0x80 one reaches the calls under other numbers, so a filter that forgets it is none."""
    code = """
import ctypes, mmap, os
page = mmap.mmap(-1, 4096, prot=7)
page.write(b"\\xb8\\x14\\x00\\x00\\x00\\xcd\\x80\\xc3")  # mov eax, getpid of i386; int 0x80; ret
call = ctypes.CFUNCTYPE(ctypes.c_long)(ctypes.addressof(ctypes.c_char.from_buffer(page)))
print("before", flush=True)
print("ESCAPED" if call() == os.getpid() else "refused", flush=True)
"""
    status, out, _ = await run(docker_engine, code)
    assert out.startswith(b"before\n")
    assert b"ESCAPED" not in out
    assert status.exit_code != 0


async def test_ordinary_programs_notice_nothing(docker_engine: DockerEngine, run: Any) -> None:
    """Threads, processes, shells, servers, data frames, databases."""
    status, out, err = await run(docker_engine, ORDINARY_PROGRAM)
    assert (status.exit_code, out) == (0, b"fine\n"), err
