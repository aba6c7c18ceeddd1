#!/usr/bin/env bash
# Makes sure that a Docker engine answers. One that answers is left alone; a dead one is started, an absent one is
# installed, if this is root on Debian or Ubuntu; anybody else gets one sentence that says what to do.
set -euo pipefail

readonly host=${DOCKER_HOST:-unix:///var/run/docker.sock}
readonly python=${PYTHON:-.venv/bin/python}
readonly log=${DOCKERD_LOG:-/var/log/dockerd.log}
readonly pidfile=${DOCKERD_PIDFILE:-/var/run/docker.pid}
readonly exec_root=${DOCKERD_EXEC_ROOT:-/var/run/docker}
readonly patience=${ENGINE_PATIENCE:-60}
read -ra flags <<<"${DOCKERD_FLAGS:-}"

say()  { printf 'engine: %s\n' "$*"; }
fail() { printf 'engine: %s\n' "$*" >&2; exit 1; }

# The same client as the product's, so that what answers here answers there.
answers() {
    "$python" -W ignore - "$host" 2>/dev/null <<'PYTHON'
import sys, docker
docker.DockerClient(base_url=sys.argv[1], timeout=5).ping() if sys.argv[1].startswith("unix") else docker.from_env(timeout=5).ping()
PYTHON
}

wait_until_it_answers() {
    local deadline=$((SECONDS + patience))
    until answers; do
        [ "$SECONDS" -lt "$deadline" ] || return 1
        sleep 0.3
    done
}

# What the socket says to a bare connect: open, denied, dead (a file that nobody listens on) or absent.
socket_state() {
    "$python" - "$1" <<'PYTHON'
import socket, sys
probe = socket.socket(socket.AF_UNIX)
probe.settimeout(5)
try:
    probe.connect(sys.argv[1])
    print("open")
except PermissionError:
    print("denied")
except FileNotFoundError:
    print("absent")
except OSError:
    print("dead")
PYTHON
}

# After a restart of the machine a pid file may name a process that is something else by now.
drop_stale_pidfile() {
    local file=$1 program=$2 pid
    [ -s "$file" ] || return 0
    pid=$(<"$file")
    if [ "$(cat "/proc/$pid/comm" 2>/dev/null)" != "$program" ]; then
        rm -f "$file"
    fi
}

daemon_runs() {
    [ -s "$pidfile" ] && [ "$(cat "/proc/$(<"$pidfile")/comm" 2>/dev/null)" = dockerd ]
}

install_engine() {
    command -v apt-get >/dev/null || fail "Docker is not installed; install Docker Engine for this system, start it, then run make engine again."
    say "installing docker.io with apt"
    {
        apt-get -qq update
        local packages=(docker.io iptables ca-certificates)
        # Debian 13 has the command line client in a package of its own.
        if apt-cache show docker-cli >/dev/null 2>&1; then packages+=(docker-cli); fi
        DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0 install -y --no-install-recommends "${packages[@]}"
    } </dev/null >/dev/null || fail "apt-get could not install docker.io; install Docker Engine yourself, then run make engine again."
}

# Detached for good: a session of its own, and none of our descriptors (a pipe to make or to a CI log, a job server,
# the lock below), or whoever reads that pipe would wait for the daemon.
launch_daemon() {
    (
        cd /
        exec </dev/null >>"$log" 2>&1
        for descriptor in /proc/self/fd/*; do
            descriptor=${descriptor##*/}
            if [ "$descriptor" -gt 2 ]; then eval "exec $descriptor>&-"; fi
        done
        exec setsid --fork dockerd --host="$host" --pidfile="$pidfile" --exec-root="$exec_root" ${flags[@]+"${flags[@]}"}
    )
}

start_daemon() {
    drop_stale_pidfile "$pidfile" dockerd
    drop_stale_pidfile "$exec_root/containerd/containerd.pid" containerd
    # dockerd trusts the mere existence of the system's containerd socket.
    if [ "$(socket_state /run/containerd/containerd.sock)" = dead ]; then rm -f /run/containerd/containerd.sock; fi
    if [ -d /run/systemd/system ] && [ -z "${DOCKER_HOST:-}" ]; then
        say "starting docker with systemd"
        systemctl start docker || fail "systemd could not start docker; see 'journalctl -u docker', then run make engine again."
    else
        say "starting dockerd, its log is $log"
        launch_daemon
    fi
}

# What workspaces as images call (SANDGLASS_WORKSPACE_BACKEND=loop). Nothing else needs them, so their absence stops nobody.
install_tools() {
    local missing=() path=$PATH:/usr/sbin:/sbin
    PATH=$path command -v mkfs.ext4 >/dev/null || missing+=(e2fsprogs)
    PATH=$path command -v mount >/dev/null || missing+=(mount)
    if [ "${#missing[@]}" = 0 ] || [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then return; fi
    say "installing ${missing[*]} with apt"
    {
        apt-get -qq update
        DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0 install -y --no-install-recommends "${missing[@]}"
    } </dev/null >/dev/null || say "apt-get could not install ${missing[*]}; without them SANDGLASS_WORKSPACE_BACKEND=loop is refused"
}

install_tools
if answers; then exit 0; fi

case $host in
    unix://*) state=$(socket_state "${host#unix://}") ;;
    *) fail "DOCKER_HOST is $host and nothing answers there; start that engine or unset DOCKER_HOST, then run make engine again." ;;
esac
if [ "$state" = denied ]; then
    fail "you may not use ${host#unix://}; run 'sudo usermod -aG docker $(id -un)', log in again, then run make engine again."
fi
if [ "$(uname -s)" != Linux ] || [ "$(id -u)" != 0 ]; then
    fail "no Docker engine answers at $host ($state socket); start it (Linux: 'sudo systemctl start docker', or 'sudo make engine' on Debian and Ubuntu), then run this again."
fi

# Two of us at once would start two.
exec 9>"$pidfile.lock"
flock -w 300 9 || fail "another make engine is still at work after 300 s; end it, then run make engine again."
if answers; then exit 0; fi

if daemon_runs; then
    say "dockerd runs but does not answer yet, waiting"
else
    command -v dockerd >/dev/null || install_engine
    answers || start_daemon
fi
wait_until_it_answers || fail "dockerd did not answer at $host within $patience s; see the end of $log, then run make engine again."
say "Docker answers at $host"
