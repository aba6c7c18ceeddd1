"""One question at a time for each person, work that is not cut in two, and a gateway that is tried again."""

import asyncio
import zlib
from collections.abc import Callable

import aiohttp
import nextcord
import pytest

from bot import supervise
from bot.settings import SetupError
from bot.supervise import keep_connected
from bot.turns import MOST_WAITING, EndingError, TooManyError, Turn, Turns
from bot.unbroken import unbroken

ALICE, BOB = 1, 2


class Desk:
    """Work that waits for its turn and then for the test."""

    def __init__(self) -> None:
        self.under_way: list[int] = []
        self.done: list[int] = []
        self.most = 0
        self.go = asyncio.Event()

    async def work(self, turn: Turn) -> None:
        """Note who is at work together."""
        await turn.ready.wait()
        self.under_way.append(turn.question_id)
        self.most = max(self.most, len(self.under_way))
        try:
            await self.go.wait()
            await asyncio.sleep(0)
            self.done.append(turn.question_id)
        finally:
            self.under_way.remove(turn.question_id)


async def settle() -> None:
    """Let every task go as far as it can."""
    for _ in range(20):
        await asyncio.sleep(0)


async def ended(*turns: Turn) -> None:
    """Wait for them."""
    await asyncio.wait_for(asyncio.wait({turn.task for turn in turns if turn.task}), 5)


async def test_a_persons_questions_go_one_by_one() -> None:
    """In the order of asking."""
    turns, desk = Turns(), Desk()
    begun = [turns.start(n, ALICE, desk.work) for n in range(3)]
    await settle()
    assert desk.under_way == [0]
    assert [turns.place_of(turn) for turn in begun] == [0, 1, 2]
    desk.go.set()
    await ended(*begun)
    assert (desk.done, desk.most) == ([0, 1, 2], 1)
    assert turns.of_user(ALICE) == []


async def test_two_people_do_not_wait_for_each_other() -> None:
    """Each has a line."""
    turns, desk = Turns(), Desk()
    begun = [turns.start(n, user, desk.work) for n, user in enumerate((ALICE, BOB))]
    await settle()
    assert desk.under_way == [0, 1]
    desk.go.set()
    await ended(*begun)


async def test_a_line_has_an_end() -> None:
    """One at work and so many waiting; the next is refused, and has room when one has gone."""
    turns, desk = Turns(), Desk()
    begun = [turns.start(n, ALICE, desk.work) for n in range(MOST_WAITING + 1)]
    with pytest.raises(TooManyError):
        turns.start(99, ALICE, desk.work)
    assert turns.of_question(99) is None
    await settle()
    await turns.stop(begun[-1])
    begun.append(turns.start(100, ALICE, desk.work))
    desk.go.set()
    await ended(*begun)
    assert desk.done == [0, 1, 2, 100]


async def test_a_stopped_question_lets_the_next_one_go() -> None:
    """And is over when `stop` returns."""
    turns, desk = Turns(), Desk()
    first, second = (turns.start(n, ALICE, desk.work) for n in range(2))
    await settle()
    await turns.stop(first)
    assert turns.of_question(0) is None
    await settle()
    assert desk.under_way == [1]
    desk.go.set()
    await ended(second)
    assert desk.done == [1]


async def test_a_waiting_question_can_be_stopped() -> None:
    """It never begins; the one at work does not notice."""
    turns, desk = Turns(), Desk()
    first, second, third = (turns.start(n, ALICE, desk.work) for n in range(3))
    await settle()
    await turns.stop(second)
    desk.go.set()
    await ended(first, third)
    assert desk.done == [0, 2]


async def test_a_failed_question_lets_the_next_one_go() -> None:
    """A fault of ours blocks nobody's line."""
    turns, desk = Turns(), Desk()

    async def fails(turn: Turn) -> None:
        await turn.ready.wait()
        raise RuntimeError("ours")

    first = turns.start(0, ALICE, fails)
    second = turns.start(1, ALICE, desk.work)
    desk.go.set()
    await ended(first, second)
    assert first.task is not None
    with pytest.raises(RuntimeError, match="ours"):
        first.task.result()
    assert desk.done == [1]


async def test_closing_stops_everything() -> None:
    """Nothing of anybody is left."""
    turns, desk = Turns(), Desk()
    begun = [turns.start(n, n % 2, desk.work) for n in range(6)]
    await settle()
    await turns.close()
    assert all(turn.task is not None and turn.task.done() for turn in begun)
    assert (desk.under_way, desk.done) == ([], [])
    assert turns.of_user(0) == turns.of_user(1) == []


async def test_a_question_that_is_stopped_before_its_first_step_leaves_the_line() -> None:
    """Stopped in the moment in which it was begun: the next one is not behind it for ever."""
    turns, desk = Turns(), Desk()
    await turns.stop(turns.start(1, ALICE, desk.work))
    assert turns.of_user(ALICE) == []
    later = turns.start(2, ALICE, desk.work)
    assert later.ready.is_set()
    await turns.stop(later)


