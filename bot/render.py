"""Text for Discord: cut into messages, unable to mention, to break a fence or to pass for ours."""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from datetime import datetime

from bot.runs import Run
from orchestrator import Outcome, StoredFile

LIMIT = 2_000
PART = 1_900
"""Characters of one part; the rest is for what we write under it."""
MOST_PARTS = 3
INLINE = 1_000
"""Output up to this many characters is shown in the message, longer output as a file."""
INLINE_LINES = 25
_ZERO_WIDTH = "\u200b"
_FENCE = re.compile(r"^\s{0,3}(`{3,}|~{3,})(.*)$")
_MENTION = re.compile(r"@(?=everyone|here)|<(?=[@#:/]|a:|id:)")

_ICONS = {
    Outcome.OK: "✅",
    Outcome.NONZERO_EXIT: "❌",
    Outcome.TIMED_OUT: "⏱️",
    Outcome.CANCELLED: "⏹️",
}


def visible(text: str) -> str:
    """Without control characters and without those that reverse or hide text."""
    return "".join(c for c in text if c in "\n\t" or unicodedata.category(c) not in {"Cc", "Cf", "Cs", "Co"})


def name(text: str, longest: int = 80) -> str:
    """A foreign name as inline code."""
    plain = re.sub(r"[\n\t`]", "'", visible(text)) or "?"
    return f"`{plain if len(plain) <= longest else plain[: longest - 1] + '…'}`"


def block(text: str, language: str = "") -> str:
    """A fenced block that its content cannot leave."""
    return f"```{language}\n{visible(text).replace('```', f'`{_ZERO_WIDTH}`{_ZERO_WIDTH}`')}\n```"


def prose(text: str) -> str:
    """A model's words: mentions are defused, and small print, which is ours, is not theirs to write."""
    lines, fence = [], None
    for line in visible(text).split("\n"):
        marker = _FENCE.match(line)
        if marker and (fence is None or (marker[1].startswith(fence) and not marker[2].strip())):
            fence = marker[1] if fence is None else None
        elif fence is None:
            line = _MENTION.sub(lambda found: found[0] + _ZERO_WIDTH, line)  # noqa: PLW2901
            line = re.sub(r"^(\s*)-#", r"\1\\-#", line)  # noqa: PLW2901
        lines.append(line)
    return "\n".join(lines)


def split(text: str, limit: int = PART) -> list[str]:
    """Cut at paragraphs if possible, else lines, else anywhere; an open fence is closed and reopened."""
    parts: list[str] = []
    rest = text.strip("\n")
    while len(rest) > limit:
        cut = _cut(rest, limit - 8)
        head, rest = rest[:cut].rstrip("\n"), rest[cut:].lstrip("\n")
        opened = open_fence(head)
        if opened:
            head += "\n" + opened.split(maxsplit=1)[0][:3]
            rest = f"{opened}\n{rest}"
        parts.append(head)
    return [*parts, rest] if rest.strip() else parts


def open_fence(text: str) -> str | None:
    """The line that opened the fence that is still open at the end of `text`."""
    opened: str | None = None
    for line in text.split("\n"):
        marker = _FENCE.match(line)
        if marker and opened is None:
            opened = (marker[1][:3] + marker[2]).strip()[:40]
        elif marker and opened and marker[1].startswith(opened[:3]) and not marker[2].strip():
            opened = None
    return opened


def _cut(text: str, limit: int) -> int:
    """Where to cut: after the last paragraph or line that fits, unless that leaves nearly nothing."""
    for separator in ("\n\n", "\n", " "):
        at = text.rfind(separator, 0, limit)
        if at > limit // 3:
            return at + len(separator)
    return limit


def status_line(run: Run) -> str:
    """One small line: how it ended, how long it took, warm or cold, what was installed and skipped."""
    result = run.result
    if result is None:
        return f"-# ⚠️ {_one_line(run.fault or 'not run')}"
    words = [
        f"{_ICONS.get(result.outcome, '❌')} {result.outcome.value.replace('_', ' ')}",
        f"{result.execution_time:.2f} s",
        "warm" if result.warm else "cold",
    ]
    if result.installed_packages:
        words.append("installed " + ", ".join(name(each, 30) for each in result.installed_packages[:5]))
    if result.truncated:
        words.append("output shortened")
    lines = ["-# " + " · ".join(words)]
    if result.hint:
        lines.append(f"-# {_one_line(result.hint)}")
    lines.extend(_skipped_lines(run))
    return "\n".join(lines)


def _skipped_lines(run: Run) -> Iterator[str]:
    skipped = run.result.skipped_files if run.result else ()
    for each in skipped[:3]:
        yield f"-# not kept: {name(each.path)} ({size(each.size)}): {_one_line(each.reason)}"
    if len(skipped) > 3:
        yield f"-# and {len(skipped) - 3} more that were not kept"


def output_of(run: Run) -> tuple[str | None, bytes | None]:
    """What was printed: a block for the message when it is short, else the bytes of `output.txt`."""
    result = run.result
    if result is None or not (result.output.strip() or result.error.strip()):
        return None, None
    both = "\n".join(part.rstrip("\n") for part in (result.output, result.error) if part.strip())
    shown = block(both)
    if len(shown) <= INLINE and shown.count("\n") <= INLINE_LINES:
        return shown, None
    return None, both.encode("utf-8", "replace")


def file_line(file: StoredFile) -> str:
    """Name, type, size, id and the moment of its end, in the reader's own time."""
    words = [name(file.path if "/" in file.path else file.filename, 60), file.type, size(file.size)]
    words.append(f"id {name(file.file_id, 90)}")
    if file.expires_at is not None:
        words.append(f"until {timestamp(file.expires_at)}")
    return "-# 📎 " + " · ".join(words)


def file_lines(files: Sequence[StoredFile], room: int) -> str:
    """As many file lines as fit into `room` characters, and how many there are beyond."""
    lines: list[str] = []
    used = 60
    for file in files:
        line = file_line(file)
        if used + len(line) + 1 > room:
            lines.append(f"-# and {len(files) - len(lines)} more: see /files")
            break
        lines.append(line)
        used += len(line) + 1
    return "\n".join(lines)


def timestamp(moment: datetime) -> str:
    """Discord's own form, shown to each reader as a distance in time."""
    return f"<t:{int(moment.timestamp())}:R>"


def size(count: int) -> str:
    """Bytes for people."""
    if count < 1000:
        return f"{count} B"
    return f"{count / 1000:.1f} KB" if count < 1_000_000 else f"{count / 1_000_000:.1f} MB"


def fenced_code(text: str) -> str | None:
    """The Python of the fenced blocks of a message, joined; None when there is none."""
    found = re.findall(r"```(?:(?:python|py|python3)\s*\n|\n)?(.*?)```", text, re.DOTALL | re.IGNORECASE)
    code = "\n".join(each.strip("\n") for each in found if each.strip())
    return code or None


def _one_line(text: str) -> str:
    return prose(" ".join(text.split()))[:300].replace("`", "'")
