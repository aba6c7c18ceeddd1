"""The memory of a process that lives for months: the same size after a day as after a minute."""

import ctypes
import gc
import sys

_M_ARENA_MAX = -8
_ARENAS = 2


def share_arenas() -> None:
    """Let all threads allocate from two arenas; call before there are threads. glibc alone has them.

    By default each of some forty threads of SQLite and the engine gets one of eight a core, and what is free
    in one is of no use to the others: seen to grow by 1 MB a minute for as long as it was watched.
    """
    if sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
        if mallopt is not None:
            mallopt(_M_ARENA_MAX, _ARENAS)


def settle() -> None:
    """Set apart what lives as long as the process, some 700 000 objects: the collector need not look at it.

    It waits with a full collection until a quarter of all that has lived long is new. Counted with the
    libraries' own objects that is 20 MB of garbage and more, and a pause of a third of a second.
    Call it once, when everything stands; it pauses for that long itself.
    """
    gc.collect()
    gc.freeze()
