"""Copies on the caller's disk: what a foreign path must not do."""

from pathlib import Path

import pytest

from orchestrator.cli.saving import safe_name, save_below
from orchestrator.errors import InvalidRequest


@pytest.mark.parametrize("path", ["../up.txt", "a/../../up.txt", "/etc/up.txt", "", ".", "..", "a\0b"])
def test_a_path_that_leaves_the_directory_is_refused(tmp_path: Path, path: str) -> None:
    """Parents, absolute paths and nameless ones write nothing anywhere."""
    out = tmp_path / "out"
    with pytest.raises(InvalidRequest):
        save_below(out, path, b"x")
    assert [entry for entry in tmp_path.rglob("*") if entry.is_file()] == []


def test_a_link_on_the_way_is_not_followed(tmp_path: Path) -> None:
    """A directory that is a link to elsewhere is refused."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "sub").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InvalidRequest):
        save_below(tmp_path / "out", "sub/a.txt", b"x")
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_link_in_the_place_of_the_file_is_replaced_not_followed(tmp_path: Path) -> None:
    """What the link pointed to keeps its content, and the replacement is reported."""
    victim = tmp_path / "victim.txt"
    victim.write_text("mine")
    out = tmp_path / "out"
    out.mkdir()
    (out / "a.txt").symlink_to(victim)
    assert save_below(out, "a.txt", b"new") is True
    assert victim.read_text() == "mine"
    assert (out / "a.txt").read_bytes() == b"new"
    assert not (out / "a.txt").is_symlink()


def test_an_existing_file_stays_unless_replacing_is_wanted(tmp_path: Path) -> None:
    """Without leave the file keeps its content, and no half-written neighbour is left."""
    assert save_below(tmp_path, "deep/er/a.txt", b"1", replace=False) is False
    with pytest.raises(InvalidRequest, match="exists already"):
        save_below(tmp_path, "deep/er/a.txt", b"2", replace=False)
    assert [path.name for path in (tmp_path / "deep" / "er").iterdir()] == ["a.txt"]
    assert (tmp_path / "deep/er/a.txt").read_bytes() == b"1"


def test_the_name_of_a_foreign_file_is_its_last_component() -> None:
    """Directories of a foreign name are dropped; a name that is a parent is refused."""
    assert safe_name("a/b.txt") == "b.txt"
    with pytest.raises(InvalidRequest):
        safe_name("a/..")
