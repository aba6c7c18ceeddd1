"""Foreign text that is made to be slow, forged or misread: it is read at once, and as what it is."""

import sys
import time
from collections.abc import Callable
from types import FrameType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot import markdown, render
from tests.bot.test_markdown import LINK, read
from tests.bot.test_render import ran

LONG = 128 * 1024
AT_ONCE = 3.0
"""Seconds of processor time, many times what any of these needs; a quadratic search needs many times more."""

READERS: list[Callable[[str], object]] = [
    markdown.visible,
    markdown.name,
    markdown.one_line,
    markdown.block,
    lambda text: markdown.split(markdown.prose(text)),
    markdown.split,
    markdown.fenced_code,
]
PIECES = [
    *("</", "<", "<a:/", "<a:", "<@", ">", "[", "]", "](", "](https://", "[](https://", "://", "https://a@"),
    *("`", "``", "```", "````", "a ```\n", "```py\n", "\n```", "``` x\n", "`` ` ``", "\\", "*", "**", "|"),
    *("\n", " ", "\t", "a", "0", "-#", ":", "/", "@", "t:1", ")", "~~", "\r", ">>>"),
    *("\u200d", "\u0301", "م", "🏴\U000e0067"),
]


def long(unit: str) -> str:
    """As much of it as one output may have, twice."""
    return (unit * (LONG // len(unit) + 1))[:LONG]


def assert_read_at_once(text: str) -> None:
    """By every reader there is."""
    for reader in READERS:
        began = time.process_time()
        reader(text)
        assert time.process_time() - began < AT_ONCE, f"{reader} of {text[:40]!r}"


@pytest.mark.parametrize(
    "text",
    [
        long("</"),
        long("[](https://" + "a" * LONG),
        long("](https://a"),
        long("a ```\n"),
        long("```a\nb``` x\n"),
        long("<" * 3_999 + "\n"),
        long("` `` "),
        long("```py" + "\n" * LONG),
        "".join(f"{'`' * count}a\n" for count in range(3, 500)),
        "".join(f"x{'`' * count}a\n" for count in range(500, 3, -1)),
        long("\n"),
        long("م\u200c"),
    ],
    ids=lambda text: ascii(text[:12]),
)
def test_the_worst_known_text_is_read_at_once(text: str) -> None:
    """Each of these took from seconds to a minute, or would in a reader written carelessly."""
    assert_read_at_once(text)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.sampled_from(PIECES), max_size=3).map("".join),
    st.lists(st.sampled_from(PIECES), min_size=1, max_size=4).map("".join),
    st.lists(st.sampled_from(PIECES), max_size=3).map("".join),
)
def test_any_heap_is_read_at_once(first: str, repeated: str, last: str) -> None:
    """Whatever is repeated, whatever stands before and after it."""
    assert_read_at_once(first + long(repeated) + last)


