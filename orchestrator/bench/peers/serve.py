"""The loop that every driver runs: one JSON object a line in, one a line out.

In: {"do": "answer" | "whole" | "kept", "code": "..."}. Out: {"seconds": 0.5, "output": "..."} or {"error": "..."}.
`answer` is a new container up to its output, `whole` also what the library does until the container is gone,
`kept` is the same work in one container that the library keeps. The first line out has the library's version.
"""

import json
import os
import signal
import sys
from importlib.metadata import version


def serve(distribution, works):
    """Answer requests until stdin ends; `works` are functions of the code that return seconds and output."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that a driver removes the container it keeps
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what a library prints must not be taken for an answer
    print(json.dumps({"version": version(distribution), "does": sorted(works)}), file=out)
    for line in sys.stdin:
        request = json.loads(line)
        try:
            seconds, output = works[request["do"]](request["code"])
            answer = {"seconds": seconds, "output": output}
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=out)
