#!/usr/bin/env bash
# Writes the locks: versions and hashes, no address of where they came from.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if uv --version >/dev/null 2>&1; then uv=uv; else uv=.tools/bin/uv; fi
export UV_CUSTOM_COMPILE_COMMAND="make lock"

compile() { "$uv" -q pip compile --upgrade --universal --generate-hashes --no-emit-index-url --no-annotate "$@"; }

compile --python-version 3.12 pyproject.toml -o requirements.txt
compile --python-version 3.12 pyproject.toml --group dev -c requirements.txt -o requirements-dev.txt
# This one is read by whatever python3 a bare machine has.
compile --python-version 3.9 - -o .ci/uv.txt <<<uv
