#!/usr/bin/env bash
# Makes the runtime `runsc` (gVisor) known to the Docker engine: installs Debian's package, registers it in the daemon's
# configuration and has the daemon read it again, without a restart and without touching what runs.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly host=${DOCKER_HOST:-unix:///var/run/docker.sock}
readonly python=${PYTHON:-.venv/bin/python}
readonly config=${DOCKERD_CONFIG:-/etc/docker/daemon.json}
readonly pidfile=${DOCKERD_PIDFILE:-/var/run/docker.pid}
readonly patience=${ENGINE_PATIENCE:-30}

say()  { printf 'gvisor: %s\n' "$*"; }
fail() { printf 'gvisor: %s\n' "$*" >&2; exit 1; }

registered() {
    "$python" -W ignore - "$host" 2>/dev/null <<'PYTHON'
import sys, docker
client = docker.DockerClient(base_url=sys.argv[1], timeout=10)
sys.exit("runsc" not in client.info()["Runtimes"])
PYTHON
}

install_runsc() {
    command -v apt-get >/dev/null || fail "runsc is not installed; install gVisor for this system, then run make engine-gvisor again."
    say "installing runsc with apt"
    { apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0 install -y --no-install-recommends runsc; } \
        </dev/null >/dev/null || fail "apt-get could not install runsc; install gVisor yourself, then run make engine-gvisor again."
}

# What is configured already stays; a file that is no JSON object is somebody's to mend, not ours to replace.
register() {
    "$python" - "$config" "$(command -v runsc)" <<'PYTHON' || fail "$config is not a JSON object that can be extended; correct it, then run make engine-gvisor again."
import json, os, sys
path, runsc = sys.argv[1:]
try:
    with open(path) as file:
        config = json.load(file)
except FileNotFoundError:
    config = {}
# ptrace needs no /dev/kvm; the sandbox has no network to offer. Not --oci-seccomp: this gVisor answers EPERM where a
# filter says ENOSYS for clone3, which ends every thread; gVisor's own kernel knows few calls and passes none on.
arguments = ["--platform=ptrace", "--network=none"]
config.setdefault("runtimes", {}).setdefault("runsc", {"path": runsc, "runtimeArgs": arguments})
os.makedirs(os.path.dirname(path), exist_ok=True)
with open(path + ".new", "w") as file:
    json.dump(config, file, indent=2)
    file.write("\n")
os.replace(path + ".new", path)
PYTHON
}

# SIGHUP makes dockerd read its runtimes again; containers go on.
reload() {
    local pid
    [ -s "$pidfile" ] || fail "no pid file at $pidfile; reload dockerd yourself (SIGHUP), then run make engine-gvisor again."
    pid=$(<"$pidfile")
    [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = dockerd ] || fail "$pidfile does not name a dockerd; reload it yourself (SIGHUP), then run make engine-gvisor again."
    say "registering runsc in $config, dockerd reloads it"
    kill -HUP "$pid"
}

if registered; then exit 0; fi
[ "$(uname -s)" = Linux ] && [ "$(id -u)" = 0 ] || fail "only root on Linux may register a runtime; run 'sudo make engine-gvisor'."
command -v runsc >/dev/null || install_runsc
register
reload
deadline=$((SECONDS + patience))
until registered; do
    [ "$SECONDS" -lt "$deadline" ] || fail "dockerd does not know runsc after $patience s; see its log, then restart it and run make engine-gvisor again."
    sleep 0.3
done
say "runtime runsc is ready: SANDGLASS_RUNTIME=runsc uses it"
