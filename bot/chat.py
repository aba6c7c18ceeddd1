"""`python -m bot.chat`: the same conversation in a terminal; without a model, code still runs."""

import asyncio
import os
import sys
from pathlib import Path

from rich.console import Console
from rich.live import Live
from rich.markdown import Markdown

from bot import markdown, render, terminal
from bot.conversation import Record, converse, files_note, system_prompt
from bot.memory import tokens, trimmed
from bot.model import Message, Model, ModelError, Said, Text, ToolCall, ToolResult
from bot.opening import open_sandglass
from bot.runs import Run, execute, new_execution_id, told
from bot.services import Services, open_services
from bot.settings import BotSettings, SetupError
from bot.tools import Toolbox
from orchestrator import SandglassError, Settings, StoredFile

_OWNER = "terminal"
_HELP = (
    "Ask anything. /run CODE or a ```python block runs code, /upload PATH stores a file, /files lists them, "
    "/save NAME [PATH] writes one here, /reset forgets, /quit ends. Ctrl-C stops what runs."
)


class Chat:
    """One person's conversation; also shows what the tools do."""

    def __init__(
        self, services: Services, console: Console, *, pictures: terminal.Protocol | None = None
    ) -> None:
        self._services = services
        self._console = console
        self._pictures = pictures
        self._history: list[Message] = []
        self._text = ""
        self._live: Live | None = None

    async def say(self, line: str) -> bool:
        """Serve one input; False when it was the last."""
        word, _, rest = line.strip().partition(" ")
        try:
            match word:
                case "":
                    pass
                case "/quit" | "/exit":
                    return False
                case "/help":
                    self._console.print(_HELP, markup=False)
                case "/reset":
                    self._history.clear()
                    self._console.print("forgotten")
                case "/files":
                    await self._list()
                case "/upload":
                    await self._upload(rest.strip())
                case "/save":
                    await self._save(rest.strip())
                case "/run":
                    await self._run(markdown.fenced_code(rest) or rest)
                case _:
                    await self._ask(line)
        except SandglassError as error:
            self._console.print(str(error), style="red", markup=False)
        return True

    async def piece(self, text: str) -> None:
        """See `Listener`."""
        self._text += text
        if self._live is not None:
            self._live.update(Markdown(self._text))

    async def code_is_coming(self) -> None:
        """See `Listener`."""
        self._services.warmer.coming(_OWNER)

    async def began(self, execution_id: str, code: str) -> None:  # noqa: ARG002
        """See `Witness`."""
        self._console.print(Markdown(markdown.block(code, "python")))

    async def ended(self, run: Run) -> None:
        """See `Witness`."""
        result = run.result
        if result is None:
            self._console.print(run.fault or "", style="red", markup=False)
            return
        for text, style in ((result.output, ""), (result.error, "red")):
            if text.strip():
                self._console.print(markdown.visible(text).rstrip("\n"), style=style, markup=False)
        style = "green" if result.success else "red"
        self._console.print(f"{result.outcome.value} · {result.execution_time:.2f} s", style=style)
        if result.hint:
            self._console.print(result.hint, style="yellow", markup=False)
        for file in result.generated_files:
            self._console.print(
                f"  {markdown.visible(file.path)} · {file.type} · {render.size(file.size)}", markup=False
            )
            await self._draw(file)
        if result.generated_files:
            self._console.print("  /save NAME [PATH] writes one here", style="dim", markup=False)
        for skipped in result.skipped_files:
            self._console.print(
                f"  not kept: {markdown.visible(skipped.path)}: {skipped.reason}", markup=False
            )

    async def _draw(self, file: StoredFile) -> None:
        if self._pictures is None or file.type != "image" or file.size > terminal.LARGEST:
            return
        data = await self._services.orchestrator.load_file(file.file_id, _OWNER)
        drawn = terminal.shown(data, file.media_type, self._pictures)
        if drawn is None:
            return
        if self._live is not None:
            self._live.stop()  # it would write over the picture
        self._console.file.write(drawn)
        self._console.file.flush()
        if self._live is not None:
            self._live.start()

    async def _ask(self, line: str) -> None:
        model = await self._services.model_of(0)
        code = markdown.fenced_code(line)
        if model is not None:
            await self._converse(model, line)
        elif code is not None:
            await self._run(code)
        else:
            self._console.print(
                f"No model is configured: set OPENAI_API_KEY or OPENAI_BASE_URL. {_HELP}", markup=False
            )

    async def _converse(self, model: Model, line: str) -> None:
        settings = self._services.settings
        files = await self._services.orchestrator.list_user_files(_OWNER)
        question = Text(role="user", text=line)
        frame = (system_prompt(), files_note(files), question)
        kept, left_out = trimmed(self._history, settings.model_window - sum(tokens(each) for each in frame))
        if left_out:
            self._console.print(f"{left_out} older messages no longer fit and were left out", style="yellow")
        record, self._text = Record(), ""
        toolbox = Toolbox(
            orchestrator=self._services.orchestrator, owner=_OWNER, witness=self, sees=settings.model_sees
        )
        try:
            with Live(console=self._console, refresh_per_second=8) as self._live:
                await converse(
                    model,
                    toolbox,
                    (frame[0], *kept, *frame[1:]),
                    record,
                    self,
                    max_rounds=settings.max_rounds,
                )
        except ModelError as error:
            self._console.print(str(error), style="red", markup=False)
        finally:
            self._live = None
            said = record.messages and isinstance(record.messages[-1], Said)
            self._history += [question, *record.messages, *([] if said else [Said(text="(no answer)")])]

    async def _run(self, code: str) -> None:
        if not code.strip():
            self._console.print("Write code after /run.")
            return
        run = await execute(self._services.orchestrator, _OWNER, code, execution_id=new_execution_id())
        await self.ended(run)
        call = ToolCall(call_id=f"run_{run.execution_id}", name="execute_python", arguments="{}")
        self._history += [
            Text(role="user", text=f"I ran this code myself:\n```python\n{code}\n```"),
            Said(text="", calls=(call,)),
            ToolResult(call_id=call.call_id, output=told(run)),
            Said(text="(the result was shown)"),
        ]

    async def _list(self) -> None:
        files = await self._services.orchestrator.list_user_files(_OWNER)
        for file in files:
            until = f", until {file.expires_at:%d %b %H:%M} UTC" if file.expires_at else ""
            shown = f"{markdown.visible(file.filename)} · {file.type} · {render.size(file.size)}{until}"
            self._console.print(f"{shown} · {file.file_id}", markup=False)
        if not files:
            self._console.print("No stored files.")

    async def _upload(self, words: str) -> None:
        for word in terminal.words(words):
            path = await asyncio.to_thread(terminal.existing, word)
            if path is None:
                self._console.print(f"{word} is no file: name one that is.", markup=False)
                continue
            kept = await self._services.orchestrator.upload_file(_OWNER, path, path.name)
            self._console.print(f"{path.name} is stored as {kept.file_id}", markup=False)

    async def _save(self, words: str) -> None:
        ref, _, target = words.partition(" ")
        file = await self._services.orchestrator.get_file(ref, _OWNER)
        data = await self._services.orchestrator.load_file(file.file_id, _OWNER)
        try:
            path = await asyncio.to_thread(
                terminal.write_new, target.strip() or Path(file.filename).name, data
            )
        except OSError as error:
            self._console.print(f"{error.filename}: {error.strerror}", markup=False)
            return
        self._console.print(f"written to {path}", markup=False)


async def _talk(settings: BotSettings, ours: Settings) -> None:
    console = Console(highlight=False)
    console.print(_HELP, style="dim", markup=False)
    async with (
        open_sandglass(settings, ours) as orchestrator,
        open_services(settings, orchestrator, ours.data_dir) as services,
    ):
        pictures = terminal.protocol_of(os.environ) if console.is_terminal else None
        chat = Chat(services, console, pictures=pictures)
        while (line := await asyncio.to_thread(terminal.read_input, console)) is not None:
            task = asyncio.create_task(chat.say(line))
            try:
                if not await asyncio.shield(task):
                    return
            except asyncio.CancelledError:
                task.cancel()
                await asyncio.wait({task})
                current = asyncio.current_task()
                if current is not None:
                    current.uncancel()
                console.print("stopped", style="yellow")


def main() -> int:
    """Exit code 2 for an unusable configuration, 3 for a fault, else 0."""
    try:
        asyncio.run(_talk(BotSettings.load(), Settings.load()))
    except (SetupError, SandglassError) as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code if isinstance(error, SandglassError) else 2
    except KeyboardInterrupt:
        return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
