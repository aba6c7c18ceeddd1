"""The process around the code is what a script would have: `__main__`, stdin, path, exit handlers,
children."""

# ruff: noqa: E501  (the programs in strings run inside the sandbox, as they are)

import json
from pathlib import Path

import pytest

from tests.runner.support import RUNNER, run_here, send_here

HEAVY = {
    "re",
    "json",
    "ast",
    "typing",
    "types",
    "collections",
    "functools",
    "traceback",
    "asyncio",
    "enum",
    "linecache",
}


def test_code_is_the_main_module(tmp_path: Path) -> None:
    """`__name__` is `__main__`, the namespace is the module's, and classes of the code can be pickled."""
    code = (
        "import pickle, sys\n"
        "class Point:\n    x = 1\n"
        "assert __name__ == '__main__' and sys.modules['__main__'].Point is Point\n"
        "assert sorted(n for n in globals() if not n.startswith('__')) == ['Point', 'pickle', 'sys']\n"
        "pickle.loads(pickle.dumps(Point())).x"
    )
    ran = run_here(code, cwd=tmp_path)
    assert (ran.code, ran.out, ran.err) == (0, "1\n", "")


def test_stdin_is_empty(tmp_path: Path) -> None:
    """The code cannot read the request: input() meets the end of the file at once."""
    line = json.dumps({"contract": 1, "code": "import sys\nprint(repr(sys.stdin.read()))\ninput()"}).encode()
    ran = send_here(line + b"\nleft over\n", cwd=tmp_path)
    assert (ran.code, ran.out) == (1, "''\n")
    assert "EOFError" in ran.err


def test_arguments_arrive(tmp_path: Path) -> None:
    """`argv` of the request is sys.argv after the program's name."""
    assert run_here("import sys\nsys.argv[1:]", cwd=tmp_path, argv=["-n", "ü"]).out == "['-n', 'ü']\n"


def test_own_modules_can_be_imported_and_the_runner_cannot_be_shadowed(tmp_path: Path) -> None:
    """The working directory is on the import path only after the runner is complete, our own folder never."""
    (tmp_path / "mine.py").write_text("VALUE = 7\n")
    for name in ("os", "json", "sandglass_runner", "linecache", "encodings", "sitecustomize"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('shadowed')\n")
    ran = run_here("import mine, sys\nprint(sys.path)\nmine.VALUE", cwd=tmp_path)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.endswith("7\n")
    assert str(RUNNER.parent) not in ran.out
    assert not (tmp_path / "__pycache__").exists()


def test_nothing_heavy_is_imported_before_the_code(tmp_path: Path) -> None:
    """A cold start pays for no module that print(1) does not need."""
    ran = run_here("import sys\nprint(*sys.modules)", cwd=tmp_path)
    assert not {"re", "json", "ast", "typing", "traceback", "asyncio", "enum", "linecache"} & set(
        ran.out.split()
    )


def test_exit_handlers_threads_and_open_files_are_honoured(tmp_path: Path) -> None:
    """At the end non-daemon threads are joined, atexit handlers run and unclosed files are flushed."""
    code = (
        "import atexit, threading, time\n"
        "atexit.register(print, 'goodbye')\n"
        "threading.Thread(target=lambda: (time.sleep(0.2), print('thread'))).start()\n"
        "left_open = open('kept.txt', 'w')\n"
        "left_open.write('x' * 100)\n"
        "print('end')"
    )
    ran = run_here(code, cwd=tmp_path)
    assert (ran.code, ran.out) == (0, "end\nthread\ngoodbye\n")
    assert (tmp_path / "kept.txt").read_text() == "x" * 100


def test_multiprocessing_works_with_functions_of_the_code(tmp_path: Path) -> None:
    """A pool runs functions that the code defines."""
    code = "import multiprocessing as m\ndef twice(n):\n    return 2 * n\nwith m.Pool(2) as p:\n    r = p.map(twice, [1, 2])\nr"
    ran = run_here(code, cwd=tmp_path)
    assert (ran.code, ran.out, ran.err) == (0, "[2, 4]\n", "")


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"no newline",
        b"\n",
        b"not json\n",
        b"\xff\xfe\n",
        b"[]\n",
        b'{"contract": 1}\n',
        b'{"contract": 2, "code": "print(1)"}\n',
        b'{"contract": 1, "code": 5}\n',
        b'{"contract": 1, "code": "print(1)"} trailing\n',
        b'{"contract": 1, "code": "print(1)", "inputs": {}}\n',
        b'{"contract": 1, "code": "print(1)", "inputs": [{"file_id": "a"}]}\n',
        b'{"contract": 1, "code": "print(1)", "argv": [1]}\n',
        b"[" * 100_000 + b"\n",
        b"x" * (33 * 1024 * 1024) + b"\n",
    ],
    ids=lambda line: repr(line[:40]),
)
def test_a_bad_request_is_refused_in_one_sentence(tmp_path: Path, line: bytes) -> None:
    """Without a usable request nothing runs: exit code 120 and one sentence on stderr."""
    ran = send_here(line, cwd=tmp_path)
    assert (ran.code, ran.out) == (120, "")
    assert ran.err.startswith("The runner ")
    assert ran.err.count("\n") == 1


def test_unknown_keys_of_the_request_are_ignored(tmp_path: Path) -> None:
    """A newer orchestrator may say more than this runner knows."""
    assert run_here("1", cwd=tmp_path, namespace={"later": True}, surprise=[1]).out == "1\n"


def test_a_large_request_arrives_whole(tmp_path: Path) -> None:
    """Code of several megabytes, in every alphabet, is read completely."""
    text = "ü漢😀\u2028\\n" * 300_000
    ran = run_here(f"len({text!r})", cwd=tmp_path)
    assert (ran.code, ran.out) == (0, f"{len(text)}\n")
