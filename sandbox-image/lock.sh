#!/bin/sh
# Resolve requirements.in into requirements.lock: every version and hash pinned, no index address.
# usage: lock.sh [--upgrade]   (needs `uv` in PATH, or its path in UV)
set -eu
cd "$(dirname "$0")"
# odfpy is published only as a source archive of pure Python; everything else must be a wheel.
"${UV:-uv}" pip compile --quiet --generate-hashes --no-emit-index-url --no-annotate \
    --python-version 3.13 --python-platform x86_64-manylinux_2_28 \
    --only-binary :all: --no-binary odfpy --no-emit-package setuptools \
    --custom-compile-command "make image-lock" \
    "$@" requirements.in -o requirements.lock
