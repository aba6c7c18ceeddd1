"""What is shown in Discord: whole, in parts that fit, and unable to mention, to hide or to break out."""

import re
import unicodedata
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bot import markdown, render
from bot.runs import Run
from orchestrator import ExecutionResult, Outcome, SkippedFile, StoredFile, Timings

CODE = "```python\n" + "\n".join(f"x{n} = {n}" for n in range(600)) + "\n```"


def stored(filename: str = "plot.png", **changed: object) -> StoredFile:
    """A file as a result lists it."""
    fields: dict[str, object] = {
        "file_id": "1_0a1b2c3d",
        "filename": filename,
        "path": filename,
        "type": "image",
        "media_type": "image/png",
        "size": 2_500,
        "sha256": "0" * 64,
        "created_at": datetime(2026, 1, 1, tzinfo=UTC),
        "expires_at": datetime(2026, 1, 3, tzinfo=UTC),
    }
    return StoredFile.model_validate(fields | changed)


def ran(**changed: object) -> Run:
    """A run that ended as told."""
    fields: dict[str, Any] = {
        "execution_id": "e",
        "owner": "1",
        "success": True,
        "outcome": Outcome.OK,
        "exit_code": 0,
        "hint": None,
        "output": "",
        "error": "",
        "output_bytes": 0,
        "error_bytes": 0,
        "truncated": False,
        "execution_time": 0.25,
        "timings": Timings.model_construct(),
        "warm": True,
        "generated_files": (),
        "generated_file_ids": (),
        "skipped_files": (),
        "installed_packages": (),
        "failed_packages": (),
        "image": "i",
        "runtime": "runc",
    }
    return Run(
        execution_id="e", owner="1", code="1", result=ExecutionResult.model_construct(**(fields | changed))
    )


def letters(text: str) -> str:
    """All that is not space."""
    return "".join(text.split())


@given(st.text(alphabet=st.characters(exclude_characters="`~"), max_size=9_000))
@example("a" * 5_000)
@example("word " * 1_500)
@example("\n\n".join("p" * 700 for _ in range(9)))
def test_text_without_fences_comes_back_complete(text: str) -> None:
    """Not one letter is lost or doubled by cutting, whatever the text."""
    assert letters("".join(markdown.split(text))) == letters(text)


@given(st.text(max_size=400), st.integers(min_value=60, max_value=300))
def test_parts_fit_any_limit(text: str, limit: int) -> None:
    """A part is never longer than it was asked to be, and never empty."""
    for part in markdown.split(text * 5, limit):
        assert 0 < len(part) <= limit
        assert part.strip()


@given(st.lists(st.text(alphabet="ab c\n", max_size=300), min_size=1, max_size=20))
def test_code_that_is_cut_stays_code_in_every_part(chunks: list[str]) -> None:
    """Between the fences of all parts lies every letter of the program."""
    code = "x" + "".join(chunks)
    parts = markdown.split(f"```python\n{code}\n```", 200)
    inside = ""
    for part in parts:
        lines = part.split("\n")
        assert lines[0] == "```python"
        assert lines[-1] == "```"
        inside += "\n".join(lines[1:-1])
    assert letters(inside) == letters(code)


def test_a_long_program_is_reopened_with_its_language() -> None:
    """Every part but the first begins with the fence that the last one closed."""
    parts = markdown.split(CODE)
    assert len(parts) > 1
    assert all(part.startswith("```python\n") and part.endswith("\n```") for part in parts)
    assert all(part.count("```") == 2 for part in parts)


def test_words_after_a_closed_fence_are_not_fenced() -> None:
    """A fence that was closed before the cut is not opened again."""
    parts = markdown.split("```\ncode\n```\n" + "word " * 700)
    assert len(parts) > 1
    assert all("```" not in part for part in parts[1:])


def test_a_cut_prefers_a_paragraph() -> None:
    """Two paragraphs that do not fit together are two parts, each whole."""
    first, second = "a " * 600 + "a", "b " * 600 + "b"
    assert markdown.split(f"{first}\n\n{second}") == [first, second]


def test_a_cut_prefers_a_line_to_a_word() -> None:
    """A line that fits is not cut in its middle."""
    lines = ["some words here " * 6 + str(n) for n in range(40)]
    shown = [line for part in markdown.split("\n".join(lines)) for line in part.split("\n")]
    assert shown == lines


@pytest.mark.parametrize("text", ["", "\n", "\n\n\n"])
def test_nothing_is_no_part(text: str) -> None:
    """An empty answer makes no empty message."""
    assert markdown.split(text) == []


def test_what_fits_is_left_alone() -> None:
    """At the limit nothing is cut; one character more is."""
    assert markdown.split("a" * markdown.PART) == ["a" * markdown.PART]
    assert len(markdown.split("a" * (markdown.PART + 1))) == 2