async def test_what_comes_during_the_end_is_left_to_the_next_process() -> None:
    """It is neither begun nor lost: nothing says that it was answered."""
    turns, desk = Turns(), Desk()
    await turns.close()
    with pytest.raises(EndingError):
        turns.start(1, ALICE, desk.work)
    assert turns.of_user(ALICE) == []


async def test_closing_lets_nobody_wait_for_anothers_end() -> None:
    """Everybody's last words are said at the same time: an end that waits for all others still comes."""
    turns, everybody = Turns(), asyncio.Barrier(4)

    async def work(turn: Turn) -> None:
        try:
            await asyncio.sleep(3_600)
        finally:
            await everybody.wait()

    begun = [turns.start(n, n, work) for n in range(4)]
    await settle()
    await asyncio.wait_for(turns.close(), 10)
    assert all(turn.task is not None and turn.task.done() for turn in begun)


async def test_a_question_that_was_asked_again_is_found() -> None:
    """The end of the earlier turn of an edited question does not hide the later one."""
    turns, desk = Turns(), Desk()
    earlier, later = turns.start(7, ALICE, desk.work), turns.start(7, ALICE, desk.work)
    await settle()
    await turns.stop(earlier)
    assert turns.of_question(7) is later
    desk.go.set()
    await ended(later)
    assert turns.of_question(7) is None


async def test_unbroken_work_ends_before_the_cancellation() -> None:
    """What began is finished, then the cancellation is raised."""
    steps: list[str] = []

    @unbroken
    async def write() -> None:
        steps.append("began")
        await asyncio.sleep(0.02)
        steps.append("ended")

    task = asyncio.create_task(write())
    await settle()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert steps == ["began", "ended"]


async def test_unbroken_work_returns_and_raises_as_before() -> None:
    """Its value and its faults are its caller's."""

    @unbroken
    async def divide(by: int) -> float:
        """Divide."""
        return 6 / by

    assert await divide(2) == 3
    with pytest.raises(ZeroDivisionError):
        await divide(0)
    assert divide.__doc__ == "Divide."


class Gateway:
    """Connections that end as the list says."""

    def __init__(self, ends: list[BaseException | None]) -> None:
        self.ends = ends
        self.made: list[Connection] = []

    def make(self) -> nextcord.Client:
        """A new client, which `keep_connected` uses once."""
        connection = Connection(self.ends[len(self.made)])
        self.made.append(connection)
        return connection


class Connection(nextcord.Client):
    """A client whose connection ends at once."""

    def __init__(self, end: BaseException | None) -> None:
        super().__init__(intents=nextcord.Intents.none())
        self.end = end
        self.starts = 0
        self.closes = 0

    async def login(self, token: str) -> None:
        """Count; a refused login ends it here."""
        assert token == "token"
        self.starts += 1
        if isinstance(self.end, nextcord.LoginFailure):
            raise self.end

    async def connect(self, *, reconnect: bool = True) -> None:
        """End as told."""
        assert reconnect
        if self.end is not None:
            raise self.end

    async def close(self) -> None:
        """Count."""
        self.closes += 1


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that were made, none of which takes its time."""
    made: list[float] = []
    sleep: Callable[[float], object] = asyncio.sleep

    class Quick:
        """`asyncio` for the watch, with a sleep that only notes."""

        def __getattr__(self, name: str) -> object:
            return getattr(asyncio, name)

        async def sleep(self, seconds: float) -> None:
            made.append(seconds)
            await sleep(0)  # type: ignore[misc]

    monkeypatch.setattr(supervise, "asyncio", Quick())
    return made


async def test_the_pause_doubles_up_to_a_minute(waits: list[float]) -> None:
    """So that Discord is not stormed; every try has a client of its own, closed once."""
    gateway = Gateway([*[OSError("down")] * 9, None])
    await keep_connected(gateway.make, "token")
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert [(each.starts, each.closes) for each in gateway.made] == [(1, 1)] * 10


@pytest.mark.parametrize(
    "end",
    [
        OSError("down"),
        aiohttp.ClientConnectionError("down"),
        nextcord.DiscordException("odd"),
        AttributeError("ws"),
        KeyError("op"),
        TypeError("d"),
        ValueError("json"),
        zlib.error("stream"),
        ZeroDivisionError(),
    ],
)
async def test_what_may_pass_is_tried_again(waits: list[float], end: BaseException) -> None:
    """A lost line, a frame that cannot be read and what nobody expected alike."""
    await keep_connected(Gateway([end, None]).make, "token")
    assert waits == [1]


@pytest.mark.parametrize(
    ("end", "sentence"),
    [
        (nextcord.LoginFailure("secret"), "set DISCORD_TOKEN"),
        (nextcord.PrivilegedIntentsRequired(0), "Message Content intent is off"),
    ],
)
async def test_what_only_the_operator_can_mend_ends_it(
    waits: list[float], end: BaseException, sentence: str
) -> None:
    """One sentence with the remedy, and no further try."""
    gateway = Gateway([end, None])
    with pytest.raises(SetupError, match=sentence) as caught:
        await keep_connected(gateway.make, "token")
    assert "secret" not in str(caught.value)
    assert waits == []
    assert [each.closes for each in gateway.made] == [1]
