"""The bot as a process of its own over the local servers, for figures that are the bot's alone."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from tests.discord.model import LocalModel
from tests.discord.server import LocalDiscord

ROOT = Path(__file__).parents[2]
_PAGE = os.sysconf("SC_PAGE_SIZE")
POLICY = "[cooldown]\nseconds = 0\n[budget.user]\ntokens = 1000000000\n"


@asynccontextmanager
async def bot_outside(
    discord: LocalDiscord, model: LocalModel, data_dir: Path, **environment: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    """`python -m bot`, connected; told to end, and awaited, afterwards. No cooldown, no budget."""
    policy = data_dir.parent / "policy.toml"
    policy.write_text(POLICY)
    kept = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("SANDGLASS_", "OPENAI_", "DISCORD_"))
    }
    kept |= {
        "PYTHONPATH": str(ROOT),
        "SANDGLASS_DATA_DIR": str(data_dir),
        "SANDGLASS_POLICY": str(policy),
        "SANDGLASS_RATE_PER_MINUTE": "0",
        "SANDGLASS_DISCORD_API": discord.base,
        "SANDGLASS_OPENAI_MODEL": "local-large",
        "DISCORD_TOKEN": discord.token,
        "OPENAI_API_KEY": model.api_key,
        "OPENAI_BASE_URL": model.base_url,
        **environment,
    }
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "bot", env=kept, cwd=data_dir.parent)
    try:
        await discord.connected(60)
        await discord.world.until(lambda: discord.commands.registered or None, 60, "no commands")
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), 60)
        except TimeoutError:
            process.kill()
            await process.wait()


def resident(process: asyncio.subprocess.Process) -> int:
    """Bytes of memory that the process holds now."""
    pages = Path(f"/proc/{process.pid}/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * _PAGE
