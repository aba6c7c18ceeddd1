"""Foreign text for Discord: cut into messages, unable to mention, to break a fence or to pass for ours.

Discord's markdown is none of the published ones: a fence is three back-ticks anywhere in a line, an unclosed
one is no fence, a lone back-tick reaches over lines, and a bold or linked stretch may swallow one. So nothing
here trusts how a text would be read: what is written has fences of one form only, each closed, no other
three back-ticks, and neither small print nor a mention, not even in a fence.
"""

import re

from bot.letters import visible

__all__ = [
    "LIMIT", "MOST_PARTS", "PART", "block", "fenced_code", "name", "one_line", "prose", "split", "visible",
]  # fmt: skip

LIMIT = 2_000
PART = 1_900
"""Characters of one part; the rest is for what we write under it."""
MOST_PARTS = 3

_GAP = "\u200b"
_LONGEST_LINE = 4_000
"""Characters of a line in which inline code is looked for: the search is quadratic."""
_LANGUAGE = re.compile(r"[A-Za-z0-9_+\-.#]{1,20}")
_PYTHON = frozenset({"python", "py", "python3", "py3", "ipython"})
_OPENING = re.compile(r"^(?P<before>.*?)(?<!`)(?P<ticks>`{3,}+)(?P<info>[^`]*)$")
_OURS = re.compile(r"^```[A-Za-z0-9_+\-.#]*$")
_MENTION = re.compile(r"@(?=everyone|here)|<(?=@[!&]?\d|#\d|/[^>\n]*:\d|a?:\w+:\d|id:)")
_MASKED = re.compile(r"\[([^\[\]\n]*)\]\(\s*<?(https?://[^\s<>()]+)>?[^()\n]*\)")
_SPAN = re.compile(
    r"(?P<address>https?://\S+|<[^: >\n]+:/[^ >\n]+>)|(?P<escape>\\[^0-9A-Za-z\s])"
    r"|(?<!`)(?P<ticks>`++)(?P<code>.*?[^`])(?P=ticks)(?!`)|`+"
)


def name(text: str, longest: int = 80) -> str:
    """A foreign name as inline code."""
    plain = _defused(re.sub(r"[\n\t`]", "'", visible(text))) or "?"
    return f"`{plain if len(plain) <= longest else plain[: longest - 1] + '…'}`"


def one_line(text: str, longest: int = 300) -> str:
    """A foreign sentence within a line of ours, without any markup of its own."""
    plain = " ".join(visible(text).replace("`", "'").split())[:longest]
    return _defused(re.sub(r"([\\*_~|\[\]<>])", r"\\\1", plain))


def block(text: str, language: str = "") -> str:
    """A fenced block that its content cannot leave."""
    return _fenced(visible(text), language)


def prose(text: str) -> str:
    """A model's words as Markdown; its small print, mentions and masked links are shown as plain text."""
    shown = []
    for is_code, content, language in _pieces(visible(text)):
        if not is_code:
            shown.append("\n".join(_plain(line) for line in content.split("\n")))
        elif content.strip("\n"):
            shown.append(_fenced(content, language))
    return "\n".join(shown)


def split(text: str, limit: int = PART) -> list[str]:
    """Cut at paragraphs if possible, else lines, else anywhere; an open fence is closed and reopened."""
    parts: list[str] = []
    rest = text.strip("\n")
    while len(rest) > limit:
        cut = _cut(rest, limit - 4)
        opened, at = _open_fence(rest[:cut])
        if opened and at and not rest[at + len(opened) : cut].strip():
            cut, opened = at, None  # before a fence that would hold nothing in this part
        head, rest = rest[:cut].rstrip("\n"), rest[cut:].lstrip("\n")
        if opened is not None:
            head += "\n```"
            rest = rest.removeprefix("```").lstrip("\n") if _closes(rest) else f"{opened}\n{rest}"
        if head.strip():
            parts.append(head)
    return [*parts, rest] if rest.strip() else parts


def fenced_code(text: str) -> str | None:
    """The Python of the fenced blocks of a message, joined; None when there is none."""
    # Every second piece is a block, but for the last, which nothing closes.
    blocks = re.split("`{3,}", text)[1:-1:2]
    return "\n".join(filter(None, map(_python, blocks))) or None


