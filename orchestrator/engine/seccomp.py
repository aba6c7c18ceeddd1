"""Our own system call filter, one for every sandbox: a list of what is allowed, everything else is refused.

It is stricter than engines' defaults, and does not change when the engine does. The engine takes it as JSON.
"""

import json
from collections.abc import Iterator
from errno import ENOSYS, EOPNOTSUPP
from functools import cache
from socket import AF_INET, AF_INET6, AF_UNIX

from orchestrator.engine.syscalls import ORDINARY

type Rule = dict[str, object]

NAMESPACES = 0x7E02_0000
"""CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID and NEWNET."""
AF_NETLINK = 16
NETLINK_ROUTE = 0
PERSONALITIES = (0x0, 0xFFFF_FFFF)
"""The usual one, and the question which one it is; others switch address randomisation off."""
FILE_TYPE = 0o170_000
NODES = (0o0, 0o100_000, 0o010_000, 0o140_000)
"""What mknod may make: a regular file, spelled in both ways, a FIFO, a socket; never a device."""


@cache
def security_option() -> str:
    """The filter as an entry of `HostConfig.SecurityOpt`; the same text every time."""
    return "seccomp=" + json.dumps(profile(), separators=(",", ":"))


def profile() -> dict[str, object]:
    """The filter in the engine's format, for x86_64 and aarch64."""
    return {
        "defaultAction": "SCMP_ACT_ERRNO",  # EPERM: a library that probes falls back, a bad call kills nobody
        "archMap": [
            # No 32-bit and no x32 twin: their calls have other numbers, and nothing here uses them.
            {"architecture": "SCMP_ARCH_X86_64", "subArchitectures": []},
            {"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": []},
        ],
        "syscalls": list(_rules()),
    }


def _rules() -> Iterator[Rule]:
    yield _allow(*ORDINARY)
    # A thread or a child, in the namespaces that are there.
    yield _allow("clone", where=_masked(0, NAMESPACES, 0))
    # Its flags lie behind a pointer, which a filter cannot follow. "Not known" makes libraries use clone.
    yield {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": ENOSYS}
    # It takes gigabytes of disk in a millisecond, faster than any watch. Libraries write zeros instead.
    yield {"names": ["fallocate"], "action": "SCMP_ACT_ERRNO", "errnoRet": EOPNOTSUPP}
    for family in (AF_UNIX, AF_INET, AF_INET6):
        yield _allow("socket", where=_equal(0, family))
    # Of netlink only the list of interfaces is wanted; vsock, packet, alg and all the others do not exist.
    yield _allow("socket", where=[*_equal(0, AF_NETLINK), *_equal(2, NETLINK_ROUTE)])
    yield _allow("socketpair", where=_equal(0, AF_UNIX))
    for personality in PERSONALITIES:
        yield _allow("personality", where=_equal(0, personality))
    for kind in NODES:
        yield _allow("mknod", where=_masked(1, FILE_TYPE, kind))
        yield _allow("mknodat", where=_masked(2, FILE_TYPE, kind))


def _allow(*names: str, where: list[Rule] | None = None) -> Rule:
    """Allow by name; `where` conditions, each on another argument, must all hold."""
    return {"names": list(names), "action": "SCMP_ACT_ALLOW", **({"args": where} if where else {})}


def _equal(index: int, value: int) -> list[Rule]:
    return [{"index": index, "value": int(value), "op": "SCMP_CMP_EQ"}]


def _masked(index: int, mask: int, value: int) -> list[Rule]:
    return [{"index": index, "value": mask, "valueTwo": value, "op": "SCMP_CMP_MASKED_EQ"}]
