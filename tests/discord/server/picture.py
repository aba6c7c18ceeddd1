"""What was really said in a channel, drawn as people see it: an SVG in the manner of Discord's dark theme."""

import base64
import re
import struct
from collections.abc import Iterator, Sequence
from html import escape

from .world import Attachment, Channel, Message

WIDTH, MARGIN, LEFT = 820, 16, 72
TEXT, SMALL, CODE = 15, 12, 13
_INLINE = re.compile(r"\*\*(?P<bold>.+?)\*\*|`(?P<code>[^`]+)`|<@(?P<who>\d+)>|<t:\d+:R>")
_COLOURS = {"Say": "#248046", "danger": "#da373c", "primary": "#5865f2", "secondary": "#4e5058"}
_STYLES = {1: "primary", 2: "secondary", 3: "Say", 4: "danger"}
_AVATARS = ("#5865f2", "#3ba55c", "#faa61a", "#eb459e")
_SANS = "'gg sans','Noto Sans','Helvetica Neue',Helvetica,Arial,sans-serif"
_MONO = "Consolas,'DejaVu Sans Mono',Menlo,monospace"


def picture(channel: Channel) -> str:
    """The visible messages from top to bottom."""
    sheet = _Sheet(channel)
    for message in channel.messages:
        sheet.message(message)
    return sheet.svg()


