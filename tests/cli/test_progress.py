"""The bar of long work: late, on a terminal only, and gone at the end."""

from io import StringIO

from rich.console import Console

from orchestrator.cli.progress import PATIENCE, LateBar


class Stopwatch:
    """Monotonic seconds that only a test moves."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def _watched(*, terminal: bool) -> tuple[LateBar, Stopwatch, StringIO]:
    stream, watch = StringIO(), Stopwatch()
    console = Console(file=stream, force_terminal=terminal, width=100)
    return LateBar(console, watch), watch, stream


def test_work_that_is_soon_done_shows_nothing() -> None:
    """Two seconds are no wait."""
    bar, watch, stream = _watched(terminal=True)
    with bar:
        bar("expired files", 0, 1000)
        watch.seconds = PATIENCE / 2
        bar("expired files", 500, 1000)
    assert stream.getvalue() == ""


def test_long_work_says_what_it_is_at_and_how_far() -> None:
    """From the first step after two seconds on; the next step takes the place of the last."""
    bar, watch, stream = _watched(terminal=True)
    with bar:
        bar("expired files", 0, 1000)
        watch.seconds = PATIENCE
        bar("expired files", 500, 1000)
        bar("workspaces", 7, 9)
    shown = stream.getvalue()
    assert "workspaces" in shown
    assert "7/9" in shown


def test_a_file_or_a_pipe_gets_no_bar() -> None:
    """What is redirected is read by programs."""
    bar, watch, stream = _watched(terminal=False)
    with bar:
        watch.seconds = 10 * PATIENCE
        bar("expired files", 500, 1000)
    assert stream.getvalue() == ""
