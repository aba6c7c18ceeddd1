"""`python -m bot`: the bot, its orchestrator in this process or behind HTTP; `--check` asks every part."""

import argparse
import asyncio
import signal
import sys

import nextcord.http

from bot.check import findings
from bot.client import SandglassClient
from bot.logs import log_plainly
from bot.opening import open_sandglass
from bot.services import open_services
from bot.settings import BotSettings, SetupError
from bot.supervise import keep_connected
from bot.turns import Turns
from orchestrator import SandglassError, Settings, settle, share_arenas

_OK, _REFUSED, _FAULT = 0, 2, 3


def main() -> int:
    """Exit code 0: told to stop, or all is well; 2: the configuration; 3: ours or the engine's fault."""
    parser = argparse.ArgumentParser(prog="python -m bot", description="The Sandglass bot for Discord.")
    parser.add_argument(
        "--check", action="store_true", help="ask sandbox, store, policy, model and Discord once, then end"
    )
    arguments = parser.parse_args()
    share_arenas()
    log_plainly()
    try:
        settings, ours = BotSettings.load(), Settings.load()
        if settings.discord_api:
            nextcord.http.Route.BASE = settings.discord_api.rstrip("/")
        return asyncio.run(_check(settings, ours) if arguments.check else _serve(settings, ours))
    except (SetupError, SandglassError) as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code if isinstance(error, SandglassError) else _REFUSED
    except KeyboardInterrupt:
        return _OK


async def _serve(settings: BotSettings, ours: Settings) -> int:
    token = settings.discord_token
    if token is None:
        raise SetupError("DISCORD_TOKEN is not set: make a bot in Discord's developer portal, set its token.")
    turns = Turns()
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    async with (
        open_sandglass(settings, ours, serving=True) as orchestrator,
        open_services(settings, orchestrator, ours.data_dir) as services,
    ):
        settle()
        gateway = asyncio.create_task(
            keep_connected(lambda: SandglassClient(services, turns), token.get_secret_value())
        )
        told = asyncio.create_task(stopped.wait())
        try:
            await asyncio.wait({gateway, told}, return_when=asyncio.FIRST_COMPLETED)
            if gateway.done():
                gateway.result()
        finally:
            for task in (gateway, told):
                task.cancel()
            # At once: a client hangs up first, and what the questions still say goes through its session.
            await asyncio.gather(turns.close(), gateway, told, return_exceptions=True)
    return _OK


async def _check(settings: BotSettings, ours: Settings) -> int:
    well = True
    async for found in findings(settings, ours):
        well = well and found.good
        sys.stdout.write(f"{'ok  ' if found.good else 'FAIL'} {found.part}: {found.sentence}\n")
        sys.stdout.flush()
    return _OK if well else _FAULT


if __name__ == "__main__":
    sys.exit(main())
