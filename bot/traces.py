"""A failure for the log: its type and the lines that it came through, never a value that somebody wrote."""

import traceback
from pathlib import PurePath

_FRAMES = 6


def trace(error: BaseException | None) -> dict[str, str]:
    """`error` and `where` as fields of a log line."""
    if error is None:
        return {"error": "unknown", "where": ""}
    frames = [
        f"{PurePath(frame.f_code.co_filename).name}:{line}"
        for frame, line in traceback.walk_tb(error.__traceback__)
    ]
    return {"error": type(error).__name__, "where": " > ".join(frames[-_FRAMES:])}
