"""Questions in hand: one at a time for each person, and each can be stopped."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

MOST_WAITING = 3
_LAST_WORDS = 30.0
"""Seconds that all questions together may take to end, half of what a container's end is granted."""


@dataclass(eq=False, slots=True)
class Turn:
    """A question that is being answered, or waits until its author's earlier ones are."""

    question_id: int
    user_id: int
    task: asyncio.Task[None] | None = None
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    moved: asyncio.Event = field(default_factory=asyncio.Event)
    """Set whenever its place in the line has changed; whoever has looked clears it."""
    stopping: bool = False


class TooManyError(Exception):
    """This person has as many questions waiting as may wait."""


class EndingError(Exception):
    """The process is being ended: a question that comes now is for the next one."""


class Turns:
    """Every question in hand."""

    def __init__(self) -> None:
        self._ending = False
        self._lines: dict[int, list[Turn]] = {}
        self._by_question: dict[int, Turn] = {}

    def start(
        self, question_id: int, user_id: int, work: Callable[[Turn], Coroutine[Any, Any, None]]
    ) -> Turn:
        """Begin the work of a question in a task of its own; raises `TooManyError` and `EndingError`."""
        if self._ending:
            raise EndingError
        if not self.has_room(user_id):
            raise TooManyError
        line = self._lines.setdefault(user_id, [])
        turn = Turn(question_id=question_id, user_id=user_id)
        line.append(turn)
        if line[0] is turn:
            turn.ready.set()
        self._by_question[question_id] = turn
        turn.task = asyncio.create_task(self._in_line(turn, work), name=f"question {question_id}")
        # By a callback, for a task that is stopped before its first step runs no `finally`.
        turn.task.add_done_callback(lambda _: self._leave(turn))
        return turn

    def has_room(self, user_id: int) -> bool:
        """Whether this person may ask one more now."""
        return len(self._lines.get(user_id, ())) <= MOST_WAITING

    def place_of(self, turn: Turn) -> int:
        """0 for the one that runs."""
        return self._lines[turn.user_id].index(turn)

    def of_question(self, question_id: int) -> Turn | None:
        """The turn of a question in hand."""
        return self._by_question.get(question_id)

    def of_user(self, user_id: int) -> list[Turn]:
        """Everything that a person has in hand, the running one first."""
        return list(self._lines.get(user_id, ()))

    async def stop(self, turn: Turn) -> None:
        """Cancel it and wait until it has cleaned up; a second stop only waits: it would cut that short."""
        if turn.task is not None and turn.task is not asyncio.current_task():
            _cancel(turn)
            await asyncio.wait({turn.task})

    async def close(self) -> None:
        """Stop everything at once, and wait until it has cleaned up, or for as long as an end may take."""
        self._ending = True
        turns = [turn for line in self._lines.values() for turn in line]
        for turn in turns:
            _cancel(turn)
        if tasks := {turn.task for turn in turns if turn.task is not None}:
            await asyncio.wait(tasks, timeout=_LAST_WORDS)

    async def _in_line(self, turn: Turn, work: Callable[[Turn], Awaitable[None]]) -> None:
        with suppress(asyncio.CancelledError):
            await work(turn)

    def _leave(self, turn: Turn) -> None:
        line = self._lines[turn.user_id]
        line.remove(turn)
        for waiting in line:
            waiting.moved.set()
        if line:
            line[0].ready.set()
        else:
            del self._lines[turn.user_id]
        if self._by_question.get(turn.question_id) is turn:
            del self._by_question[turn.question_id]


def _cancel(turn: Turn) -> None:
    if turn.task is not None and not turn.stopping:
        turn.stopping = True
        turn.task.cancel()
