"""A standby's head start: import what most code imports, and leave no other difference to a cold run."""

import gc
import importlib
import os
import sys

PRELOAD = os.path.join(os.path.dirname(os.path.dirname(__file__)), "preload.txt")


def preload() -> None:
    """Import the listed modules that this image has, and keep the collector from visiting them again."""
    with open(PRELOAD, encoding="utf-8") as lines:
        names = lines.read().split()
    for name in names:
        try:
            importlib.import_module(name)
        except ModuleNotFoundError:
            continue  # the core image has no packages
    gc.collect()
    gc.freeze()


def refresh() -> None:
    """Seed anew what was seeded while waiting, so that a standby is no more predictable than a cold run."""
    if "random" in sys.modules:
        sys.modules["random"].seed()
    if "numpy.random" in sys.modules:
        sys.modules["numpy.random"].seed()
