"""How a failure leaves the command line: one sentence on stderr, one exit code."""

import json
import sys
import traceback
from pathlib import Path

from orchestrator.cli.text import one_line

DONE = 0
PROGRAM_FAILED = 1
REFUSED = 2
FAULT = 3


def report(sentence: str, exit_code: int, *, as_json: bool) -> int:
    """Write the sentence to stderr, as an object where `--json` was asked for; return the exit code."""
    sentence = one_line(sentence)
    if as_json:
        print(json.dumps({"error": sentence, "exit_code": exit_code}), file=sys.stderr)
    else:
        print(f"sandglass: {sentence}", file=sys.stderr)
    return exit_code


def defect(error: BaseException) -> str:
    """The sentence about an exception that nobody foresaw, with the place that a report needs."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return f"Unexpected {type(error).__name__}{place} ({error}); this is a defect, please report it."


def usage(message: str, command: str) -> str:
    """A complaint about the arguments, with where to look them up."""
    return f"{message.rstrip('.')}; see `{command} --help`."