def _python(content: str) -> str:
    """The program in a block; nothing where its first line, the tag, names another language."""
    tag, line_end, program = content.partition("\n")
    if not line_end or (tag.strip() and not _LANGUAGE.fullmatch(tag.strip())):
        program = content.strip(" ")  # a program cannot begin with a space
    elif tag.strip() and tag.strip().lower() not in _PYTHON:
        program = ""
    return program.strip("\n") if program.strip() else ""


def _pieces(text: str) -> list[tuple[bool, str, str]]:
    """(is code, text, language), in order. A fence opens where the rest of a line says so, and closes with a
    line of its own, else wherever Discord would close it, else at the end: the answer may still be coming."""
    lines, pieces, words = text.split("\n"), list[tuple[bool, str, str]](), list[str]()
    while lines:
        line = lines.pop(0)
        opening = _OPENING.match(line)
        if opening is None or not _opens(opening, lines):
            words.append(line)
            continue
        if opening["before"].strip():
            words.append(opening["before"].rstrip())
        if words:
            pieces.append((False, "\n".join(words), ""))
            words = []
        code, after, lines = _until_closed(lines, opening["ticks"])
        info = opening["info"].strip()
        if info and not _LANGUAGE.fullmatch(info):
            code.insert(0, info)
            info = ""
        pieces.append((True, "\n".join(code), info))
        if after.strip():
            lines.insert(0, after)
    return [*pieces, (False, "\n".join(words), "")] if words else pieces


def _opens(opening: re.Match[str], later: list[str]) -> bool:
    """At the beginning of a line always; behind words only where it is closed later."""
    before = opening["before"]
    closed_there = len(re.findall("`{3,}", before)) % 2 == 0
    return not before.strip() or (closed_there and any(opening["ticks"] in each for each in later))


def _until_closed(lines: list[str], ticks: str) -> tuple[list[str], str, list[str]]:
    """The code, what follows its end in the same line, and the lines after it."""
    for number, line in enumerate(lines):
        if line.strip().startswith(ticks) and not line.strip("` \t"):
            return lines[:number], "", lines[number + 1 :]
    for number, line in enumerate(lines):
        before, found, after = line.partition(ticks)
        if found:
            code = [*lines[:number], before] if before else lines[:number]
            return code, after.lstrip("`"), lines[number + 1 :]
    return lines, "", []


def _fenced(code: str, language: str) -> str:
    # Defused as words are: bold begun before the fence and ended in it would let its lines out.
    code = _apart(_defused(code), 3)
    return f"```{language}\n{code if code.strip('\n') else code + _GAP}\n```"


def _plain(line: str) -> str:
    """A line outside fences: only whole spans of inline code keep their back-ticks."""
    line = _MASKED.sub(r"\1 (<\2>)", line).replace("](", f"]{_GAP}(")
    if len(line) > _LONGEST_LINE:
        return _defused(line.replace("`", "'"))
    return _defused(_SPAN.sub(_span, line))


def _span(found: re.Match[str]) -> str:
    code = found["code"]
    if code is None:
        return found[0].replace("`", "%60" if found["address"] else "'")
    # One that itself holds back-ticks gets two marks; three in a row are nowhere but in our fences.
    return f"`` {_apart(code.strip(), 2)} ``" if "`" in code else f"`{code}`"


def _apart(code: str, most: int) -> str:
    """No `most` back-ticks in a row."""
    return re.sub(f"`{{{most},}}", lambda found: _GAP.join(found[0]), code)


def _defused(text: str) -> str:
    return _MENTION.sub(lambda found: found[0] + _GAP, text).replace("-#", f"-{_GAP}#")


def _cut(text: str, limit: int) -> int:
    """Where to cut: after the last paragraph or line that fits, unless that leaves nearly nothing."""
    for separator in ("\n\n", "\n", " "):
        at = text.rfind(separator, 0, limit)
        if at > limit // 3:
            return at + len(separator)
    return limit


def _open_fence(text: str) -> tuple[str | None, int]:
    """The line that opened the fence that is still open at the end of `text`, and where it begins."""
    opened, began, at = None, 0, 0
    for line in text.split("\n"):
        if opened is None and _OURS.match(line):
            opened, began = line, at
        elif opened is not None and line == "```":
            opened = None
        at += len(line) + 1
    return opened, began


def _closes(rest: str) -> bool:
    return rest == "```" or rest.startswith("```\n")
