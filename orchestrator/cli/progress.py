"""A bar for work that turns out to be long, on a terminal; nothing for work that is soon done."""

import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Self

from orchestrator.cli import show

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

PATIENCE = 2.0
"""Seconds without a bar."""


class LateBar:
    """Is told of steps by calling it; shows the one under way, and leaves nothing when it is left."""

    def __init__(
        self, console: "Console | None" = None, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._console = console or show.console(stderr=True)
        self._monotonic = monotonic
        self._due = monotonic() + PATIENCE
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._what = ""

    def __call__(self, what: str, done: int, total: int) -> None:
        """Show that `done` of `total` of `what` are behind us."""
        if self._bar is None and self._console.is_terminal and self._monotonic() >= self._due:
            self._bar = self._start()
        if self._bar is None:
            return
        if what != self._what:
            if self._task is not None:
                self._bar.remove_task(self._task)
            self._task, self._what = self._bar.add_task(what, total=total), what
        if self._task is not None:
            self._bar.update(self._task, completed=done, total=total)

    def _start(self) -> "Progress":
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=self._console,
            transient=True,
        )
        bar.start()
        return bar

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