class _Sheet:
    """Draws downwards; `y` is where the next thing begins."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._parts: list[str] = []
        self._y = MARGIN
        self._last: object = None

    def svg(self) -> str:
        height = self._y + MARGIN
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
            f'viewBox="0 0 {WIDTH} {height}" font-family="{_SANS}" font-size="{TEXT}">'
            f'<rect width="100%" height="100%" rx="8" fill="#313338"/>'
        )
        return "\n".join([head, *self._parts, "</svg>", ""])

    def message(self, message: Message) -> None:
        replied = next((each for each in self._channel.log if each.id == message.reference), None)
        if replied is not None:
            self._reply(replied)
        if message.author is not self._last or replied is not None:
            self._author(message)
        self._last = message.author
        self._content(message.content)
        for attachment in message.attachments:
            self._attachment(attachment)
        self._buttons(message)
        self._y += 14

    def _reply(self, replied: Message) -> None:
        words = _plain(replied.content, self._channel).replace("\n", " ")
        shown = f"@{replied.author.name} {words[:86]}{'…' if len(words) > 86 else ''}"
        self._parts.append(
            f'<path d="M36 {self._y + 16} v-4 q0 -6 6 -6 h24" fill="none" stroke="#4e5058" stroke-width="2"/>'
        )
        self._line(shown, size=SMALL + 1, fill="#b5bac1", step=20)

    def _author(self, message: Message) -> None:
        name, bot = message.author.name, message.author.bot
        colour = _AVATARS[0] if bot else _AVATARS[1 + len(name) % 3]
        self._parts.append(
            f'<circle cx="36" cy="{self._y + 18}" r="20" fill="{colour}"/>'
            f'<text x="36" y="{self._y + 24}" text-anchor="middle" fill="#fff" font-weight="600">'
            f"{'⏳' if bot else escape(name[0].upper())}</text>"
        )
        badge = '<tspan dx="6" font-size="10" font-weight="600" fill="#c9cdfb">APP</tspan>' if bot else ""
        self._parts.append(
            f'<text x="{LEFT}" y="{self._y + 14}" font-weight="600" fill="#f2f3f5">'
            f"{escape(name)}{badge}</text>"
        )
        self._y += 22

    def _content(self, text: str) -> None:
        words: list[str] = []
        code: list[str] | None = None
        for line in text.split("\n"):
            if line.startswith("```"):
                if code is None:
                    self._words(words)
                    words, code = [], []
                else:
                    self._code(code)
                    code = None
            elif code is not None:
                code.append(line)
            else:
                words.append(line)
        self._words(words)

    def _words(self, lines: Sequence[str]) -> None:
        for line in lines:
            small = line.startswith("-# ")
            body = line.removeprefix("-# ")
            if body.startswith("- "):
                body = "• " + body[2:]
            size, fill = (SMALL, "#949ba4") if small else (TEXT, "#dbdee1")
            for part in _wrapped(body, (WIDTH - LEFT - MARGIN) / (size * 0.56)):
                self._line(part, size=size, fill=fill, step=18 if small else 22)

    def _line(self, text: str, *, size: int, fill: str, step: int) -> None:
        self._parts.append(
            f'<text x="{LEFT}" y="{self._y + step - 8}" font-size="{size}" fill="{fill}">'
            f"{''.join(_spans(text, self._channel))}</text>"
        )
        self._y += step

    def _code(self, lines: Sequence[str]) -> None:
        height = 18 * len(lines) + 14
        self._parts.append(
            f'<rect x="{LEFT}" y="{self._y}" width="{WIDTH - LEFT - 3 * MARGIN}" height="{height}" rx="4" '
            'fill="#2b2d31" stroke="#1e1f22"/>'
        )
        for number, line in enumerate(lines):
            self._parts.append(
                f'<text x="{LEFT + 10}" y="{self._y + 20 + 18 * number}" font-family="{_MONO}" '
                f'font-size="{CODE}" fill="#dbdee1" xml:space="preserve">{escape(line)}</text>'
            )
        self._y += height + 6

    def _attachment(self, attachment: Attachment) -> None:
        if attachment.content_type == "image/png":
            width, height = struct.unpack(">II", attachment.data[16:24])
            scale = min(1.0, 460 / width)
            shown = (round(width * scale), round(height * scale))
            data = base64.b64encode(attachment.data).decode()
            self._parts.append(
                f'<image x="{LEFT}" y="{self._y}" width="{shown[0]}" height="{shown[1]}" '
                f'href="data:image/png;base64,{data}"/>'
            )
            self._y += shown[1] + 8
            return
        self._parts.append(
            f'<rect x="{LEFT}" y="{self._y}" width="420" height="48" rx="8" fill="#2b2d31" stroke="#1e1f22"/>'
            f'<text x="{LEFT + 14}" y="{self._y + 31}" font-size="20">📄</text>'
            f'<text x="{LEFT + 50}" y="{self._y + 21}" fill="#00a8fc">{escape(attachment.filename)}</text>'
            f'<text x="{LEFT + 50}" y="{self._y + 38}" font-size="{SMALL}" fill="#949ba4">'
            f"{attachment.size:,} bytes</text>"
        )
        self._y += 56

    def _buttons(self, message: Message) -> None:
        x = LEFT
        for widget in message.widgets():
            label = str(widget.get("label") or "")
            width = 26 + 8 * len(label)
            fill = _COLOURS[_STYLES.get(int(widget.get("style", 2)), "secondary")]
            self._parts.append(
                f'<rect x="{x}" y="{self._y + 2}" width="{width}" height="30" rx="6" fill="{fill}"/>'
                f'<text x="{x + width // 2}" y="{self._y + 22}" font-size="14" text-anchor="middle" '
                f'fill="#fff">{escape(label)}</text>'
            )
            x += width + 8
        if x > LEFT:
            self._y += 38


def _wrapped(text: str, room: float) -> Iterator[str]:
    """Cut at spaces, by the number of characters that are shown."""
    line = ""
    for word in text.split(" "):
        longer = f"{line} {word}" if line else word
        if line and len(re.sub(r"[*`]|<t:\d+:R>", "", longer)) > room:
            yield line
            line = word
        else:
            line = longer
    yield line


def _spans(text: str, channel: Channel) -> Iterator[str]:
    at = 0
    for found in _INLINE.finditer(text):
        yield escape(text[at : found.start()])
        at = found.end()
        if found["bold"]:
            yield f'<tspan font-weight="700">{escape(found["bold"])}</tspan>'
        elif found["code"]:
            code = escape(found["code"])
            yield f'<tspan font-family="{_MONO}" font-size="90%" fill="#e3e5e8">{code}</tspan>'
        elif found["who"]:
            yield f'<tspan fill="#c9cdfb">{escape(_who(found["who"], channel))}</tspan>'
        else:
            yield '<tspan font-style="italic">in 2 days</tspan>'
    yield escape(text[at:])


def _plain(text: str, channel: Channel) -> str:
    return re.sub(r"<@(\d+)>", lambda found: _who(found[1], channel), text)


def _who(number: str, channel: Channel) -> str:
    return f"@{channel.world.users[int(number)].name}"
