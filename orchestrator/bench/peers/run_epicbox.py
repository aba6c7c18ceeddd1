"""epicbox: `create` with the program as a file, `start`, `destroy`; networking disabled, no log, root."""

import logging
import sys
import time

import epicbox
from serve import serve

logging.disable(logging.CRITICAL)
epicbox.configure(profiles=[epicbox.Profile("bench", sys.argv[1], user="root")])
LIMITS = {"cputime": 60, "realtime": 60, "memory": 1024, "processes": 128}


def one(code, *, whole):
    files = [{"name": "main.py", "content": code.encode()}]
    began = time.perf_counter()
    with epicbox.create("bench", "python main.py", files=files, limits=LIMITS) as sandbox:
        result = epicbox.start(sandbox)
        answered = time.perf_counter()
    return (time.perf_counter() if whole else answered) - began, result["stdout"].decode()


serve("epicbox", {"answer": lambda code: one(code, whole=False), "whole": lambda code: one(code, whole=True)})
