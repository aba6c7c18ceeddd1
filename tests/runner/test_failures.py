"""How code fails: readable, at its own lines, and with the exit code Python itself would give."""

# ruff: noqa: E501  (the programs in strings run inside the sandbox, as they are)

import signal
from pathlib import Path

import pytest

from tests.runner.support import RUNNER, run_here


def test_traceback_starts_at_the_users_code(tmp_path: Path) -> None:
    """A traceback has the user's source lines and no frame of the runner."""
    ran = run_here("def f():\n    return 1 / 0\n\nf()", cwd=tmp_path)
    lines = ran.err.splitlines()
    assert ran.code == 1
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[1:3] == ['  File "<sandglass>", line 4, in <module>', "    f()"]
    assert "    return 1 / 0" in lines
    assert lines[-1] == "ZeroDivisionError: division by zero"
    assert str(RUNNER.parent) not in ran.err


def test_a_failure_in_an_await_has_no_machinery_on_top(tmp_path: Path) -> None:
    """The event loop's frames above the user's code are dropped as well."""
    ran = run_here("import asyncio\nasync def f():\n    raise KeyError('x')\nawait f()", cwd=tmp_path)
    assert ran.err.splitlines()[1] == '  File "<sandglass>", line 4, in <module>'
    assert "base_events" not in ran.err


def test_chained_exceptions_are_kept(tmp_path: Path) -> None:
    """Cause and context are shown, each with its own lines."""
    ran = run_here("try:\n    {}['a']\nexcept KeyError as e:\n    raise ValueError('b') from e", cwd=tmp_path)
    assert "KeyError: 'a'" in ran.err
    assert "direct cause" in ran.err
    assert ran.err.rstrip().endswith("ValueError: b")
    assert str(RUNNER.parent) not in ran.err


def test_a_helpers_frames_are_left_out(tmp_path: Path) -> None:
    """An error out of a helper points at the user's call, not into the helper."""
    ran = run_here("load_file('gone.csv')", cwd=tmp_path)
    assert ran.code == 1
    assert str(RUNNER.parent) not in ran.err
    assert ran.err.rstrip().endswith(
        "FileNotFoundError: File not found or expired: 'gone.csv'. No files are available."
    )


@pytest.mark.parametrize("code", ["x = (", "def f(:\n  pass", "'unfinished", "a\0b", "return 5", "x = 08"])
def test_a_syntax_error_is_shown_as_python_shows_it(tmp_path: Path, code: str) -> None:
    """Code that does not compile ends with a SyntaxError, exit code 1, and no traceback of ours."""
    ran = run_here(code, cwd=tmp_path)
    assert ran.code == 1
    assert "SyntaxError" in ran.err
    assert "Traceback" not in ran.err
    assert str(RUNNER.parent) not in ran.err


@pytest.mark.parametrize(
    ("code", "expected", "on_stderr"),
    [
        ("import sys; sys.exit()", 0, ""),
        ("import sys; sys.exit(0)", 0, ""),
        ("import sys; sys.exit(3)", 3, ""),
        ("import sys; sys.exit('no luck')", 1, "no luck\n"),
        ("raise SystemExit(7)", 7, ""),
        ("exit(5)", 5, ""),
        ("import os; os._exit(9)", 9, ""),
        ("import sys; sys.exit(True)", 1, ""),
        ("import asyncio\nawait asyncio.sleep(0)\nraise SystemExit(6)", 6, ""),
    ],
)
def test_exit_codes_are_pythons_own(tmp_path: Path, code: str, expected: int, on_stderr: str) -> None:
    """However the code leaves, the process ends with the code that Python documents."""
    ran = run_here(code, cwd=tmp_path)
    assert (ran.code, ran.err) == (expected, on_stderr)


@pytest.mark.parametrize("name", ["SIGKILL", "SIGTERM", "SIGSEGV", "SIGABRT"])
def test_a_signal_ends_the_process_as_usual(tmp_path: Path, name: str) -> None:
    """The runner handles no signal of its own."""
    ran = run_here(f"import os, signal\nos.kill(os.getpid(), signal.{name})", cwd=tmp_path)
    assert ran.code == -getattr(signal, name)


def test_an_interrupt_is_130(tmp_path: Path) -> None:
    """KeyboardInterrupt is reported and ends with 130."""
    ran = run_here("raise KeyboardInterrupt", cwd=tmp_path)
    assert ran.code == 130
    assert ran.err.rstrip().endswith("KeyboardInterrupt")


def test_an_own_excepthook_is_asked(tmp_path: Path) -> None:
    """Code may replace sys.excepthook as in any script."""
    ran = run_here(
        "import sys\nsys.excepthook = lambda t, v, tb: print('mine', v)\nraise ValueError('x')", cwd=tmp_path
    )
    assert (ran.code, ran.out, ran.err) == (1, "mine x\n", "")


def test_endless_recursion_is_an_ordinary_failure(tmp_path: Path) -> None:
    """A RecursionError is shown, not a crash of the runner."""
    ran = run_here("def f():\n    f()\nf()", cwd=tmp_path)
    assert ran.code == 1
    assert "RecursionError" in ran.err


def test_the_source_is_there_for_warnings_and_inspect(tmp_path: Path) -> None:
    """Warnings show the user's line, and inspect.getsource finds the user's functions."""
    code = "import inspect, warnings\ndef f():\n    return 'body'\nwarnings.warn('careful')\nprint(inspect.getsource(f))"
    ran = run_here(code, cwd=tmp_path)
    assert "return 'body'" in ran.out
    assert "<sandglass>:4: UserWarning: careful" in ran.err
    assert "warnings.warn('careful')" in ran.err
