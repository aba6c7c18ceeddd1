"""`python -m bot.chat`: the same conversation in a terminal; without a model, code still runs."""

import asyncio
import logging
import os
import sys
from collections.abc import Iterator, Sequence

import structlog
from rich.console import Console

from bot import markdown, render, terminal
from bot.conversation import Record, converse, files_note, system_prompt
from bot.keyboard import Keyboard
from bot.logs import log_plainly
from bot.memory import room_in, tokens, trimmed
from bot.model import Message, Model, ModelError, Said, Text, ToolCall, ToolResult
from bot.opening import open_sandglass
from bot.repl import Repl
from bot.runs import run_before, told
from bot.screen import Screen, open_console
from bot.services import Services, open_services
from bot.settings import BotSettings, SetupError
from bot.tools import TOOLS, Toolbox
from bot.traces import trace
from orchestrator import FileNotFoundOrExpired, SandglassError, Settings, StoredFile

log = structlog.get_logger(__name__)

_OWNER = "terminal"
_HELP = (
    "Ask anything. /run CODE or a ```python block runs code, /upload PATH stores a file, /files lists them, "
    "/save NAME [PATH] writes one here, /reset forgets, /quit ends. Ctrl-C stops what runs."
)


class Chat:
    """One person's conversation, and the commands beside it."""

    def __init__(
        self, services: Services, console: Console, *, pictures: terminal.Protocol | None = None
    ) -> None:
        self._services = services
        self._orchestrator = services.orchestrator
        self._screen = Screen(console, self._load, pictures=pictures)
        self._history: list[Message] = []
        self._said = ""

    async def say(self, line: str) -> bool:
        """Serve one input; False when it was the last."""
        try:
            return await self._serve(line)
        except asyncio.CancelledError:
            self._screen.say("stopped", "yellow")
            raise
        except (ModelError, SandglassError) as error:
            self._screen.say(str(error), "red")
        except Exception as error:  # noqa: BLE001  (a defect of ours must not end the conversation)
            log.error("input failed", **trace(error))
            self._screen.say("Something went wrong on our side: try again.", "red")
        finally:
            self._screen.rest()
        return True

    async def piece(self, text: str) -> None:
        """See `Listener`."""
        self._said += text
        self._screen.piece(text)

    async def code_is_coming(self) -> None:
        """See `Listener`."""
        self._services.warmer.coming(_OWNER)

    async def _serve(self, line: str) -> bool:
        word, _, rest = line.strip().partition(" ")
        match word:
            case "":
                pass
            case "/quit" | "/exit":
                return False
            case "/help":
                self._screen.say(_HELP)
            case "/reset":
                self._history.clear()
                self._screen.say("forgotten")
            case "/files":
                await self._list()
            case "/upload":
                await self._upload(rest.strip())
            case "/save":
                await self._save(rest.strip())
            case "/run":
                await self._run(markdown.program(rest))
            case _:
                await self._ask(line)
        return True

    async def _ask(self, line: str) -> None:
        model = await self._services.model_of(0)
        code = markdown.fenced_code(line)
        if model is not None:
            await self._converse(model, line)
        elif code is not None:
            await self._run(code)
        else:
            self._screen.say(f"No model is configured: set OPENAI_API_KEY or OPENAI_BASE_URL. {_HELP}")

    async def _converse(self, model: Model, line: str) -> None:
        settings = self._services.settings
        files = await self._orchestrator.list_user_files(_OWNER)
        question = Text(role="user", text=line)
        frame = (system_prompt(), files_note(files), question)
        space = room_in(settings.model_window, TOOLS) - sum(tokens(each) for each in frame)
        kept, left_out = trimmed(self._history, space)
        record, self._said = Record(), ""
        toolbox = Toolbox(
            orchestrator=self._orchestrator, owner=_OWNER, witness=self._screen, sees=settings.model_sees
        )
        messages = (frame[0], *kept, *frame[1:])
        self._screen.busy("thinking")
        try:
            await converse(
                model,
                toolbox,
                messages,
                record,
                self,
                max_rounds=settings.max_rounds,
                window=settings.model_window,
            )
        finally:
            if left_out := left_out + record.left_out:
                self._screen.say(f"{left_out} older messages no longer fit and were left out", "yellow")
            self._history += [question, *record.messages]
            if not record.messages or not isinstance(record.messages[-1], Said):
                self._history.append(Said(text=self._said.strip()[-2_000:] or "(no answer)"))

    async def _run(self, code: str | None) -> None:
        if not code:
            self._screen.say("Write Python after /run.")
            return
        run = await run_before(_Typed(self._screen), self._orchestrator, _OWNER, code)
        call = ToolCall(call_id=f"run_{run.execution_id}", name="execute_python", arguments="{}")
        self._history += [
            Text(role="user", text=f"I ran this code myself:\n```python\n{code}\n```"),
            Said(text="", calls=(call,)),
            ToolResult(call_id=call.call_id, output=told(run)),
            Said(text="(the result was shown)"),
        ]

    async def _list(self) -> None:
        files = await self._orchestrator.list_user_files(_OWNER)
        for file in files:
            until = f", until {file.expires_at:%d %b %H:%M} UTC" if file.expires_at else ""
            self._screen.say(
                f"{file.filename} · {file.type} · {render.size(file.size)}{until} · {file.file_id}"
            )
        if not files:
            self._screen.say("No stored files.")

    async def _upload(self, paths: str) -> None:
        if not paths:
            self._screen.say("Write a path after /upload.")
        for word in terminal.words(paths):
            path = await asyncio.to_thread(terminal.existing, word)
            if path is None:
                self._screen.say(f"{word} is no file: name one that is.")
                continue
            try:
                await asyncio.to_thread(terminal.try_to_read, path)
            except OSError as error:
                self._screen.say(f"{word} cannot be read ({error.strerror}): name another file.", "red")
                continue
            kept = await self._orchestrator.upload_file(_OWNER, path, path.name)
            self._screen.say(f"{path.name} is stored as {kept.file_id}")

    async def _save(self, line: str) -> None:
        words = terminal.words(line)
        if not words:
            self._screen.say("Write the name of a stored file after /save.")
            return
        file, target = await self._named(words)
        data = await self._load(file)
        name = markdown.visible(file.filename) or file.file_id
        try:
            path = await asyncio.to_thread(terminal.write_new, target or ".", name, data)
        except OSError as error:
            self._screen.say(str(error), "red")
            return
        self._screen.say(f"written to {path}")

    async def _named(self, words: Sequence[str]) -> tuple[StoredFile, str]:
        """The stored file that these words begin with, whose name may have blanks, and the path behind it."""
        *earlier, (name, target) = _readings(words)
        for longer, behind in earlier:
            try:
                return await self._orchestrator.get_file(longer, _OWNER), behind
            except FileNotFoundOrExpired:
                continue
        return await self._orchestrator.get_file(name, _OWNER), target

    async def _load(self, file: StoredFile) -> bytes:
        return await self._orchestrator.load_file(file.file_id, _OWNER)


