"""What is shown of foreign names and outputs: harmless, whole, and in figures people can read."""

import io
import json
import unicodedata
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from orchestrator import StoredFile
from orchestrator.cli import show
from orchestrator.cli.text import TerminalText, many_lines, one_line

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ANYTHING = st.text(st.characters(), max_size=60)
REORDERING = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"


def _file(path: str, expires_at: datetime | None = None) -> StoredFile:
    return StoredFile(
        file_id="ann_1_00000000",
        filename="a",
        path=path,
        type="data",
        media_type="text/csv",
        size=1_300,
        sha256="0" * 64,
        created_at=NOW,
        expires_at=expires_at,
    )


def _rendered(renderable: object, *, width: int = 200) -> str:
    """What a colour terminal of this width is sent."""
    out = io.StringIO()
    Console(file=out, width=width, force_terminal=True, color_system=None).print(renderable)
    return out.getvalue()


@given(ANYTHING)
def test_one_line_is_one_line_and_nothing_obeys_it(text: str) -> None:
    """No control, reordering or surrogate character is left, and what is safe is not changed."""
    shown = one_line(text)
    assert not [one for one in shown if unicodedata.category(one) in {"Cc", "Cs", "Zl", "Zp"}]
    assert not set(shown) & set(REORDERING)
    assert one_line(shown) == shown
    shown.encode()


@given(ANYTHING)
def test_many_lines_keep_three_controls_and_no_other(text: str) -> None:
    """Line feed, tab and carriage return are layout; every other control is spelled out."""
    shown = many_lines(text)
    controls = {one for one in shown if unicodedata.category(one) == "Cc"}
    assert controls <= set("\n\t\r")
    assert not set(shown) & set(REORDERING)
    assert shown.count("\n") == text.count("\n")


@given(st.binary(max_size=80), st.integers(0, 80))
def test_a_stream_reads_the_same_however_it_is_cut(data: bytes, cut: int) -> None:
    """Two pieces are the text that one piece would have been."""
    cutting, whole = TerminalText(), TerminalText()
    assert (
        cutting.feed(data[:cut]) + cutting.feed(data[cut:]) + cutting.rest()
        == whole.feed(data) + whole.rest()
    )


@pytest.mark.parametrize("character", [*REORDERING, "\x00", "\x1b", "\x7f", "\x9b", "\u2028", "\ud800"])
def test_each_unsafe_character_is_spelled_out(character: str) -> None:
    """Every one of them has its escape, also between letters that it would reorder."""
    code = ord(character)
    assert one_line(f"a{character}b") == (f"a\\x{code:02x}b" if code < 0x100 else f"a\\u{code:04x}b")


@pytest.mark.parametrize(
    "name",
    [
        "[bold red]a[/bold red]",
        "[/]",
        "[link=http://x]y[/link]",
        ":bomb:",
        "[red",
        "a\\[b",
        "1234567890 None True http://x",
    ],
)
def test_names_in_a_table_are_never_markup(name: str) -> None:
    """Brackets, emoji codes, links and numbers are shown as they are, without a colour."""
    shown = _rendered(show.files_table([_file(name)], NOW))
    assert name in shown
    assert "\x1b]8" not in shown


def test_a_name_cannot_draw_a_row_of_its_own() -> None:
    """Line feeds and reordering in a name stay in its cell."""
    table = show.files_table([_file("a\nfake.csv  data  9 GB\u202e\x1b[1A")], NOW)
    shown = _rendered(table)
    assert table.row_count == 1
    assert "a\\x0afake.csv  data  9 GB\\u202e\\x1b[1A" in shown


def test_an_id_is_never_folded() -> None:
    """A narrow terminal folds the name, so that the id can still be copied."""
    shown = _rendered(show.files_table([_file("n" * 120)], NOW), width=70)
    assert "ann_1_00000000" in shown
    assert shown.count("n" * 10) > 1


def test_pairs_show_foreign_text_and_what_is_missing() -> None:
    """None is a dash; zero, False and an empty text are values."""
    shown = _rendered(show.pairs((("owner", "[red]\x1b"), ("image", None), ("files", 0), ("held", False))))
    lines = {line.split()[0]: line.split()[1:] for line in shown.splitlines()}
    assert lines == {"owner": ["[red]\\x1b"], "image": ["-"], "files": ["0"], "held": ["False"]}


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (0, "0 B"),
        (1, "1 B"),
        (999, "999 B"),
        (1_000, "1.0 kB"),
        (1_049, "1.0 kB"),
        (999_000, "999.0 kB"),
        (1_000_000, "1.0 MB"),
        (1_500_000_000, "1.5 GB"),
        (10**15, "1000000.0 GB"),
    ],
)
def test_sizes_are_decimal(count: int, shown: str) -> None:
    """A unit begins at a thousand of the one below; the largest has no end."""
    assert show.size(count) == shown


@pytest.mark.parametrize(
    ("left", "shown"),
    [
        (timedelta(hours=48), "48 h 00 min"),
        (timedelta(hours=47, minutes=59, seconds=59), "47 h 59 min"),
        (timedelta(hours=1), "1 h 00 min"),
        (timedelta(minutes=59, seconds=59), "59 min"),
        (timedelta(seconds=59), "0 min"),
        (timedelta(microseconds=1), "0 min"),
        (timedelta(), "expired"),
        (timedelta(seconds=-1), "expired"),
    ],
)
def test_what_is_left_is_rounded_down(left: timedelta, shown: str) -> None:
    """Nobody is promised a minute more than there is, and the very moment is over."""
    assert show.expiry(NOW + left, NOW) == shown


def test_moments_are_utc_to_the_second() -> None:
    """A moment in another zone is shown in ours; none is a dash."""
    east = datetime(2026, 3, 1, 2, 30, 1, 999_999, tzinfo=timezone(timedelta(hours=5)))
    assert show.moment(east) == "2026-02-28 21:30:01"
    assert show.moment(None) == "-"


def test_json_is_plain_and_ascii(capsys: pytest.CaptureFixture[str]) -> None:
    """Models, moments and paths are understood; a name cannot steer the terminal that shows the JSON."""
    show.print_json({"file": _file("\x1b[2J\u202ea", NOW), "path": Path("/a/b"), "many": (1, None)})
    printed = capsys.readouterr().out
    parsed = json.loads(printed)
    assert (parsed["path"], parsed["many"], parsed["file"]["path"]) == ("/a/b", [1, None], "\x1b[2J\u202ea")
    assert datetime.fromisoformat(parsed["file"]["expires_at"]) == NOW
    assert printed.isascii()
    assert "\x1b" not in printed
