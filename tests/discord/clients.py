"""Small real nextcord clients, and how to run one."""
# nextcord leaves its decorators without types.
# mypy: disable-error-code="untyped-decorator"

import asyncio
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import nextcord
from nextcord.ext import commands

from .server import LocalDiscord


class Echo(nextcord.Client):
    """Repeats what it is told, with the files."""

    def __init__(self) -> None:
        intents = nextcord.Intents.default()
        intents.message_content = True
        super().__init__(intents=intents, guild_ready_timeout=0.05)
        self.heard: list[str] = []
        self.typists: list[int] = []
        self.resumed = 0

    async def on_message(self, message: nextcord.Message) -> None:
        """Answer people only."""
        if message.author.bot:
            return
        self.heard.append(message.content)
        files = [nextcord.File(io.BytesIO(await each.read()), each.filename) for each in message.attachments]
        await message.reply(f"echo: {message.content}", files=files)

    async def on_typing(self, channel: object, user: nextcord.User, when: object) -> None:
        """Note who types."""
        self.typists.append(user.id)

    async def on_resumed(self) -> None:
        """Count resumes."""
        self.resumed += 1


class Panel(nextcord.ui.View):
    """A button and a select that stay."""

    def __init__(self) -> None:
        super().__init__(timeout=None)

    @nextcord.ui.button(label="Again", custom_id="again:1")
    async def again(
        self, _: nextcord.ui.Button["Panel"], interaction: nextcord.Interaction[nextcord.Client]
    ) -> None:
        """Change the message that the button is on."""
        await interaction.response.edit_message(content="clicked")

    @nextcord.ui.button(label="Edit", custom_id="edit:1")
    async def edit(
        self, _: nextcord.ui.Button["Panel"], interaction: nextcord.Interaction[nextcord.Client]
    ) -> None:
        """Open a modal."""
        await interaction.response.send_modal(Form())

    @nextcord.ui.string_select(
        custom_id="pick:1",
        options=[nextcord.SelectOption(label="A", value="a"), nextcord.SelectOption(label="B")],
    )
    async def pick(
        self, select: nextcord.ui.StringSelect["Panel"], interaction: nextcord.Interaction[nextcord.Client]
    ) -> None:
        """Say what was chosen, to the one who chose."""
        await interaction.response.send_message(f"picked {select.values[0]}", ephemeral=True)


class Form(nextcord.ui.Modal):
    """One text input."""

    def __init__(self) -> None:
        super().__init__("Edit and run", custom_id="form:1")
        self.code: nextcord.ui.TextInput[Any] = nextcord.ui.TextInput(
            "Code", custom_id="code", style=nextcord.TextInputStyle.paragraph
        )
        self.add_item(self.code)

    async def callback(self, interaction: nextcord.Interaction[nextcord.Client]) -> None:
        """Defer, then answer: what a long command does."""
        await interaction.response.defer()
        await interaction.followup.send(f"got {self.code.value}")


def make_bot() -> commands.Bot:
    """A bot with one command of every kind."""
    intents = nextcord.Intents.default()
    intents.message_content = True
    bot = commands.Bot(intents=intents, guild_ready_timeout=0.05)
    options = nextcord.SlashOption

    @bot.slash_command(description="Run code")
    async def run(
        interaction: nextcord.Interaction[commands.Bot],
        code: str = options(required=False, default=""),
        data: nextcord.Attachment | None = options(required=False),  # noqa: B008  (nextcord's own way)
    ) -> None:
        if not code:
            await interaction.response.send_modal(Form())
            return
        await interaction.response.defer(ephemeral=True)
        size = len(await data.read()) if data else 0
        await interaction.followup.send(f"ran {code} on {size} bytes")
        await interaction.followup.send("and more", file=nextcord.File(io.BytesIO(b"x"), "x.txt"))

    @bot.slash_command(description="Download a file")
    async def download(
        interaction: nextcord.Interaction[commands.Bot],
        file: str = options(description="Which"),
    ) -> None:
        await interaction.response.send_message(f"here is {file}", ephemeral=True)

    @download.on_autocomplete("file")
    async def names(interaction: nextcord.Interaction[commands.Bot], file: str) -> None:
        await interaction.response.send_autocomplete(
            [n for n in ("plot.png", "data.csv") if n.startswith(file)]
        )

    @bot.slash_command(description="Your data")
    async def privacy(interaction: nextcord.Interaction[commands.Bot]) -> None:
        pass

    @privacy.subcommand(description="Export it")
    async def export(interaction: nextcord.Interaction[commands.Bot]) -> None:
        await interaction.response.send_message("exported")

    @bot.slash_command(description="A panel")
    async def panel(interaction: nextcord.Interaction[commands.Bot]) -> None:
        await interaction.response.send_message("panel", view=Panel())

    @bot.slash_command(description="Too slow")
    async def slow(interaction: nextcord.Interaction[commands.Bot]) -> None:
        await asyncio.sleep(0)

    @bot.message_command(name="Run this code")
    async def context(interaction: nextcord.Interaction[commands.Bot], message: nextcord.Message) -> None:
        await interaction.response.send_message(f"running {message.content}")

    return bot


@asynccontextmanager
async def running[T: nextcord.Client](client: T, discord: LocalDiscord) -> AsyncIterator[T]:
    """The client connected and ready; closed, and its end awaited, afterwards."""
    task = asyncio.create_task(client.start(discord.token))
    try:
        ready = asyncio.create_task(client.wait_until_ready())
        await asyncio.wait({task, ready}, return_when=asyncio.FIRST_COMPLETED, timeout=10)
        if task.done():
            ready.cancel()
            task.result()
        yield client
    finally:
        await client.close()
        await asyncio.gather(task, return_exceptions=True)