@given(st.text())
def test_what_is_visible_hides_nothing(text: str) -> None:
    """No control, no override of direction, no zero width, no half of a surrogate pair."""
    for character in markdown.visible(text):
        kept = character in "\n\t\u200c\u200d" or 0xE0061 <= ord(character) <= 0xE007F  # joiners, flags
        assert kept or unicodedata.category(character) not in {"Cc", "Cf", "Cs", "Co"}


@given(st.text())
def test_what_is_visible_already_does_not_change(text: str) -> None:
    """Cleaning twice is cleaning once."""
    once = markdown.visible(text)
    assert markdown.visible(once) == once


@pytest.mark.parametrize(
    "hidden", ["\u202e", "\u2066", "\u200b", "\u200f", "\ufeff", "\x00", "\x1b", "\x07", "\r", "\ue000"]
)
def test_each_trick_is_taken_out(hidden: str) -> None:
    """Overrides, isolates, zero widths, escapes, bells: gone, and the letters stay."""
    assert markdown.visible(f"ev{hidden}il") == "evil"
    assert markdown.name(f"ev{hidden}il") == "`evil`"
    assert markdown.block(f"ev{hidden}il") == "```\nevil\n```"


@pytest.mark.parametrize("letter", ["ü", "字", "🎉", "ß", "Ω", "\t", "\n"])
def test_honest_letters_stay(letter: str) -> None:
    """Other scripts, pictures and layout are not tricks."""
    assert letter in markdown.visible(f"a{letter}b")


MENTIONS = ["@everyone", "@here", "<@1234>", "<@!1234>", "<@&77>", "<#55>", "</run:1>", "<:a:1>", "<id:home>"]


@pytest.mark.parametrize("mention", MENTIONS)
def test_a_mention_is_defused(mention: str) -> None:
    """It reads the same, and Discord finds nothing in it."""
    shown = markdown.prose(f"hello {mention} there")
    assert mention not in shown
    assert shown.replace("\u200b", "") == f"hello {mention} there"


@pytest.mark.parametrize("mention", MENTIONS)
def test_a_mention_cannot_be_hidden_in_zero_widths(mention: str) -> None:
    """Characters that would vanish later vanish before the search."""
    assert mention not in markdown.prose("\u200d".join(mention))


@given(
    st.lists(st.sampled_from(["@", "everyone", "here", "<", "@", "!", "1", ">", "\n", "\u200b", "-#", " "]))
)
def test_no_heap_of_pieces_makes_a_mention(pieces: list[str]) -> None:
    """Nothing that can be put together survives as a mention or as our small print."""
    shown = markdown.prose("".join(pieces))
    assert not re.search(r"@everyone|@here|<@!?\d+>", shown)
    assert not re.search(r"^\s*-#", shown, re.MULTILINE)


@pytest.mark.parametrize("line", ["-# ✅ ok · 0.01 s · warm", "  -# ✅ ok", "\t-# ✅ ok"])
def test_small_print_is_not_a_models_to_write(line: str) -> None:
    """A model cannot pass its words for the result of a run."""
    assert not markdown.prose(line).lstrip().startswith("-#")


def test_code_in_a_fence_is_shown_as_it_is() -> None:
    """Decorators, comments, templates and operators of a program are left as they are."""
    code = "```python\n@cache\n# no - # x\na = b -1 # <div> </div>\n```"
    assert markdown.prose(code) == code


def test_after_a_fence_mentions_are_defused_again() -> None:
    """A closed fence protects nothing after it."""
    assert "@everyone" not in markdown.prose("```\ncode\n```\n@everyone")


@given(st.text(), st.integers(min_value=2, max_value=90))
def test_a_name_fits_what_it_was_given(text: str, longest: int) -> None:
    """Never empty, never longer than told, always one line."""
    shown = markdown.name(text, longest)
    assert 3 <= len(shown) <= longest + 2
    assert "\n" not in shown


def test_a_long_name_says_that_it_goes_on() -> None:
    """Cut with an ellipsis."""
    assert markdown.name("a" * 100, 10) == f"`{'a' * 9}…`"


@given(st.text())
def test_a_block_keeps_every_visible_character(text: str) -> None:
    """Only zero widths are put between back-ticks."""
    shown = markdown.block(text, "py")
    assert shown.startswith("```py\n")
    assert shown.removeprefix("```py\n").removesuffix("\n```").replace("\u200b", "") == markdown.visible(text)


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1_000, "1.0 KB"),
        (2_500, "2.5 KB"),
        (1_000_000, "1.0 MB"),
        (12_345_678, "12.3 MB"),
    ],
)
def test_a_size_is_for_people(count: int, shown: str) -> None:
    """Bytes, then thousands, then millions."""
    assert render.size(count) == shown


def test_a_timestamp_is_discords_own() -> None:
    """Seconds since 1970, relative."""
    assert render.timestamp(datetime(1970, 1, 2, tzinfo=UTC)) == "<t:86400:R>"


