"""Foreign text for Discord: cut into messages, unable to mention, to break a fence or to pass for ours.

Discord's markdown is none of the published ones: a fence is three back-ticks anywhere in a line, an unclosed
one is no fence, a lone back-tick reaches over lines, and a bold or linked stretch may swallow one. So nothing
here trusts how a text would be read: what is written has fences of one form only, each closed, no other
three back-ticks, and neither small print nor a mention, not even in code. Only a link is left in code, where
no markup around it could let it out.

Everything here takes time in proportion to its text: it runs beside all other conversations.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from bot import words
from bot.letters import visible
from bot.words import GAP

__all__ = [
    "LIMIT", "MOST_PARTS", "PART", "block", "fenced_code", "name", "one_line", "prose", "split", "visible",
]  # fmt: skip

LIMIT = 2_000
PART = 1_900
"""Characters of one part; the rest is for what we write under it."""
MOST_PARTS = 3

_LANGUAGE = re.compile(r"(?!.*-#)[A-Za-z0-9_+\-.#]{1,20}")
_PYTHON = frozenset({"python", "py", "python3", "py3", "ipython"})
_OPENING = re.compile(r"^(?P<before>.*?)(?<!`)(?P<ticks>`{3,}+)(?P<info>[^`]*)$")
_OURS = re.compile(r"^```[A-Za-z0-9_+\-.#]{0,20}$")
_INLINE = re.compile("`` .*? ``|`[^`\n]+`|(?P<half>`.*)")
_MENTION = re.compile(r"@(?=everyone|here)|<(?=@[!&]?\d|#\d|a?:\w+:\d|id:|t:-?\d|sound:\d)")
_COMMAND = re.compile(r"</[^>\n]*+")
_SMALL = re.compile("-(?=#)")


@dataclass(frozen=True, slots=True)
class _Fence:
    code: str
    language: str


def name(text: str, longest: int = 80) -> str:
    """A foreign name as inline code."""
    plain = _defused(words.unlinked(re.sub(r"[\n\t`]", "'", visible(text)))) or "?"
    return f"`{plain if len(plain) <= longest else plain[: longest - 1] + '…'}`"


def one_line(text: str, longest: int = 300) -> str:
    """A foreign sentence within a line of ours, without any markup of its own."""
    plain = " ".join(visible(text).replace("`", "'").split())[:longest]
    return _defused(words.quiet(re.sub(r"([\\*_~|\[\]<>])", r"\\\1", plain)))


def block(text: str, language: str = "") -> str:
    """A fenced block that its content cannot leave."""
    return _fenced(visible(text), language)


def prose(text: str) -> str:
    """A model's words as Markdown; its small print, mentions and masked links are shown as plain text."""
    lines = _pieces(visible(text).split("\n"))
    pieces = [each if isinstance(each, _Fence) else words.read(each) for each in lines]
    apart = not words.certain([each for each in pieces if not isinstance(each, _Fence)])
    return "\n".join(_written(pieces, apart=apart))


def split(text: str, limit: int = PART) -> list[str]:
    """Cut at paragraphs if possible, else lines, else anywhere; an open fence is closed and reopened."""
    parts, text = list[str](), text.strip("\n")
    at, opened = 0, ""
    while len(opened) + len(text) - at > limit:
        window = opened + text[at : at + limit]
        cut, fence = _cut(window, limit - 4, len(opened))
        head = window[:cut].rstrip("\n")
        at = _next_line(text, at + cut - len(opened))
        opened = ""
        if fence:
            head += "\n```"
            if text[at : at + 4] in {"```", "```\n"}:
                at = _next_line(text, at + 3)
            else:
                opened = f"{fence}\n"
        if head.strip():
            parts.append(head)
    last = opened + text[at:]
    return [*parts, last] if last.strip() else parts


def fenced_code(text: str) -> str | None:
    """The Python of the fenced blocks of a message, joined; None when there is none."""
    # Every second piece is a block, but for the last, which nothing closes.
    blocks = re.split("`{3,}", text)[1:-1:2]
    return "\n".join(filter(None, map(_python, blocks))) or None


def program(text: str) -> str | None:
    """What somebody gives to be run, in a fence or without; None for nothing, and for another language."""
    if (fenced := fenced_code(text)) is not None:
        return fenced
    return text if text.strip() and not text.lstrip().startswith("```") else None


def _python(content: str) -> str:
    """The program in a block; nothing where its first line, the tag, names another language."""
    tag, line_end, program = content.partition("\n")
    if not line_end or (tag.strip() and not _LANGUAGE.fullmatch(tag.strip())):
        program = content.strip(" ")  # a program cannot begin with a space
    elif tag.strip() and tag.strip().lower() not in _PYTHON:
        program = ""
    return program.strip("\n") if program.strip() else ""


