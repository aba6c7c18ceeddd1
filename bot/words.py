"""One line of a model's words, written anew: inline code, and links with their address.

What is code here is code for Discord as well, unless something before it reaches over its back-tick: an odd
`**` or `_`, a bracket, half an address. `certain` tells that nothing of the kind is there.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from operator import itemgetter

GAP = "\u200b"

type Line = Sequence[tuple[bool, str]]
"""Stretches: is it code, and its text; those of words as they will be shown."""

_TOKEN = re.compile(
    r"(?P<link>\]\(\s*+<?(?P<target>(?i:https?)://[^\s<>()]++)>?+[^()]*+\))"
    r"|(?P<address>://(?:(?!\]\()\S)++)|(?P<escape>\\[^0-9A-Za-z\s\]])"
    r"|(?P<ticks>`++)|(?P<opened>\[)|(?P<closed>\])|(?P<angle><)"
)
_ANGLE = re.compile("<[^ >]*+>?")
_LOGIN = re.compile(r"(?i:https?):(?=//[^\s/?#<>]*@)")
_LINKED = re.compile(r"\]\((?=\s*+<?(?:[A-Za-z][\w+.\-]*+:/|(?i:mailto|tel|sms):))")
_LONGEST_LINE = 600
"""Characters up to which no line is cut between two messages, and with it a bold word."""
_HARMLESS = re.compile(
    r"(?<!\*)\*\*[^*_~|\\\[\]<>`\n]+\*\*(?!\*)|<https?://[^\s<>*_~|\\]+>|^ *[*>] ", re.MULTILINE
)
_REACHING = re.compile(r"[*_\\\[\]<`]|~~")


def read(line: str) -> Line:
    """Its stretches, in time that grows with its length alone."""
    if _TOKEN.search(line) is None:
        return [(False, quiet(line))]
    return _Reader(line).read()


def written(line: Line, *, apart: bool) -> str:
    """For Discord; `apart` where what looks like a link in code may be one."""
    shown, after_code = list[str](), False
    for is_code, text in line:
        if is_code:
            # Two stretches of code must not make one run of their marks.
            shown.append(GAP * after_code + _code(unlinked(text) if apart else text))
        else:
            shown.append(text)
        after_code = is_code
    return "".join(shown)


def certain(lines: Sequence[Line]) -> bool:
    """Whether no markup of these words can reach into code, theirs or that of a fence after them."""
    if any(sum(len(text) for _, text in line) > _LONGEST_LINE for line in lines):
        return False
    outside = "\n".join("".join(map(_outside, line)) for line in lines)
    return _REACHING.search(_HARMLESS.sub("", outside)) is None


def _outside(stretch: tuple[bool, str]) -> str:
    is_code, text = stretch
    if is_code:
        return "`" if "*" in text else "x"  # in bold it is harmless where it does not end the bold
    return text


def unlinked(text: str) -> str:
    """Without masked links, `f[0](x)` being none."""
    return _LINKED.sub(f"]{GAP}(", text)


def quiet(text: str) -> str:
    """Words without spoilers, a quote of all that follows, and addresses that begin with another's name."""
    shown = _LOGIN.sub(lambda found: found[0] + GAP, text)
    return re.sub(r"\](?=\()|\|(?=\|)|>(?=>>)", lambda found: found[0] + GAP, shown)


class _Reader:
    def __init__(self, line: str) -> None:
        self._line = line
        self._bits = list[tuple[bool, str]]()
        self._brackets = list[int]()
        """Where the open ones are among the bits."""
        self._ends = _ends(line)
        self._at = self._looked = 0

    def read(self) -> Line:
        while (found := _TOKEN.search(self._line, self._at)) is not None:
            self._say(self._line[self._at : found.start()])
            self._at = found.end()
            match found.lastgroup:
                case "ticks":
                    self._ticks(found)
                case "link":
                    self._link(found)
                case "angle":
                    self._angle(found)
                case "opened":
                    self._brackets.append(len(self._bits))
                    self._say("[")
                case "closed":
                    del self._brackets[-1:]
                    self._say("]")
                case kind:
                    self._say(found[0].replace("`", "%60" if kind == "address" else "'"))
        self._say(self._line[self._at :])
        return list(_merged(self._bits))

    def _say(self, text: str) -> None:
        self._bits.append((False, text))

    def _ticks(self, found: re.Match[str]) -> None:
        end = self._ends.get(found.start())
        if end is None:
            self._say("'" * len(found[0]))
        else:
            self._bits.append((True, self._line[self._at : end]))
            self._at = end + len(found[0])

    def _link(self, found: re.Match[str]) -> None:
        """Its words stay, its address is shown; without an opening bracket it is none."""
        if self._brackets:
            self._bits[self._brackets.pop()] = (False, "")
            self._say(f" (<{found['target']}>)".replace("`", "%60"))
        else:
            self._at = found.start() + len("](")
            self._say("](")

    def _angle(self, found: re.Match[str]) -> None:
        """Up to a space or its end it may be an address, in which a back-tick begins nothing."""
        self._at = found.start() + 1
        stretch = _ANGLE.match(self._line, found.start()) if found.start() >= self._looked else None
        if stretch is not None:
            self._looked = stretch.end()
            if stretch[0].endswith(">") and ":/" in stretch[0]:
                self._at = stretch.end()
                self._say(stretch[0].replace("`", "%60"))
                return
        self._say("<")


def _ends(line: str) -> dict[int, int]:
    """By the place of each run of back-ticks, the place of the next one that is as long."""
    ends, later = dict[int, int](), dict[int, int]()
    for found in reversed(list(re.finditer("`+", line))):
        if (end := later.get(len(found[0]))) is not None:
            ends[found.start()] = end
        later[len(found[0])] = found.start()
    return ends


def _merged(bits: Iterable[tuple[bool, str]]) -> Iterator[tuple[bool, str]]:
    for is_code, group in groupby(filter(itemgetter(1), bits), itemgetter(0)):
        if is_code:
            yield from group
        else:
            yield False, quiet("".join(text for _, text in group))


def _code(code: str) -> str:
    # One that itself holds back-ticks gets two marks; three in a row are nowhere but in our fences.
    return f"`` {apart(code.strip(), 2)} ``" if "`" in code else f"`{code}`"


def apart(code: str, most: int) -> str:
    """No `most` back-ticks in a row."""
    return re.sub(f"`{{{most},}}", lambda found: GAP.join(found[0]), code)