def test_a_file_line_has_all_that_one_needs() -> None:
    """Name, type, size, id and the end."""
    line = render.file_line(stored())
    assert line.startswith("-# 📎 `plot.png` · image · 2.5 KB · id `1_0a1b2c3d` · until <t:")


def test_a_file_line_shows_the_folder() -> None:
    """Two files of one name differ by their paths."""
    assert "`out/a.csv`" in render.file_line(stored("a.csv", path="out/a.csv"))


def test_a_file_that_never_ends_has_no_end() -> None:
    """No moment is invented."""
    assert "until" not in render.file_line(stored(expires_at=None))


def test_a_hostile_file_name_stays_in_its_line() -> None:
    """A line end or back-tick in a name makes no second line and no mention."""
    line = render.file_line(stored("a`\n@everyone\n-# ✅"))
    assert "\n" not in line
    assert line.count("`") == 4


@pytest.mark.parametrize("room", [100, 200, 500, 1_500])
def test_file_lines_fit_and_count_the_rest(room: int) -> None:
    """Never over the room; what is left out is numbered."""
    files = [stored(f"f{n}.png") for n in range(20)]
    shown = render.file_lines(files, room)
    assert len(shown) <= room
    lines = shown.split("\n")
    assert lines[-1] == f"-# and {20 - (len(lines) - 1)} more: see /files"


def test_all_file_lines_when_there_is_room() -> None:
    """Nothing is said of more when there is no more."""
    shown = render.file_lines([stored("a.png"), stored("b.png")], 2_000)
    assert shown.count("\n") == 1
    assert "more" not in shown


@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        (Outcome.OK, "✅ ok"),
        (Outcome.NONZERO_EXIT, "❌ nonzero exit"),
        (Outcome.TIMED_OUT, "⏱️ timed out"),
        (Outcome.CANCELLED, "⏹️ cancelled"),
    ],
)
def test_a_status_says_how_it_ended(outcome: Outcome, words: str) -> None:
    """Sign and words of the outcome, the seconds, warm or cold."""
    assert render.status_line(ran(outcome=outcome)) == f"-# {words} · 0.25 s · warm"
    assert render.status_line(ran(outcome=outcome, warm=False)).endswith("cold")


def test_a_status_tells_packages_and_shortening() -> None:
    """What was installed by name, five at most, and that output is missing."""
    packages = tuple(f"p{n}" for n in range(7))
    line = render.status_line(ran(installed_packages=packages, truncated=True))
    assert "installed `p0`, `p1`, `p2`, `p3`, `p4` · output shortened" in line
    assert "p5" not in line


def test_a_hostile_hint_is_one_defused_line() -> None:
    """Text from inside the sandbox makes no line and no mention of its own."""
    lines = render.status_line(ran(hint="so\n@everyone `x`\n-# ✅ ok")).split("\n")
    assert len(lines) == 2
    assert "@everyone" not in lines[1]
    assert "`" not in lines[1]


def test_skipped_files_are_named_three_at_most() -> None:
    """Path, size, reason; the rest is counted."""
    skipped = tuple(SkippedFile(path=f"s{n}", size=10, reason="too large") for n in range(5))
    lines = render.status_line(ran(skipped_files=skipped)).split("\n")
    assert lines[1] == "-# not kept: `s0` (10 B): too large"
    assert lines[-1] == "-# and 2 more that were not kept"
    assert len(lines) == 5


def test_a_fault_has_its_sentence() -> None:
    """Where nothing ran, the reason is the status."""
    run = Run(execution_id="e", owner="1", code="1", fault="The queue is full: try again.")
    assert render.status_line(run) == "-# ⚠️ The queue is full: try again."
    assert render.output_of(run) == (None, None)


def test_short_output_is_shown() -> None:
    """Both streams in one block, output first."""
    assert render.output_of(ran(output="out\n", error="err\n")) == ("```\nout\nerr\n```", None)


def test_empty_output_shows_nothing() -> None:
    """White space alone is no output."""
    assert render.output_of(ran(output=" \n", error="\n")) == (None, None)


@pytest.mark.parametrize("output", ["x" * 1_200, "line\n" * 60])
def test_long_output_is_a_file_and_complete(output: str) -> None:
    """Too many characters or lines for a message: every byte of it goes into the file."""
    assert render.output_of(ran(output=output)) == (None, output.rstrip("\n").encode())


@given(st.text(max_size=1_500))
def test_any_output_is_shown_or_attached(output: str) -> None:
    """Never both, never over the inline bound, and nothing only where nothing was printed."""
    shown, data = render.output_of(ran(output=output))
    assert (shown is None and data is None) == (not output.strip())
    assert shown is None or data is None
    assert shown is None or len(shown) <= render.INLINE
