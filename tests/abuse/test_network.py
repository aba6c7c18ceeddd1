"""Attacks through the network: there is none."""

import pytest

from orchestrator import Orchestrator, Outcome

TRY = """
import socket
def fails(action):
    try:
        value = action()
    except OSError as error:
        print("refused")
    else:
        print("ESCAPED", value)
def connect(family, address):
    s = socket.socket(family, socket.SOCK_STREAM); s.settimeout(2); return s.connect(address)
def send(family, address):
    return socket.socket(family, socket.SOCK_DGRAM).sendto(b"x", address)
"""

ATTACKS = {
    "the metadata service is out of reach": "connect(socket.AF_INET, ('169.254.169.254', 80))",
    "a public address is out of reach": "connect(socket.AF_INET, ('192.0.2.1', 443))",
    "a public address of version 6 is out of reach": "connect(socket.AF_INET6, ('2001:db8::1', 443))",
    "the docker bridge is out of reach": "connect(socket.AF_INET, ('172.17.0.1', 2375))",
    "the host's own loopback is not ours": "connect(socket.AF_INET, ('127.0.0.1', 22))",
    "datagrams do not leave": "send(socket.AF_INET, ('192.0.2.1', 53))",
    "broadcasts do not leave": "send(socket.AF_INET, ('255.255.255.255', 9))",
    "multicast does not leave": "send(socket.AF_INET, ('224.0.0.1', 9))",
    "names are not resolved": "socket.getaddrinfo('example.com', 80)",
    "raw sockets are closed": "socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)",
    "packet sockets are closed": "socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0x300)",
    "the docker socket is absent": "connect(socket.AF_UNIX, '/var/run/docker.sock')",
    "the host's abstract sockets are not ours": "connect(socket.AF_UNIX, '\\0/containerd-shim')",
    "vsock to the hypervisor is closed": "socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM).connect((2, 1))",
}


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda name: str(name).replace(" ", "-"))
async def test_nothing_is_reached(victim: Orchestrator, attack: str) -> None:
    """The kernel refuses; nothing hangs."""
    result = await victim.execute_code(TRY + f"fails(lambda: {ATTACKS[attack]})", "attacker")
    assert (result.output, result.outcome) == ("refused\n", Outcome.OK), result.error


async def test_only_loopback_exists_and_works(victim: Orchestrator) -> None:
    """A server on 127.0.0.1 inside the sandbox is reached from inside, and there is no other interface."""
    code = """
import os, socket, threading
print(sorted(os.listdir('/sys/class/net')) if os.path.isdir('/sys/class/net') else ['lo'])
server = socket.create_server(('127.0.0.1', 0))
threading.Thread(target=lambda: server.accept()[0].sendall(b'hello')).start()
print(socket.create_connection(server.getsockname()).recv(5))
"""
    result = await victim.execute_code(code, "attacker")
    assert result.output == "['lo']\nb'hello'\n", result.error
