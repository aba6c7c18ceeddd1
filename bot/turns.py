"""Questions in hand: one at a time for each person, and each can be stopped."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
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


class Turns:
    """Every question in hand."""

    def __init__(self) -> None:
        self._lines: dict[int, list[Turn]] = {}
        self._by_question: dict[int, Turn] = {}

    def start(
        self, question_id: int, user_id: int, work: Callable[[Turn], Coroutine[Any, Any, None]]
    ) -> Turn:
        """Begin the work of a question in a task of its own; raises `TooManyError`."""
        line = self._lines.setdefault(user_id, [])
        if len(line) > MOST_WAITING:
            raise TooManyError
        turn = Turn(question_id=question_id, user_id=user_id)
        line.append(turn)
        if line[0] is turn:
            turn.ready.set()
        self._by_question[question_id] = turn
        turn.task = asyncio.create_task(self._in_line(turn, work), name=f"question {question_id}")
        return turn

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
        turns = [turn for line in self._lines.values() for turn in line]
        for turn in turns:
            _cancel(turn)
        if tasks := {turn.task for turn in turns if turn.task is not None}:
            await asyncio.wait(tasks, timeout=_LAST_WORDS)

    async def _in_line(self, turn: Turn, work: Callable[[Turn], Awaitable[None]]) -> None:
        try:
            await work(turn)
        except asyncio.CancelledError:
            return
        finally:
            self._leave(turn)

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
