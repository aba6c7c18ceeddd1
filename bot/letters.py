"""Letters of a foreign text: none that reverses or hides, and no marks that pile up over other lines."""

import re
import unicodedata

MOST_MARKS = 5
"""Combining marks of one letter: enough for pointed Hebrew and for Burmese, too few to reach another line."""

_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co"})
_MARKS = frozenset({"Mn", "Me"})
# Letters and marks by category that nothing shows: fillers, and what Unicode reserves for more of the kind.
_BLANK = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u2065\u3164\uffa0\ufff0-\ufff8\U000e0080-\U000e00ff\U000e01f0-\U000e0fff]"
)
_KEYS = frozenset("0123456789#*")
_JOINERS = frozenset("\u200c\u200d")
_VARIANT = re.compile("[\u180b-\u180d\u180f\ufe00-\ufe0f\U000e0100-\U000e01ef]")
# Scripts whose letters take other forms, or other words, by a joiner between them.
_CURSIVE = re.compile(
    "[\u0600-\u074f\u0750-\u077f\u07c0-\u07ff\u0840-\u08ff\u0900-\u0dff\u0f00-\u109f\u1780-\u18af\u1a20-\u1aaf"
    "\u1b00-\u1bff\ua800-\ua8ff\ua980-\uaadf\ufb50-\ufdff\ufe70-\ufefc\U00010a00-\U00011fff\U0001e900-\U0001e95f]"
)
_PICTURE = re.compile("[\u2194\u2195\u2600-\u27bf\u2b00-\u2bff\U0001f000-\U0001faff]")
_REGIONS = ("gbeng", "gbsct", "gbwls")
_FLAG = re.compile(
    f"(\U0001f3f4(?:{'|'.join(''.join(chr(0xE0000 + ord(c)) for c in each) for each in _REGIONS)})\U000e007f)"
)
"""The flags of England, Scotland and Wales: the only ones that are spelled in characters nobody sees."""


def visible(text: str) -> str:
    """Without control characters and without those that reverse or hide text; every line ends alike."""
    plain = re.sub("\r\n|[\u2028\u2029]", "\n", text)
    if plain.isascii():
        return re.sub("[^\n\t -~]", "", plain)
    # Every second piece is a flag.
    return "".join(piece if at % 2 else _seen(piece) for at, piece in enumerate(_FLAG.split(plain)))


def _seen(text: str) -> str:
    shown = list[str]()
    before = joiner = ""
    marks = 0
    for at, letter in enumerate(text):
        if letter in _JOINERS:
            joiner = joiner or letter
            continue
        category = unicodedata.category(letter)
        if (category in _UNSEEN and letter not in "\n\t") or _BLANK.match(letter):
            continue
        if category in _MARKS:
            if marks == MOST_MARKS or (_VARIANT.match(letter) and (marks or not _varies(before, text, at))):
                continue
            marks += 1
        elif category != "Mc":
            marks = 0
        if joiner and (_joined(before, letter) or _ends_joined(before, joiner, letter)):
            shown.append(joiner)
        joiner = ""
        shown.append(letter)
        before = letter
    if _ends_joined(before, joiner, ""):
        shown.append(joiner)
    return "".join(shown)


def _varies(before: str, text: str, at: int) -> bool:
    """A selector is of a picture or of a letter that has variants; of a digit only as a key."""
    return before > "\x7f" or (
        before != "" and before in "0123456789#*" and text[at + 1 : at + 2] == "\u20e3"
    )


def _joined(before: str, after: str) -> bool:
    """Pictures, and letters of which at least one is of a script that knows joiners: no mention is."""
    if _PICTURE.match(after):
        return bool(_PICTURE.match(before) or before == "\ufe0f")
    kinds = {unicodedata.category(each)[0] for each in (before, after) if each}
    return before != "" and kinds <= set("LMN") and bool(_CURSIVE.match(before) or _CURSIVE.match(after))


def _ends_joined(before: str, joiner: str, after: str) -> bool:
    """A zero width joiner gives the last letter of a word its form: a Malayalam chillu, the Persian heh."""
    ends = not after or unicodedata.category(after)[0] in "PZC"
    return joiner == "\u200d" and ends and bool(_CURSIVE.match(before))