class _Runs:
    """The next line with so many back-ticks, found in no more steps than that."""

    def __init__(self, counts: Sequence[int]) -> None:
        self._counts = counts
        self._longer = [len(counts)] * len(counts)
        for at in reversed(range(len(counts))):
            later = at + 1
            while later < len(counts) and counts[later] <= counts[at]:
                later = self._longer[later]
            self._longer[at] = later

    def first(self, at: int, least: int) -> int | None:
        while at < len(self._counts) and self._counts[at] < least:
            at = self._longer[at]
        return at if at < len(self._counts) else None


def _pieces(lines: list[str]) -> Iterator[str | _Fence]:
    """Lines of words, and fences. One opens where the rest of a line says so, and closes with a line of its
    own, else wherever Discord would close it, else at the end: the answer may still be coming."""
    alone = _Runs([_ticks_alone(line) for line in lines])
    within = _Runs([_ticks_within(line) for line in lines])
    at = 0
    while at < len(lines):
        opening, at = _OPENING.match(lines[at]), at + 1
        if opening is None:
            yield lines[at - 1]
            continue
        before, ticks = opening["before"], opening["ticks"]
        own, other = alone.first(at, len(ticks)), within.first(at, len(ticks))
        if before.strip() and (other is None or len(re.findall("`{3,}", before)) % 2):
            yield lines[at - 1]  # behind words it opens only where it is closed later
            continue
        if before.strip():
            yield before.rstrip()
        closing = own if own is not None else other
        code = lines[at:closing]
        at = len(lines) if closing is None else closing + 1
        if closing is not None and own is None:
            last, _, after = lines[closing].partition(ticks)
            code += [last] * bool(last)
            if after.lstrip("`").strip():
                at, lines[closing] = closing, after.lstrip("`")
        yield _fence(code, opening["info"].strip())


def _ticks_alone(line: str) -> int:
    line = line.strip()
    return 0 if line.strip("` \t") else len(line) - len(line.lstrip("`"))


def _ticks_within(line: str) -> int:
    return max(map(len, re.findall("`{3,}", line))) if "```" in line else 0


def _fence(code: list[str], info: str) -> _Fence:
    if info and not _LANGUAGE.fullmatch(info):
        return _Fence("\n".join([info, *code]), "")
    return _Fence("\n".join(code), info)


def _written(pieces: Iterable[words.Line | _Fence], *, apart: bool) -> Iterator[str]:
    for each in pieces:
        if not isinstance(each, _Fence):
            yield _defused(words.written(each, apart=apart))
        elif each.code.strip("\n"):
            yield _fenced(words.unlinked(each.code) if apart else each.code, each.language)


def _fenced(code: str, language: str) -> str:
    # Defused as words are: bold begun before the fence and ended in it would let its lines out.
    code = words.apart(_defused(code), 3)
    return f"```{language}\n{code if code.strip('\n') else code + GAP}\n```"


def _defused(text: str) -> str:
    text = _COMMAND.sub(lambda found: _command(found[0]), text)
    return _SMALL.sub(f"-{GAP}", _MENTION.sub(lambda found: found[0] + GAP, text))


def _command(stretch: str) -> str:
    """From a `</` to where it would end: a mention only with an id, and then from any `</` in it."""
    return stretch.replace("</", f"<{GAP}/") if re.search(r":\d", stretch) else stretch


def _cut(window: str, limit: int, least: int) -> tuple[int, str]:
    """Where to cut, and the line that opened a fence which is still open there."""
    least = max(limit // 3, least)
    cut = _between(window, limit, least)
    opened, began = _open_fence(window[:cut])
    if not opened:
        inside = _inside_code(window, cut)
        return (inside if inside is not None and inside > least else cut), ""
    if began and not window[began + len(opened) : cut].strip():
        return began, ""  # before a fence that would hold nothing in this part
    return cut, opened


def _inside_code(window: str, cut: int) -> int | None:
    """Where the inline code begins that would be cut in two."""
    stretches = _INLINE.finditer(window, window.rfind("\n", 0, cut) + 1, cut)
    return next((found.start() for found in stretches if found["half"]), None)


def _between(window: str, limit: int, least: int) -> int:
    """After the last paragraph or line that fits, unless that leaves nearly nothing."""
    for separator in ("\n\n", "\n", " "):
        at = window.rfind(separator, 0, limit)
        if at > least:
            return at + len(separator)
    return limit


def _open_fence(text: str) -> tuple[str, int]:
    """The line that opened the fence that is still open at the end of `text`, and where it begins."""
    opened, began, at = "", 0, 0
    for line in text.split("\n"):
        if not opened and _OURS.match(line):
            opened, began = line, at
        elif opened and line == "```":
            opened = ""
        at += len(line) + 1
    return opened, began


def _next_line(text: str, at: int) -> int:
    """Behind the ends of lines that are there."""
    while text.startswith("\n", at):
        at += 1
    return at
