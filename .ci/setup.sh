#!/usr/bin/env bash
# Makes .venv out of nothing but python3: uv, a Python that is new enough, the locked requirements, libmagic.
# What is there already is used; what is missing is fetched, or one sentence says how to get it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly wanted='>=3.12,<3.15'
readonly venv=${VENV:-.venv} tools=${TOOLS:-.tools}
export UV_PYTHON_INSTALL_DIR=${UV_PYTHON_INSTALL_DIR:-$PWD/$tools/python} UV_LINK_MODE=${UV_LINK_MODE:-copy}

say()  { printf 'setup: %s\n' "$*"; }
fail() { printf 'setup: %s\n' "$*" >&2; exit 1; }

can_apt() { [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; }

apt_install() {
    say "installing $* with apt"
    { apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0 install -y --no-install-recommends "$@"; } \
        </dev/null >/dev/null || fail "apt-get could not install $*; install it yourself, then run make setup again."
}

# A shim for an absent version is in PATH and answers nothing: only what runs counts.
runs() { command -v "$1" >/dev/null && "$1" --version >/dev/null 2>&1; }

find_uv() {
    if runs uv; then
        uv=$(command -v uv)
        return
    fi
    uv=$PWD/$tools/bin/uv
    runs "$uv" && return
    say "fetching uv into $tools"
    runs python3 || fail "python3 is missing; install it (Debian, Ubuntu: apt-get install python3), then run make setup again."
    # Debian ships python3 without ensurepip, so venv can be imported and still not work.
    if ! python3 -c 'import ensurepip, venv' 2>/dev/null; then
        can_apt || fail "python3 has no venv module; install it (Debian, Ubuntu: sudo apt-get install python3-venv), then run make setup again."
        apt_install python3-venv
    fi
    rm -rf "$tools/bin" "$tools/lib"
    python3 -m venv "$tools"
    "$tools/bin/python" -m pip --quiet --disable-pip-version-check install --require-hashes --only-binary :all: \
        -r .ci/uv.txt || fail "uv could not be installed with pip; check the network, or install uv yourself, then run make setup again."
}

# uv looks along PATH; Pythons that pyenv keeps lie beside it, behind shims that may be switched off.
find_python() {
    local candidate
    if python=$("$uv" python find --no-python-downloads --no-project "$wanted" 2>/dev/null); then
        return
    fi
    for candidate in "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.1[234]*/bin/python3 /usr/local/bin/python3.1[234] /opt/python*/bin/python3; do
        if "$candidate" -c 'import sys; sys.exit(not (3, 12) <= sys.version_info < (3, 15))' 2>/dev/null; then
            python=$candidate
        fi
    done
    if [ -n "${python:-}" ]; then return; fi
    say "fetching Python 3.13 into $tools/python"
    "$uv" --no-progress python install --no-bin 3.13 \
        || fail "no Python >= 3.12 is here and none could be fetched; install one (Debian 13, Ubuntu 24.04 have it as python3), then run make setup again."
    python=$("$uv" python find --managed-python --no-python-downloads --no-project 3.13 2>/dev/null)
}

make_venv() {
    if ! "$venv/bin/python" -c 'import sys; sys.exit(sys.version_info < (3, 12))' 2>/dev/null; then
        find_python
        say "making $venv with $("$python" --version)"
        "$uv" -q venv --clear --no-project --python "$python" "$venv"
    fi
    say "installing the locked requirements"
    "$uv" -q pip sync --compile-bytecode --python "$venv/bin/python" --require-hashes requirements-dev.txt \
        || fail "the requirements could not be installed; check the network, then run make setup again."
    # The build backend comes from the lock as well, hence no isolation.
    "$uv" -q pip install --python "$venv/bin/python" --no-deps --no-build-isolation --editable .
}

need_libmagic() {
    "$venv/bin/python" -W ignore -c 'import magic; magic.Magic()' 2>/dev/null && return
    can_apt || fail "libmagic is missing; install it (Debian, Ubuntu: sudo apt-get install libmagic1; macOS: brew install libmagic), then run make setup again."
    apt_install libmagic1
    "$venv/bin/python" -c 'import magic; magic.Magic()'
}

find_uv
make_venv
need_libmagic
say "done: $venv/bin/sandglass"
