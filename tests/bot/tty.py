"""A process on a real pseudo-terminal, and what a person sees there, scrolled up to the beginning."""

import asyncio
import fcntl
import os
import pty
import re
import struct
import sys
import termios
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

ROWS, COLUMNS = 24, 80

# The session's leader takes the terminal over as its own, or Ctrl-C would be a character.
_MAIN = (
    "import fcntl, runpy, termios\n"
    "fcntl.ioctl(0, termios.TIOCSCTTY, 0)\n"
    "{before}\n"
    "runpy.run_module('bot.chat', run_name='__main__')\n"
)
_SEQUENCE = re.compile(r"\x1b\[(?P<numbers>[0-9;?]*)(?P<what>[A-Za-z])|\x1b[=>]|(?P<character>.)", re.DOTALL)


class Screen:
    """As much of a terminal as rich and readline ask for."""

    def __init__(self) -> None:
        self._lines: list[list[str]] = [[]]
        self._row = self._column = 0

    @property
    def text(self) -> str:
        """Every line, without the blanks at its end."""
        return "\n".join("".join(line).rstrip() for line in self._lines)

    def feed(self, data: str) -> None:
        """Write to it."""
        for found in _SEQUENCE.finditer(data):
            if found["what"]:
                numbers = [int(each) for each in re.findall(r"\d+", found["numbers"])]
                self._move(found["what"], numbers[0] if numbers else None)
            elif found["character"]:
                self._put(found["character"])

    def _move(self, what: str, number: int | None) -> None:
        many = number or 1
        if what == "A":
            self._row = max(self._row - many, len(self._lines) - ROWS, 0)
        elif what == "B":
            self._row = min(self._row + many, len(self._lines) - 1)
        elif what == "C":
            self._column = min(self._column + many, COLUMNS - 1)
        elif what == "D":
            self._column = max(self._column - many, 0)
        elif what == "G":
            self._column = many - 1
        elif what == "K":
            line = self._lines[self._row]
            line[:] = [] if number == 2 else line[: self._column]
        elif what == "J":
            del self._lines[self._row + 1 :]
            del self._lines[self._row][self._column :]

    def _put(self, character: str) -> None:
        if character == "\r":
            self._column = 0
        elif character == "\n":
            self._row += 1
            if self._row == len(self._lines):
                self._lines.append([])
        elif character == "\b":
            self._column = max(self._column - 1, 0)
        elif character >= " ":
            if self._column == COLUMNS:
                self._put("\r")
                self._put("\n")
            line = self._lines[self._row]
            line.extend(" " * (self._column + 1 - len(line)))
            line[self._column] = character
            self._column += 1


class Tty:
    """`python -m bot.chat` at the other end of a terminal."""

    def __init__(self, process: asyncio.subprocess.Process, master: int) -> None:
        self.process = process
        self.raw = ""
        """Every character that was written to the terminal."""
        self._master = master
        self._seen = 0
        self._pending = b""
        self._more = asyncio.Event()
        asyncio.get_running_loop().add_reader(master, self._read)

    @property
    def text(self) -> str:
        """What a person sees, who scrolls up."""
        screen = Screen()
        screen.feed(self.raw)
        return screen.text

    def type(self, text: str) -> None:
        """Press these keys."""
        os.write(self._master, text.encode())

    def paste(self, text: str) -> None:
        """As a terminal pastes, which was told that its program knows of it."""
        assert self.raw.rfind("\x1b[?2004h") > self.raw.rfind("\x1b[?2004l")
        self.type("\x1b[200~" + text.replace("\n", "\r") + "\x1b[201~")

    async def until(self, words: str, timeout: float = 40) -> None:
        """Wait for words that were not there at the last call."""
        async with asyncio.timeout(timeout):
            while (at := self.raw.find(words, self._seen)) < 0:
                self._more.clear()
                await self._more.wait()
        self._seen = at + len(words)

    async def shows(self, words: str, timeout: float = 40) -> None:
        """Wait until a person sees these words, wherever colours begin between them."""
        async with asyncio.timeout(timeout):
            while words not in self.text:
                self._more.clear()
                await self._more.wait()

    async def asked(self) -> None:
        """Wait for the next prompt."""
        await self.until("you>")
        await self.until(" ")

    async def ask(self, line: str) -> None:
        """Type a line and wait for the next prompt."""
        self.type(f"{line}\r")
        await self.asked()

    async def ended(self) -> int:
        """Wait for its end; its exit code."""
        return await asyncio.wait_for(self.process.wait(), 30)

    def close(self) -> None:
        """Hang up."""
        if self._master >= 0:
            asyncio.get_running_loop().remove_reader(self._master)
            os.close(self._master)
            self._master = -1

    def _read(self) -> None:
        data = b""
        with suppress(OSError):  # the other end is closed
            data = os.read(self._master, 65_536)
        if not data:
            asyncio.get_running_loop().remove_reader(self._master)
            return
        self._pending += data
        with suppress(UnicodeDecodeError):  # the rest of a character is still to come
            self.raw += self._pending.decode()
            self._pending = b""
        self._more.set()


def environment(data_dir: Path, **more: str) -> dict[str, str]:
    """Ours, without what would configure the bot otherwise."""
    kept = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("SANDGLASS_", "OPENAI_", "DISCORD_", "TERM", "TMUX", "KITTY", "INPUTRC"))
    }
    quiet = {"SANDGLASS_ATTEST": "false", "INPUTRC": "/dev/null", "TERM": "xterm-256color"}
    root = str(Path(__file__).parents[2])
    return {**kept, **quiet, "SANDGLASS_DATA_DIR": str(data_dir), "PYTHONPATH": root, **more}


@asynccontextmanager
async def open_tty(data_dir: Path, before: str = "", **more: str) -> AsyncIterator[Tty]:
    """The chat at its first prompt; `before` runs in its process first."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        _MAIN.format(before=before),
        env=environment(data_dir, **more),
        cwd=data_dir.parent,
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
    )
    os.close(slave)
    tty = Tty(process, master)
    try:
        await tty.asked()
        yield tty
    finally:
        tty.close()
        with suppress(ProcessLookupError):
            process.terminate()
        await process.wait()
