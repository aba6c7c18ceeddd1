"""A standby's head start: import what most code imports, and leave no other difference to a cold run."""

import gc
import importlib
import os
import sys

_ahead: set[str] = set()
"""Top-level names that were imported ahead of the code."""

PRELOAD = os.path.join(os.path.dirname(os.path.dirname(__file__)), "preload.txt")


def preload() -> None:
    """Import the listed modules that this image has, and keep the collector from visiting them again."""
    with open(PRELOAD, encoding="utf-8") as lines:
        names = lines.read().split()
    before = set(sys.modules)
    for name in names:
        try:
            importlib.import_module(name)
        except ModuleNotFoundError:
            continue  # the core image has no packages
    _ahead.update(name.partition(".")[0] for name in set(sys.modules) - before)
    gc.collect()
    gc.freeze()


def is_shadowed() -> bool:
    """Tell whether the directory has a module of a name imported ahead: then the code means its own."""
    try:
        names = os.listdir()
    except OSError:
        return False
    return any(name.partition(".")[0] in _ahead for name in names)


def start_cold(line: bytes) -> None:
    """Become a runner that imports nothing ahead, with the same request before it; does not return."""
    request = os.memfd_create("request")
    view = memoryview(line + b"\n")
    while view:
        view = view[os.write(request, view) :]
    os.lseek(request, 0, os.SEEK_SET)
    os.dup2(request, 0)
    os.execv(sys.executable, [word for word in sys.orig_argv if word != "--warm"])


def refresh() -> None:
    """Seed anew what was seeded while waiting, so that a standby is no more predictable than a cold run."""
    if "random" in sys.modules:
        sys.modules["random"].seed()
    if "numpy.random" in sys.modules:
        sys.modules["numpy.random"].seed()
