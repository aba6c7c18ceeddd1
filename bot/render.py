"""Our own lines for Discord: the status of an execution, its output, its files."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from bot.markdown import block, name, one_line
from bot.runs import Run
from orchestrator import Outcome, StoredFile

INLINE = 1_000
"""Output up to this many characters is shown in the message, longer output as a file."""
INLINE_LINES = 25
_ICONS = {
    Outcome.OK: "✅",
    Outcome.NONZERO_EXIT: "❌",
    Outcome.TIMED_OUT: "⏱️",
    Outcome.CANCELLED: "⏹️",
}


def status_line(run: Run) -> str:
    """One small line: how it ended, how long it took, warm or cold, what was installed and skipped."""
    result = run.result
    if result is None:
        return f"-# ⚠️ {one_line(run.fault or 'not run')}"
    words = [
        f"{_ICONS.get(result.outcome, '❌')} {result.outcome.value.replace('_', ' ')}",
        f"{result.execution_time:.2f} s",
        "warm" if result.warm else "cold",
    ]
    if result.installed_packages:
        words.append("installed " + ", ".join(name(each, 30) for each in result.installed_packages[:5]))
    if result.failed_packages:
        words.append("not installed " + ", ".join(name(each, 30) for each in result.failed_packages[:5]))
    if result.truncated:
        words.append("output shortened")
    lines = ["-# " + " · ".join(words)]
    if result.hint:
        lines.append(f"-# {one_line(result.hint)}")
    lines.extend(_skipped_lines(run))
    return "\n".join(lines)


def _skipped_lines(run: Run) -> Iterator[str]:
    skipped = run.result.skipped_files if run.result else ()
    for each in skipped[:3]:
        yield f"-# not kept: {name(each.path)} ({size(each.size)}): {one_line(each.reason)}"
    if len(skipped) > 3:
        yield f"-# and {len(skipped) - 3} more that were not kept"


def output_of(run: Run) -> tuple[str | None, bytes | None]:
    """What was printed: a block for the message when it is short, else the bytes of `output.txt`."""
    result = run.result
    if result is None or not (result.output.strip() or result.error.strip()):
        return None, None
    both = "\n".join(part.rstrip("\n") for part in (result.output, result.error) if part.strip())
    # What is too long by itself is not fenced first to find that out: it may have 256 KiB.
    if len(both) <= INLINE and both.count("\n") <= INLINE_LINES:
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
