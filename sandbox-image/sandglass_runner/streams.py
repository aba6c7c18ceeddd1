"""Streams for a kernel whose pipes take less than they are given: what is printed at once arrives whole.

gVisor answers a blocking write to a pipe of the host with what fitted, 64 KiB; unbuffered Python believes
that one write takes all, and nobody sees the rest.
"""

import io
import os
import select
import sys
from collections.abc import Buffer


class WholeWriter(io.FileIO):
    """An unbuffered stream that goes on until all is written."""

    def write(self, data: Buffer) -> int:
        """Write all of `data`; return its length in bytes."""
        with memoryview(data) as view, view.cast("B") as octets:
            done = 0
            while done < len(octets):
                taken = super().write(octets[done:])
                if taken is None:
                    select.select((), (self,), ())
                else:
                    done += taken
            return done


def make_whole() -> None:
    """Replace stdout and stderr by whole-writing streams, and let children of Python buffer theirs."""
    for number, name in ((1, "stdout"), (2, "stderr")):
        old = getattr(sys, name)
        raw = WholeWriter(number, "wb", closefd=False)
        raw.name = f"<{name}>"
        new = io.TextIOWrapper(
            raw, encoding=old.encoding, errors=old.errors, newline="\n", write_through=True
        )
        new.mode = "w"  # type: ignore[misc]  # as Python's own have it
        setattr(sys, name, new)
        setattr(sys, f"__{name}__", new)
    # Python's buffered writer goes on after a short write; a child's output then comes when it ends.
    os.environ.pop("PYTHONUNBUFFERED", None)
