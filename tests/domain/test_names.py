"""No name that a stranger chooses harms a file system, a terminal or a chat."""

import os
import re
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.names import safe_filename, safe_path

ANY_TEXT = st.text(st.characters(codec=None), max_size=400)
NASTY = st.text(
    st.sampled_from("../\\-~ \t\n\r\x00\x1b`@everyonehere<>|\u202e\u200b\u2066\u3164\ud800é́aA1"), max_size=60
)


def _assert_harmless(name: str) -> None:
    assert 1 <= len(name.encode()) <= 255
    assert name not in {".", ".."}
    assert not re.search(r"[/\\<>:\"|?*`\x00-\x1f\x7f-\x9f]", name)
    assert name[0] not in "-.~ "
    assert name[-1] not in " ."
    assert not re.search(r"@(everyone|here)", name, re.IGNORECASE)
    assert {unicodedata.category(c) for c in name}.isdisjoint({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


@given(ANY_TEXT | NASTY | st.binary(max_size=600))
def test_a_name_is_harmless_and_stays_what_it_is(raw: str | bytes) -> None:
    """Whatever comes in, a safe name comes out, and comes out of itself unchanged."""
    name = safe_filename(raw)
    _assert_harmless(name)
    assert safe_filename(name) == name


@given(st.binary(max_size=5_000) | NASTY.map(lambda text: text.encode("utf-8", "replace")))
def test_a_path_stays_below_its_root(raw: bytes) -> None:
    """Every component is safe, there is at least one, and none climbs."""
    path = safe_path(raw)
    assert len(path.encode()) <= 4000
    for part in path.split("/"):
        _assert_harmless(part)
    assert os.path.normpath(path) == path


@given(NASTY)
def test_a_file_system_takes_it(tmp_path_factory: pytest.TempPathFactory, raw: str) -> None:
    """The kernel makes a file of exactly that name."""
    directory = tmp_path_factory.mktemp("names")
    (directory / safe_filename(raw)).touch()
    assert os.listdir(directory) == [safe_filename(raw)]  # noqa: PTH208


@pytest.mark.parametrize(
    ("raw", "safe"),
    [
        ("sales.csv", "sales.csv"),
        ("My Report (final) v2.xlsx", "My Report (final) v2.xlsx"),
        ("日本語.txt", "日本語.txt"),
        ("logo@2x.png", "logo@2x.png"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\me\\a.txt", "a.txt"),
        ("", "file"),
        ("..", "file"),
        ("   ", "file"),
        (".env", "_env"),
        ("-rf", "_rf"),
        ("--help.txt", "__help.txt"),
        ("a\nb.txt", "a_b.txt"),
        ("a\x1b[31m.txt", "a_[31m.txt"),
        ("photo\u202egpj.exe", "photogpj.exe"),
        ("@everyone.txt", "_everyone.txt"),
        ("@\u200beveryone.txt", "_everyone.txt"),
        ("<@123>.txt", "_@123_.txt"),
        ("`code`.py", "'code'.py"),
        ("\u3164.txt", "_.txt"),
        ("con.txt", "_con.txt"),
        ("e\u0301.txt", "é.txt"),
        (b"\xff\xfe.bin", "\ufffd\ufffd.bin"),
        ("a\udcff.txt", "a_.txt"),
        ("x" * 300 + ".csv", "x" * 251 + ".csv"),
        ("é" * 200 + ".csv", "é" * 125 + ".csv"),
    ],
)
def test_known_names(raw: str | bytes, safe: str) -> None:
    """Ordinary names are kept, each kind of trick loses its point."""
    assert safe_filename(raw) == safe


@pytest.mark.parametrize(
    ("raw", "safe"),
    [
        (b"out/deep/a.csv", "out/deep/a.csv"),
        (b"/abs/a", "abs/a"),
        (b"a/../../b", "a/file/file/b"),
        (b"./a//b/", "a/b"),
        (b"back\\slash", "back_slash"),
        (b"", "file"),
        (b"\xff/\n", "\ufffd/_"),
    ],
)
def test_known_paths(raw: bytes, safe: str) -> None:
    """A path keeps its directories and loses its tricks."""
    assert safe_path(raw) == safe


def test_a_path_that_is_too_long_keeps_its_end() -> None:
    """The name at the end is what people look for."""
    raw = b"/".join([b"d" * 200] * 100) + b"/a.csv"
    path = safe_path(raw)
    assert path.endswith("/a.csv")
    assert 3_000 < len(path) <= 4_000
    assert Path(path).name == "a.csv"
