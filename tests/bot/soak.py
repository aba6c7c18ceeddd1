"""`python -m tests.bot.soak --seconds 600`: people in as many channels, all the time, and what it costs."""

import argparse
import asyncio
import json
import logging
import signal
import statistics
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from tests.bot.outside import bot_outside, resident
from tests.discord.model import LocalModel, call, say
from tests.discord.model.steps import Turn
from tests.discord.model.wants import ModelRequest
from tests.discord.server import Channel, LocalDiscord, Person

PEOPLE = 50
CODE_EACH = 10
"""One question in so many runs real code."""
PAUSE = 3.0
"""Seconds that a person reads before asking again."""
PATIENCE = 120.0
"""Seconds after which a turn without an end is lost."""
GROWTH = 1.10
"""The last quarter of the time may hold so much of the memory of the second, which is warm already."""
MIB = 1024 * 1024


@dataclass(kw_only=True)
class Soak:
    """What came of it."""

    asked: int = 0
    answered: int = 0
    computed: int = 0
    waits: list[float] = field(default_factory=list)
    memory: list[int] = field(default_factory=list)
    caused: list[str] = field(default_factory=list)

    @property
    def lost(self) -> int:
        """Questions without their own whole answer."""
        return self.asked - self.answered

    def quarter(self, number: int) -> float:
        """MiB of the bot's memory, median of a quarter of the time."""
        count = len(self.memory)
        return statistics.median(self.memory[number * count // 4 : (number + 1) * count // 4] or [0]) / MIB

    def broken(self) -> list[str]:
        """Every promise that was not kept."""
        enough = len(self.memory) >= 4
        wanted = {
            "nobody asked": bool(self.asked),
            "turns were lost": not self.lost,
            "we caused 429s": not self.caused,
            "the memory was not measured": enough,
            "the memory grows": not enough or self.quarter(3) <= GROWTH * self.quarter(1),
        }
        return [complaint for complaint, kept in wanted.items() if not kept]

    def figures(self) -> dict[str, object]:
        """For a report."""
        return {
            "asked": self.asked,
            "lost": self.lost,
            "computed": self.computed,
            "caused_429": len(self.caused),
            "answer_p50_s": round(statistics.median(self.waits), 2) if self.waits else None,
            "memory_mib_by_quarter": [round(self.quarter(number), 1) for number in range(4)],
        }


async def soak(data_dir: Path, seconds: float, people: int = PEOPLE) -> Soak:
    """Everybody asks, reads, asks again; each must get the answer to the very question."""
    found = Soak()
    async with LocalDiscord() as discord, LocalModel() as model:
        model.answer_with(_answer)
        rooms = [(discord.user(f"user{n}"), discord.channel(f"room{n}")) for n in range(people)]
        async with bot_outside(discord, model, data_dir) as bot:
            until = asyncio.get_running_loop().time() + seconds
            watch = asyncio.create_task(_watch(bot, found))
            await asyncio.gather(*(_person(found, *room, n, until) for n, room in enumerate(rooms)))
            watch.cancel()
        found.caused = list(discord.limits.caused)
        await discord.finish()
        model.finish()
    return found


def _answer(asked: ModelRequest) -> Turn:
    word = asked.text.split()[-1]
    if asked.text.startswith("compute") and not asked.outputs:
        return call("execute_python", {"code": f"print('computed', {word!r})"})
    return say(f"It is {word}. " + "So it goes. " * 20, pieces=8, delay=0.2)


async def _person(found: Soak, who: Person, where: Channel, number: int, until: float) -> None:
    loop = asyncio.get_running_loop()
    await asyncio.sleep(number * PAUSE / PEOPLE)
    turn = 0
    while loop.time() < until:
        turn += 1
        computes = (turn + number) % CODE_EACH == 0
        word = f"w{number}x{turn}"
        found.asked += 1
        began = loop.time()
        asked = await who.ask(where, f"{'compute' if computes else 'say'} {word}")
        try:
            await where.wait_for(
                lambda m, w=word: f"It is {w}." in m.content and not m.components,  # type: ignore[misc]
                PATIENCE,
                after=asked,
            )
            if computes:
                await where.wait_for(lambda m, w=word: f"computed {w}" in m.content, PATIENCE, after=asked)  # type: ignore[misc]
        except AssertionError as error:
            logging.getLogger("soak").error("%s", str(error)[:500])
            continue
        found.answered += 1
        found.computed += computes
        found.waits.append(loop.time() - began)
        where.log.clear()  # the local Discord must not become the slow part
        await asyncio.sleep(PAUSE)


async def _watch(bot: asyncio.subprocess.Process, found: Soak) -> None:
    while True:
        found.memory.append(resident(bot))
        await asyncio.sleep(1)


def main() -> int:
    """Exit code 1 where a turn was lost, a 429 caused, or the memory grows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--people", type=int, default=PEOPLE)
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the bot outside ends with us
    with tempfile.TemporaryDirectory(prefix="soak") as directory:
        data_dir = Path(directory) / "data"
        data_dir.mkdir()
        found = asyncio.run(soak(data_dir, arguments.seconds, arguments.people))
    sys.stdout.write(json.dumps(found.figures(), indent=1) + "\n")
    complaints = found.broken()
    sys.stderr.writelines(f"{each}\n" for each in complaints)
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
