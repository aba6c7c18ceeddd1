"""The programs that attack a host from inside a sandbox; they report what they saw, and judge nothing."""

BORDERS = """
import ctypes, json, os, shutil, socket, subprocess
libc = ctypes.CDLL(None, use_errno=True)
seen = {}

def attempt(name, action):
    try:
        seen[name] = f"got through: {action()!r}"[:200]
    except Exception as error:
        seen[name] = f"refused: {error}"[:200]

def call(function, *arguments):
    ctypes.set_errno(0)
    if (result := function(*arguments)) != -1:
        return result
    raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

def connect(family, address):
    with socket.socket(family, socket.SOCK_STREAM) as s:
        s.settimeout(2)
        return s.connect(address)

def write(path):
    with open(path, "w") as file:
        return file.write("x")

def copy_and_run():
    shutil.copy("/bin/true", "/tmp/true")
    return subprocess.run(["/tmp/true"], check=False).returncode

status = dict(line.split(":", 1) for line in open("/proc/self/status") if ":" in line)
seen["status"] = {key: value.strip() for key, value in status.items()}
seen["no_new_privs"] = libc.prctl(39, 0, 0, 0, 0)
seen["uid"] = [os.getresuid(), os.getresgid(), os.getgroups()]
seen["interfaces"] = [name for _, name in socket.if_nameindex()]
attempt("connect", lambda: connect(socket.AF_INET, ("192.0.2.1", 80)))
attempt("metadata", lambda: connect(socket.AF_INET, ("169.254.169.254", 80)))
attempt("raw", lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1))
attempt("root", lambda: os.setuid(0))
attempt("mount", lambda: call(libc.mount, b"none", b"/tmp", b"tmpfs", 0, None))
arm = os.uname().machine == "aarch64"
of = dict(zip(("bpf", "keyctl", "userfaultfd"), (280, 219, 282) if arm else (321, 250, 323)))
attempt("bpf", lambda: call(libc.syscall, of["bpf"], 0, 0, 0))
attempt("keyctl", lambda: call(libc.syscall, of["keyctl"], 0, -3, 1))
attempt("userfaultfd", lambda: call(libc.syscall, of["userfaultfd"], 1))
attempt("io_uring", lambda: call(libc.syscall, 425, 4, ctypes.create_string_buffer(200)))
for path in ("/pwned", "/etc/passwd", "/usr/bin/pwned", "/opt/pwned", "/inputs/pwned", "/proc/sys/pwned"):
    attempt("write " + path, lambda: write(path))
attempt("execute", copy_and_run)
attempt("list another", lambda: os.listdir("/inputs/another"))
attempt("read another", lambda: open("/inputs/another/secret").read())
print(json.dumps(seen))
"""

THREADS = """
import threading
done, count = threading.Event(), 1
try:
    while count < 10_000:
        threading.Thread(target=done.wait, daemon=True).start()
        count += 1
except RuntimeError:
    pass
done.set()
print(count)
"""

MEMORY_CHUNK = 16 * 1024 * 1024
MEMORY = """
import os, sys
held = []
while len(held) < int(sys.argv[1]):
    held.append(bytearray(os.urandom(1 << 20) * 16))
print("ESCAPED")
"""