class _Typed:
    """The screen for code that its reader has just typed: it is not shown once more."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self.ended = screen.ended

    async def began(self, execution_id: str, code: str) -> None:  # noqa: ARG002
        """See `Witness`."""
        self._screen.busy("running, Ctrl-C stops it")


def _readings(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    yield " ".join(words), ""
    if len(words) > 1:
        yield " ".join(words[:-1]), words[-1]


async def _talk(repl: Repl, console: Console, settings: BotSettings, ours: Settings) -> None:
    async with (
        open_sandglass(settings, ours) as orchestrator,
        open_services(settings, orchestrator, ours.data_dir) as services,
    ):
        pictures = terminal.protocol_of(os.environ) if console.is_terminal else None
        chat = Chat(services, console, pictures=pictures)
        while (line := await repl.line()) is not None:
            if await repl.stoppable(chat.say(line)) is False:
                return


def main() -> int:
    """Exit code 2 for an unusable configuration, 3 for a fault, else 0."""
    log_plainly(logging.WARNING)  # the conversation is no place for a log
    console = open_console()
    try:
        settings, ours = BotSettings.load(), Settings.load()
        repl = Repl(Keyboard())
        console.print(_HELP, style="dim")
        repl.run(lambda: _talk(repl, console, settings, ours))
    except (SetupError, SandglassError) as error:
        sys.stderr.write(f"{markdown.visible(str(error))}\n")
        return error.exit_code if isinstance(error, SandglassError) else 2
    except (KeyboardInterrupt, asyncio.CancelledError):
        return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
