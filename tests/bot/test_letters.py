"""What stays of a foreign text: words and pictures as they were written, and nothing that hides in them."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.letters import MOST_MARKS
from bot.markdown import prose, visible

FLAG = "\U0001f3f4"
END = "\U000e007f"


def tags(letters: str) -> str:
    """The characters of a flag that nobody sees."""
    return "".join(chr(0xE0000 + ord(each)) for each in letters)


@pytest.mark.parametrize(
    "text",
    [
        "می\u200cروم",
        "അവന\u0d4d\u200d വന്നു. അവള\u0d4d\u200d, അവര\u0d4d\u200d",
        "۱۴۰۰ \u0647\u200d.ق",
        "یک PDF\u200cی",
        "क\u094d\u200dष",
        "র\u200d\u09cdযাব",
        "\u0dc1\u0dca\u200d\u0dbb\u0dd3",
        "👨\u200d👩\u200d👧\u200d👦",
        "👩🏽\u200d💻",
        "❤\ufe0f\u200d🔥",
        "🏳\ufe0f\u200d🌈 🏴\u200d☠\ufe0f 1\ufe0f\u20e3 ☀\ufe0e",
        f"{FLAG}{tags('gbeng')}{END} {FLAG}{tags('gbsct')}{END} {FLAG}{tags('gbwls')}{END}",
        "葛\U000e0100城",
        "e\u0301 Vie\u0323\u0302t \u05e9\u05bc\u05c1\u05b8\u05dc\u05d5\u05b9\u05dd",
        "\u1000\u103c\u103d\u103e\u102d\u102f\u1037",
    ],
)
def test_honest_words_and_pictures_are_whole(text: str) -> None:
    """Persian, Hindi, Bengali, Sinhala, Burmese; families, flags, keys, variants, accents."""
    assert visible(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("e\u200dv\u200cil", "evil"),
        ("@\u200deveryone", "@everyone"),
        ("@\ufe0feveryone", "@everyone"),
        ("<@1\ufe0f2>", "<@12>"),
        ("می\u200c\u200d\u200cروم", "می\u200cروم"),
        ("می\u200c", "می"),
        ("\u200d👧 👨\u200d \u200d", "👧 👨 "),
        ("x\u200d👧", "x👧"),
        (f"{FLAG}{tags('hidden')}{END}", FLAG),
        (f"a{tags('hidden words')}b{END}", "ab"),
        ("🙂" + "\ufe01\U000e0101" * 9, "🙂\ufe01"),
        ("\u3164\u115fx\u034f\uffa0\U000e0fff", "x"),
    ],
)
def test_what_joins_nothing_is_gone(text: str, shown: str) -> None:
    """Joiners between other letters, at ends and in heaps; tags without a flag; letters that show nothing."""
    assert visible(text) == shown


@pytest.mark.parametrize("marks", ["\u0301", "\u0489", "\u0301\u200d", "\u0301\u0316\u20dd", "\u0301\u200b"])
def test_marks_do_not_pile_up(marks: str) -> None:
    """A letter keeps a few: so many never reach the lines above and below."""
    shown = visible(f"a{marks * 60}b")
    assert sum(unicodedata.category(each) in {"Mn", "Me"} for each in shown) == MOST_MARKS
    assert (shown[0], shown[-1]) == ("a", "b")


PIECES = ["@", "everyone", "e", "<@1", ">", "-", "#", "م", "\u094d", "\u0301", "🙂", FLAG, tags("gbeng"), END]
hidden = st.sampled_from(["\u200c", "\u200d", "\ufe0f", "\u200b", "\u3164", "\u202e", "\U000e0100"])
heaps = st.lists(st.sampled_from(PIECES) | hidden | st.characters(), max_size=40).map("".join)


@given(heaps)
def test_what_was_cleaned_stays_as_it_is(text: str) -> None:
    """A second look finds nothing more."""
    assert visible(visible(text)) == visible(text)


@given(heaps)
def test_no_joiner_stands_in_a_mention(text: str) -> None:
    """Nothing invisible is between two characters of ASCII, but what we put there ourselves."""
    shown = visible(text)
    for before, each, after in zip(shown, shown[1:], shown[2:], strict=False):
        if each in "\u200c\u200d\ufe0f\U000e0100":
            assert not (before + after).isascii() or each + after == "\ufe0f\u20e3"
    assert "@everyone" not in prose(text)


@given(
    st.text(alphabet="\u200c\u200d", min_size=1), st.sampled_from(["@everyone", "@here", "<@12>", "-# ok"])
)
def test_a_mention_is_found_behind_any_joiners(joiners: str, mention: str) -> None:
    """Between all its letters, they go before the search."""
    assert visible(joiners.join(mention)) == mention
