"""Foreign text made safe to show: no escape sequence, no control character, no reversed reading order."""

import codecs
import re

_CONTROLS = r"\x00-\x08\x0b-\x1f\x7f-\x9f"
_REORDERING = "\u202a-\u202e\u2066-\u2069"
_LINE_BREAKS = "\u2028\u2029"
_SURROGATES = "\ud800-\udfff"

_UNSAFE_IN_A_CELL = re.compile(f"[{_CONTROLS}\\t\\n{_REORDERING}{_LINE_BREAKS}{_SURROGATES}]")
# A carriage return only rewrites the program's own line, and progress bars live of it.
_UNSAFE_IN_A_STREAM = re.compile(f"(?!\r)[{_CONTROLS}{_REORDERING}{_SURROGATES}]")


def one_line(text: str) -> str:
    r"""Show `text` in a table cell or a sentence: every unsafe character as its `\x1b` or `\u202e` escape."""
    return _UNSAFE_IN_A_CELL.sub(_escaped, text)


def many_lines(text: str) -> str:
    """As `one_line`, but line feeds, tabs and carriage returns stay."""
    return _UNSAFE_IN_A_STREAM.sub(_escaped, text)


class TerminalText:
    """Turns the bytes of one stream into harmless text; a character may be split over two pieces."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="backslashreplace")

    def feed(self, piece: bytes) -> str:
        """The printable text of `piece`, less a character that is still incomplete."""
        return many_lines(self._decoder.decode(piece))

    def rest(self) -> str:
        """What an incomplete last character leaves."""
        return many_lines(self._decoder.decode(b"", final=True))


def _escaped(match: re.Match[str]) -> str:
    code = ord(match.group())
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
