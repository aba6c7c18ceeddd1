"""Foreign text on a terminal: nothing that it can obey."""

import io
from datetime import UTC, datetime, timedelta

import pytest
from rich.console import Console

from orchestrator.cli.show import cell, expiry, size, table
from orchestrator.cli.text import TerminalText, many_lines, one_line


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b]0;owned\x07", "\\x1b]0;owned\\x07"),
        ("\x9b31m", "\\x9b31m"),
        ("a\nb\tc\rd", "a\\x0ab\\x09c\\x0dd"),
        ("gpj.\u202eexe", "gpj.\\u202eexe"),
        ("bad\udcff", "bad\\udcff"),
        ("Grüße 日本 🎉", "Grüße 日本 🎉"),
    ],
)
def test_a_cell_shows_unsafe_characters_as_their_escapes(text: str, shown: str) -> None:
    """Control, reordering and lone surrogate characters are spelled out; every other letter stays."""
    assert one_line(text) == shown


def test_a_stream_keeps_its_lines_and_loses_its_escapes() -> None:
    """Line feed, tab and carriage return stay; an escape sequence becomes text."""
    assert many_lines("a\tb\r\n\x1b[2Jc\x08") == "a\tb\r\n\\x1b[2Jc\\x08"


def test_a_character_split_over_two_pieces_is_whole() -> None:
    """A piece may end inside a character, and an escape may be split as well."""
    text = TerminalText()
    euro = "€".encode()
    assert text.feed(euro[:1]) + text.feed(euro[1:] + b"\x1b") + text.feed(b"[31m") == "€\\x1b[31m"


def test_bytes_that_are_no_text_are_spelled_out() -> None:
    """Invalid and incomplete UTF-8 is shown, never sent as it is."""
    text = TerminalText()
    assert text.feed(b"\xff\xe2") + text.rest() == "\\xff\\xe2"


def test_a_file_name_is_no_markup() -> None:
    """Square brackets and emoji codes in a file name are shown as they are."""
    out = io.StringIO()
    made = table("name")
    made.add_row(cell("[bold red]a[/] :bomb:\x1b[31m"))
    Console(file=out, width=80).print(made)
    assert "[bold red]a[/] :bomb:\\x1b[31m" in out.getvalue()


def test_sizes_and_lifetimes_read_as_people_say_them() -> None:
    """Bytes in decimal units; never for a file that stays."""
    assert (size(142), size(1_300), size(50_000_000)) == ("142 B", "1.3 kB", "50.0 MB")
    now = datetime(2026, 1, 1, tzinfo=UTC)
    assert expiry(None) == "never"
    assert expiry(now, now) == "expired"
    assert expiry(now + timedelta(hours=47, minutes=5), now) == "47 h 05 min"
