"""llm-sandbox: a session opened on the image as it is, `run`, `close`; without its own set-up of pip and a venv.

With networking disabled and the same bounds, for it takes the engine's options; it runs as root.
"""

import contextlib
import sys
import time

from llm_sandbox import SandboxSession
from serve import serve

IMAGE = sys.argv[1]
OPTIONS = {
    "network_mode": "none",
    "network_disabled": True,
    "mem_limit": "1g",
    "memswap_limit": "1g",
    "pids_limit": 128,
}
kept = []


def session():
    return SandboxSession(
        lang="python",
        image=IMAGE,
        skip_environment_setup=True,
        keep_template=True,
        runtime_configs=dict(OPTIONS),
    )


def one(code, *, whole):
    began = time.perf_counter()
    made = session()
    made.open()
    try:
        output = made.run(code).stdout
        answered = time.perf_counter()
    finally:
        if not whole:  # its own close waits ten seconds for a shell that ignores the signal
            with contextlib.suppress(Exception):
                made.container.remove(force=True)
            made.container = None
        made.close()
    return (time.perf_counter() if whole else answered) - began, output


def in_kept(code):
    if not kept:
        kept.append(session())
        kept[0].open()
    began = time.perf_counter()
    output = kept[0].run(code).stdout
    return time.perf_counter() - began, output


try:
    serve(
        "llm-sandbox",
        {
            "answer": lambda code: one(code, whole=False),
            "whole": lambda code: one(code, whole=True),
            "kept": in_kept,
        },
    )
finally:
    for made in kept:
        with contextlib.suppress(Exception):
            made.container.remove(force=True)
