"""What a terminal shows: foreign words without power over it, an answer while it comes, executions."""

import sys
from collections.abc import Awaitable, Callable, Iterator
from typing import IO

from markdown_it import MarkdownIt
from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.markdown import Markdown
from rich.segment import Segment
from rich.status import Status
from rich.text import Text

from bot import markdown, render, terminal
from bot.runs import Run
from orchestrator import StoredFile

_REFRESHES = 8
"""Of the unfinished paragraph, a second."""

# Tags and definitions of links would not be shown, and what is not shown cannot be judged.
_PARSER = MarkdownIt("commonmark", {"html": False}).enable(["strikethrough", "table"]).disable("reference")
_BLOCKS = MarkdownIt("commonmark", {"html": False}).enable("table").disable(["reference", "inline"])


def open_console(file: IO[str] | None = None, *, width: int | None = None) -> Console:
    """A console that writes words as they are: neither `[0]` nor `:100:` means anything in them."""
    return Console(file=file, width=width, highlight=False, emoji=False, markup=False)


class Prose:
    """A model's Markdown, every target of a link written out.

    `apart`: after an empty line. `newest`: only as much of it as a screen holds.
    """

    def __init__(self, text: str, *, apart: bool = False, newest: bool = False) -> None:
        self._text = text
        self._apart = apart
        self._newest = newest

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        parsed, room = Markdown("", hyperlinks=False), max(1, console.height - 2)
        text = _ending(self._text, room) if self._newest else self._text
        parsed.parsed = _PARSER.parse(markdown.visible(text))
        for child in (each for token in parsed.parsed for each in token.children or ()):
            if child.type == "softbreak":
                child.type = "hardbreak"  # as in Discord, whose Markdown the model is asked for
        lines = console.render_lines(parsed, options, pad=False)
        if self._apart:
            lines.insert(0, [])
        if self._newest:
            lines = lines[-room:]
        for line in lines:
            yield from _bare(line)
            yield Segment.line()


def _bare(line: list[Segment]) -> Iterator[Segment]:
    """Without the blanks at its end that nobody sees."""
    # Looked through once more, for `&#8238;` has become a character by now.
    shown = [Segment(markdown.visible(each.text), each.style) for each in line]
    while shown and not (shown[-1].style and shown[-1].style.bgcolor):
        text, style, _ = shown.pop()
        if text.rstrip(" "):
            shown.append(Segment(text.rstrip(" "), style))
            break
    yield from shown


def _ending(block: str, most: int) -> str:
    """The last lines of a block, still of its kind: drawing all of a long one again takes long."""
    lines = block.split("\n")
    head = 1 if block.startswith(("```", "~~~")) else 2 if lines[1:] and not lines[1].strip("|-: ") else 0
    return "\n".join([*lines[:head], *lines[head:][-most:]])


def finished(text: str) -> int:
    """How many characters of a growing text can no longer change: all blocks before the one that grows."""
    # A line that is not whole may turn out to belong to what stands before it.
    whole = text[: text.rfind("\n") + 1]
    begins = [each.map[0] for each in _BLOCKS.parse(whole) if each.map and not each.level]
    if len(begins) < 2:
        return 0
    return sum(len(line) + 1 for line in whole.split("\n")[: begins[-1]])


class Words:
    """One stretch of an answer: its finished paragraphs scroll away, only the last one is drawn again."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._growing = ""
        self._looked_at = 0
        self._begun = False
        # Where the log goes to a file, it goes on doing so.
        self._live = Live(
            console=console,
            refresh_per_second=_REFRESHES,
            transient=True,
            redirect_stderr=sys.stderr.isatty(),
            vertical_overflow="visible",
        )
        if console.is_terminal:
            self._live.start()

    def add(self, piece: str) -> None:
        """Show more of it."""
        self._growing += piece
        kept = ""
        # Not at every line of a long block, or it would be parsed a thousand times.
        if "\n" in piece and len(self._growing) > self._looked_at * 17 // 16:
            done = finished(self._growing)
            kept, self._growing = self._growing[:done], self._growing[done:]
            self._looked_at = len(self._growing)
        apart = self._begun or bool(kept.strip())
        self._live.update(Prose(self._growing, apart=apart, newest=True))
        self._keep(kept)

    def end(self) -> None:
        """Nothing comes any more: leave all of it on the screen."""
        self._live.update(Text())
        self._live.stop()
        self._keep(self._growing)

    def _keep(self, text: str) -> None:
        if not text.strip():
            return
        self._console.print(Prose(text, apart=self._begun), end="")
        self._begun = True


class Screen:
    """Shows one thing after another; sees the executions of a conversation as its `Witness`."""

    def __init__(
        self,
        console: Console,
        load: Callable[[StoredFile], Awaitable[bytes]],
        *,
        pictures: terminal.Protocol | None = None,
    ) -> None:
        self._console = console
        self._load = load
        self._pictures = pictures
        self._at_work: Words | Status | None = None

    def say(self, text: str, style: str = "") -> None:
        """A sentence, whoever wrote it."""
        self.rest()
        self._console.print(Text(markdown.visible(text), style=style))

    def print(self, text: str, style: str = "") -> None:
        """What a program printed: its lines stay lines."""
        self.rest()
        self._console.print(Text(markdown.visible(text).rstrip("\n"), style=style), soft_wrap=True)

    def piece(self, text: str) -> None:
        """More of what the model says."""
        if not isinstance(self._at_work, Words):
            text = text.lstrip("\n")
            if not text:
                return
            self.rest()
            self._at_work = Words(self._console)
        self._at_work.add(text)

    def busy(self, sign: str) -> None:
        """Say what goes on until there is something to show."""
        self.rest()
        if self._console.is_terminal:
            self._at_work = self._console.status(Text(sign, style="dim"))
            self._at_work.start()

    def rest(self) -> None:
        """Nothing moves any more."""
        at_work, self._at_work = self._at_work, None
        if isinstance(at_work, Words):
            at_work.end()
        elif at_work is not None:
            at_work.stop()

    async def began(self, execution_id: str, code: str) -> None:  # noqa: ARG002
        """See `Witness`."""
        self.rest()
        self._console.print(Prose(markdown.block(code, "python")), end="")
        self.busy("running, Ctrl-C stops it")

    async def ended(self, run: Run) -> None:
        """See `Witness`."""
        result = run.result
        if result is None:
            self.say(run.fault or "", "red")
            return
        for text, style in ((result.output, ""), (result.error, "red")):
            if text.strip():
                self.print(text, style)
        for line, style in _facts(run):
            self.say(line, style)
        for file in result.generated_files:
            self.say(f"  {file.path} · {file.type} · {render.size(file.size)}")
            await self._draw(file)
        if result.generated_files:
            self.say("  /save NAME [PATH] writes one here", "dim")
        for skipped in result.skipped_files:
            self.say(f"  not kept: {skipped.path}: {skipped.reason}")

    async def _draw(self, file: StoredFile) -> None:
        if self._pictures is None or file.type != "image" or file.size > terminal.LARGEST:
            return
        drawn = terminal.shown(await self._load(file), file.media_type, self._pictures)
        if drawn is not None:
            self._console.file.write(drawn)
            self._console.file.flush()


def _facts(run: Run) -> Iterator[tuple[str, str]]:
    """How it ended and how to do better, each with its style."""
    result = run.result
    if result is not None:
        yield f"{result.outcome.value} · {result.execution_time:.2f} s", "green" if result.success else "red"
        if result.hint:
            yield result.hint, "yellow"
