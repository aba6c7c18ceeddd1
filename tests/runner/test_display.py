"""What the code shows: its prints, the value of its last expression, and nothing of the runner."""

from pathlib import Path

import pytest

from tests.runner.support import run_here


@pytest.mark.parametrize(
    ("code", "shown"),
    [
        ("1 + 1", "2\n"),
        ("'text'", "'text'\n"),
        ("None", ""),
        ("x = 5", ""),
        ("x = 5\nx", "5\n"),
        ("5;", ""),
        ("5 ; # hushed", ""),
        ("'a;'", "'a;'\n"),
        ("(\n 5\n)", "5\n"),
        ("print('a')\nprint('b')", "a\nb\n"),
        ("'only a docstring'", "'only a docstring'\n"),
        ("", ""),
        ("# nothing", ""),
        ("def f():\n    return 1\n", ""),
        ("'ünï' # ö\n", "'ünï'\n"),
        ("x = '''\n;\n'''\nx", "'\\n;\\n'\n"),
        ("5\r\n", "5\n"),
    ],
)
def test_last_value_is_shown_as_in_a_notebook(tmp_path: Path, code: str, shown: str) -> None:
    """The last expression's value is shown unless it is None or ends in a semicolon; other statements
    show nothing."""
    ran = run_here(code, cwd=tmp_path)
    assert (ran.code, ran.out, ran.err) == (0, shown, "")


def test_top_level_await_shares_one_loop(tmp_path: Path) -> None:
    """Code may await at the top level; the body and the last expression run in the same event loop."""
    code = (
        "import asyncio\n"
        "loop = asyncio.get_running_loop()\n"
        "task = asyncio.create_task(asyncio.sleep(0, 'slept'))\n"
        "await asyncio.sleep(0)\n"
        "assert loop is asyncio.get_running_loop()\n"
        "await task"
    )
    ran = run_here(code, cwd=tmp_path)
    assert (ran.code, ran.out, ran.err) == (0, "'slept'\n", "")


def test_await_only_in_the_last_expression(tmp_path: Path) -> None:
    """A body without any await may be followed by an expression with one."""
    ran = run_here("import asyncio\nasync def f():\n    return 3\nawait f()", cwd=tmp_path)
    assert (ran.code, ran.out, ran.err) == (0, "3\n", "")


def test_code_that_runs_its_own_loop(tmp_path: Path) -> None:
    """`asyncio.run` works as in a script: no loop is running around code that does not await."""
    ran = run_here("import asyncio\nasync def f():\n    return 4\nasyncio.run(f())", cwd=tmp_path)
    assert (ran.code, ran.out) == (0, "4\n")


def test_output_is_never_held_back(tmp_path: Path) -> None:
    """What was printed is out even when the process ends without any goodbye."""
    ran = run_here("import os\nprint('half a line', end='')\nos._exit(3)", cwd=tmp_path)
    assert (ran.code, ran.out) == (3, "half a line")


def test_a_repr_that_raises_is_the_codes_failure(tmp_path: Path) -> None:
    """A last value that cannot be shown fails like any other error, at the user's own line."""
    ran = run_here("class A:\n    def __repr__(self):\n        raise ValueError('no')\nA()", cwd=tmp_path)
    assert ran.code == 1
    assert ran.err.startswith(
        'Traceback (most recent call last):\n  File "<sandglass>", line 3, in __repr__\n'
    )


@pytest.mark.parametrize(
    "code",
    [
        "'a'.replace('a', 'b')",
        "import re\nre.compile('a').pattern",
        "import os, subprocess\nsubprocess.run(['true']).returncode",
        "class B(dict):\n    def __init__(self):\n        super().__init__()\nB()",
        "eval('1+1'); exec('x=1'); __import__('os').getpid()",
        "open('/etc/passwd').close()",
    ],
)
def test_code_is_never_inspected(tmp_path: Path, code: str) -> None:
    """Nothing in the code is filtered: the container is the boundary."""
    assert run_here(code, cwd=tmp_path).code == 0
