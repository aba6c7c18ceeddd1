"""The words of the messages that show an execution: how it ended, what it printed, what is attached."""

from collections.abc import Sequence

from bot import markdown, render
from bot.delivery import Delivery, Loaded, Parcel
from bot.runs import Run, shortened
from orchestrator import StoredFile

_REFUSED = "-# ⚠️ Discord refused the files here: /files has them."
_LIMIT = markdown.LIMIT - len(_REFUSED) - 1
_STATUS = 700
_HEAD_OF_OUTPUT = 800
_ROOM_FOR_THE_REST = 150
"""Characters for the two lines that stand for notes and files that do not fit."""


class Caption:
    """The texts of one execution, message by message."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._inline, self._attached = render.output_of(run)

    @property
    def extra(self) -> list[Parcel]:
        """Our own files: an output that is too long for a message."""
        if self._attached is None:
            return []
        return [Parcel(filename="output.txt", data=self._attached)]

    def first(self, delivery: Delivery, loaded: Loaded) -> str:
        """The message with the status and what it carries."""
        return self._first(self._inline, delivery, loaded)

    def without_files(self, delivery: Delivery, loaded: Loaded) -> str:
        """The same where its files were refused; an output that was among them is here in short."""
        inline = self._inline
        if self._attached is not None:
            inline = markdown.block(shortened(self._attached.decode(), _HEAD_OF_OUTPUT))
        return refused(self._first(inline, delivery, loaded))

    def _first(self, inline: str | None, delivery: Delivery, loaded: Loaded) -> str:
        head = "\n".join(filter(None, (_status(self._run), inline, *loaded.lost)))
        kept = _fitting(delivery.kept, _LIMIT - len(head) - _ROOM_FOR_THE_REST)
        if more := len(delivery.kept) - len(kept):
            kept.append(f"-# 📦 {more} more files are over {render.size(delivery.limit)}: see /files")
        content = "\n".join([head, *kept])
        notes = _fitting(delivery.notes, _LIMIT - len(content) - _ROOM_FOR_THE_REST)
        return _with_lines("\n".join([content, *notes]), loaded.files)


def further(loaded: Loaded) -> str:
    """A message with more files, which says of each what it is."""
    return _with_lines("\n".join(loaded.lost), loaded.files)


def refused(text: str) -> str:
    """With the line that says why nothing is attached."""
    return f"{text}\n{_REFUSED}"


def _status(run: Run) -> str:
    first, *others = render.status_line(run).split("\n")
    return "\n".join([first, *_fitting(others, _STATUS - len(first))])


def _fitting(lines: Sequence[str], room: int) -> list[str]:
    """The first lines that together fit."""
    fitting: list[str] = []
    for line in lines:
        room -= len(line) + 1
        if room < 0:
            break
        fitting.append(line)
    return fitting


def _with_lines(content: str, files: Sequence[StoredFile]) -> str:
    if not files:
        return content
    lines = render.file_lines(files, _LIMIT - len(content) - 1)
    return f"{content}\n{lines}" if content else lines
