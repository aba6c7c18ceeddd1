"""`python -m tests.bot.bench`: what of a computed answer is our own time, on this machine."""

import argparse
import asyncio
import json
import math
import signal
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.bot.outside import bot_outside
from tests.discord.model import LocalModel, call, say
from tests.discord.server import Channel, LocalDiscord, Person

PROGRAM = "print('computed', 6 * 7)"
SLEEPER = "import time\nprint('begun', flush=True)\ntime.sleep(60)"
PROMISED_MS = 150.0
STOPPED_MS = 2000.0


async def measured(rounds: int, stops: int) -> dict[str, Any]:
    """Milliseconds; each round is a question of one person whose standby is ready."""
    with tempfile.TemporaryDirectory(prefix="bench-bot") as directory:
        data_dir = Path(directory) / "data"
        data_dir.mkdir()
        async with LocalDiscord() as discord, LocalModel() as model:
            alice, room = discord.user("alice"), discord.general
            async with bot_outside(discord, model, data_dir):
                await _computed(discord, model, alice, room)  # the first is cold
                runs = [await _computed(discord, model, alice, room) for _ in range(rounds)]
                stopped = [await _stopped(discord, model, alice, room) for _ in range(stops)]
    warm = [each for each in runs if each["warm"]]
    return {
        "rounds": len(runs),
        "warm": len(warm),
        "call_to_message_ms": _spread([each["whole"] for each in warm]),
        "of_it_the_run_ms": _spread([each["run"] for each in warm]),
        "ours_ms": _spread([each["whole"] - each["run"] for each in warm]),
        "stop_to_dead_ms": _spread(stopped),
        "promised_ours_p50_ms": PROMISED_MS,
        "promised_stop_p50_ms": STOPPED_MS,
    }


async def _computed(discord: LocalDiscord, model: LocalModel, who: Person, where: Channel) -> dict[str, Any]:
    """From the last byte of the tool call to the last byte of the request that shows the result."""
    await asyncio.sleep(3)  # the standby after the last run is made, the edit's window is open
    before = len(model.spoken)
    model.script([call("execute_python", {"code": PROGRAM}), say("Done.")])
    asked = await who.ask(where, "compute")
    await where.wait_for(lambda m: m.content == "Done." and not m.components, 120, after=asked)
    shown = next(
        each
        for each in discord.rest.requests
        if each.at > model.spoken[before] and "computed 42" in str((each.json or {}).get("content"))
    )
    told = next(iter(model.requests[-1].outputs.values()))
    content = str(shown.json["content"])
    return {
        "whole": 1000 * (shown.at - model.spoken[before]),
        "run": 1000 * float(json.loads(told)["seconds"]),
        "warm": " · warm" in content,
    }


async def _stopped(discord: LocalDiscord, model: LocalModel, who: Person, where: Channel) -> float:
    """From the click on Stop to the request that says so, which is sent when the container is dead."""
    model.script([call("execute_python", {"code": SLEEPER}), say("Stopped, then.")])
    asked = await who.ask(where, "sleep")
    running = await where.wait_for(lambda m: "⏳ running" in m.content, 120, after=asked)
    began = asyncio.get_running_loop().time()
    await who.click(running, "Stop")
    await where.wait_for(lambda m: "cancelled" in m.content, 120, after=asked)
    took = asyncio.get_running_loop().time() - began
    await where.wait_for(lambda m: m.content == "Stopped, then." and not m.components, 120, after=asked)
    return 1000 * took


def _spread(values: list[float]) -> dict[str, float]:
    ordered = sorted(values)
    if not ordered:
        return {}
    last = ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]
    return {"p50": round(statistics.median(ordered), 1), "p95": round(last, 1)}


def broken(figures: dict[str, Any]) -> list[str]:
    """Every promise that the figures do not keep; what was not measured is not kept."""
    wanted = {
        "half of the rounds were not warm": figures["warm"] >= figures["rounds"] / 2,
        "ours takes too long": figures["ours_ms"].get("p50", math.inf) <= PROMISED_MS,
        "a stop takes too long": figures["stop_to_dead_ms"].get("p50", math.inf) <= STOPPED_MS,
    }
    return [complaint for complaint, kept in wanted.items() if not kept]


def main() -> int:
    """Exit code 1 where a promise is not kept, with --check."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--stops", type=int, default=5)
    parser.add_argument("--check", action="store_true", help="fail where the promise is not kept")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the bot outside ends with us
    figures = asyncio.run(measured(arguments.rounds, arguments.stops))
    sys.stdout.write(json.dumps(figures, indent=1) + "\n")
    complaints = broken(figures) if arguments.check else []
    sys.stderr.writelines(f"{each}\n" for each in complaints)
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