@pytest.mark.parametrize("unit", ["</", "a ```\n", "```a\nb``` x\n", "[](https://a", "<a:/", "e\u0301"])
def test_twice_the_text_takes_about_twice_the_time(unit: str) -> None:
    """Four times as much takes far less than the sixteen times of a quadratic search."""

    def taken(text: str) -> float:
        def once() -> float:
            began = time.process_time()
            for reader in READERS:
                reader(text)
            return time.process_time() - began

        return min(once() for _ in range(3))

    text = long(unit)
    assert taken(text) < 9 * taken(text[: LONG // 4]) + 0.05


def test_long_output_is_a_file_before_it_is_fenced() -> None:
    """What does not fit by its length or its lines is not read for Discord at all."""
    called: list[str] = []

    def calling(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_globals.get("__name__") == markdown.__name__:
            called.append(frame.f_code.co_name)

    for output, error in (("</" * 32_768, "</" * 32_768), ("x\n" * 400, ""), ("x" * 990, "x" * 20)):
        run = ran(output=output, error=error)
        sys.setprofile(calling)
        try:
            shown, data = render.output_of(run)
        finally:
            sys.setprofile(None)
        assert shown is None
        assert data is not None
        assert len(data) >= len(output) + len(error) - 1
    assert called == []


@pytest.mark.parametrize(
    "code",
    [
        "f[0](x)",
        "d['a'](b)[1](c)",
        "[t](https://x.org)",
        "a || b",
        "1 >>> 3",
        "x[0](lambda: 1)",
        "https://a@b",
    ],
)
def test_code_in_words_can_be_copied(code: str) -> None:
    """Nothing is put into it that does not run."""
    text = f"**Note**: call `{code}` first.\n* or `x`\n```py\n{code}\n```\nsee [a](https://b.org)"
    assert f"call `{code}` first" in markdown.prose(text)
    assert f"\n{code}\n" in markdown.prose(text)


def test_a_call_of_an_element_is_whole_whatever_surrounds_it() -> None:
    """It is no link, so nothing needs to be known of the words before it."""
    assert "`f[0](x)`" in markdown.prose("a ** b _ c [ `f[0](x)` ]( <")


@pytest.mark.parametrize(
    "text",
    [
        "**a `b** c` [l](https://e.org)`",
        "[a `b](https://e.org)`",
        "[a\n```\n](https://e.org)\n```",
        "**a\n```\nx** [l](https://e.org)\n```",
        "***a***b*\n```\nx* [l](https://e.org)\n```",
        "__a `b__ [l](https://e.org)`",
        "\\`a `[l](https://e.org)`",
        "<a:/`b> `[l](https://e.org)`",
        "<a<b:/`c> `[l](https://e.org)` `",
        "steam://x`a [l](https://e.org)`",
        "https://x](`a [l](https://e.org)`",
        "**a `x**y` b** `[l](https://e.org)`",
        "[l\\](https://e.org)",
        "[https://good.org](https://e.org)",
        "[text](<https://e.org>)",
        "[text](https://e.org 'title')",
        "[[a](https://e.org)](https://f.org)",
        "`a`[``b``](https://e.org)",
    ],
)
def test_no_link_hides_its_address(text: str) -> None:
    """Neither in words nor in what only looks like code there."""
    assert LINK not in read(markdown.prose(text))
    assert "https://e.org" in markdown.prose(text).replace("\u200b", "")


def test_no_name_or_sentence_ends_a_link_that_words_began() -> None:
    """What we write under an answer is in the same message."""
    for ours in (markdown.name("x](https://e.org)"), markdown.one_line("x](https://e.org)")):
        assert LINK not in read(f"{markdown.prose('[click here')}\n-# {ours}")


def test_the_words_of_a_link_keep_their_code() -> None:
    """Its address stands behind them."""
    assert markdown.prose("see [`x` of [y]](https://a.org/`)") == "see `x` of [y] (<https://a.org/%60>)"


@pytest.mark.parametrize(
    "text",
    [
        "<t:0:R>",
        "<t:-1>",
        "<sound:1:2>",
        "||hidden||",
        "|||x|||",
        ">>> ours",
        "a >>>> b",
        "https://good.org@evil.org",
        "HTTPS://good.org:80\\@evil.org/",
        "<https://a:b@c>",
        "</run me:1>",
        "</a</b:1>",
        "<@&7>",
    ],
)
def test_markup_that_is_ours_or_hides_is_shown_as_text(text: str) -> None:
    """Moments, sounds, spoilers, endless quotes, names before a host, commands, roles."""
    shown = markdown.prose(text)
    assert text not in shown
    assert not any(mark in shown for mark in ("||", ">>>", "://", "</a", "</b"))
    assert shown.replace("\u200b", "") == text
    assert text not in markdown.one_line(text)


def test_inline_code_is_not_parted_by_a_cut() -> None:
    """Half of it would turn all code after it inside out."""
    for before in range(1_850, 1_900):
        parts = markdown.split(markdown.prose("w" * before + " `a b c d e f` and `` g ` h `` " + "x y " * 99))
        assert all(part.count("`") in {0, 2, 5, 7} for part in parts), parts


@pytest.mark.parametrize("limit", [60, 90, 200])
def test_a_cut_always_comes_forward(limit: int) -> None:
    """A fence with a long name is reopened as often as it must be, not for ever."""
    for text in ("```" + "a" * 20 + "\n" + "x" * 500, "```" + "a" * 100 + "\n" + "x" * 500):
        parts = markdown.split(text, limit)
        assert all(len(part) <= limit for part in parts)
        assert sum(part.count("x") for part in parts) == 500
