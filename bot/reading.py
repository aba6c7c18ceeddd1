"""A stored file as text: what its bytes mean, its head and its tail, however long it is."""

import codecs
import re
import unicodedata
from dataclasses import dataclass

from bot.runs import KEPT, abridged

_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    # Before UTF-16, whose mark it begins with.
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_STEP = 1 << 20
"""Bytes decoded at once: the whole of a long file as text would be four times its size."""
_LAYOUT = frozenset("\t\n\v\f\r\b\x1a\x1b")
_NO_LETTERS = frozenset({"Cc", "Cn", "Co", "Cs"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """Head and tail of a text, or all of it, with its true length."""

    text: str
    characters: int
    encoding: str


def read_text(data: bytes) -> Reading | None:
    """`data` as text, None where it is none. To be called in a thread: it may take a while.

    A mark at the beginning decides. Without one a NUL byte means no text; then UTF-8 is tried, and then
    cp1252, which takes nearly everything and is therefore only believed where no control character is.
    """
    for mark, encoding in _BOMS:
        if data.startswith(mark):
            return _decoded(data, encoding)
    if b"\0" in data:
        return None
    return _decoded(data, "utf-8") or _decoded(data, "cp1252")


def _decoded(data: bytes, encoding: str) -> Reading | None:
    decoder = codecs.getincrementaldecoder(encoding)()
    head, tail, characters = "", "", 0
    try:
        for at in range(0, len(data), _STEP):
            piece = decoder.decode(data[at : at + _STEP], at + _STEP >= len(data))
            head += piece[: KEPT - len(head)]
            tail = (tail + piece)[-KEPT:]
            characters += len(piece)
    except UnicodeDecodeError:
        return None
    if _odd(head) > (0 if encoding == "cp1252" else len(head) // 10):
        return None
    text = head if characters <= KEPT else abridged(head, tail, characters)
    return Reading(text=text, characters=characters, encoding=encoding)


def _odd(text: str) -> int:
    """Characters that no text has many of."""
    return sum(
        each in "\ufeff\ufffd" or (unicodedata.category(each) in _NO_LETTERS and each not in _LAYOUT)
        for each in re.sub(r"[ -~]", "", text)
    )
