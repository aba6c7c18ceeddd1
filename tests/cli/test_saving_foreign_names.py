"""No name that a program can give a file leads a copy out of its directory."""

import os
import stat
import tempfile
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from orchestrator.cli.saving import safe_name, save_below
from orchestrator.errors import InvalidRequest

PART = st.one_of(
    st.sampled_from(["", ".", "..", "...", "a", "b", "~", "-rf", "link", "file", "a\\b", "C:", "\x1b[2J"]),
    st.text(max_size=6),
)
NAMES = st.lists(PART, min_size=1, max_size=5).map("/".join)


def _files(root: Path) -> dict[str, bytes]:
    """Every regular file below `root`, through no link, with its bytes."""
    found = {}
    for directory, _, names in os.walk(root):
        for name in names:
            path = Path(directory) / name
            if stat.S_ISREG(path.lstat().st_mode):
                found[str(path.relative_to(root))] = path.read_bytes()
    return found


@settings(max_examples=80, deadline=None)
@given(name=NAMES)
@example(name="link/x")
@example(name="link/../x")
@example(name="file/x")
@example(name="a/../../outside/x")
@example(name="/etc/x")
def test_whatever_the_name_nothing_outside_changes(name: str) -> None:
    """One file appears inside, or the request is refused and no file appears anywhere."""
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        outside, out = root / "outside", root / "out"
        outside.mkdir()
        out.mkdir()
        (outside / "mine").write_bytes(b"mine")
        (out / "link").symlink_to(outside)
        (out / "file").write_bytes(b"file")
        before = _files(root)
        try:
            replaced = save_below(out, name, b"new")
        except InvalidRequest:
            assert _files(root) == before
            return
        after = _files(root)
        assert _files(outside) == {"mine": b"mine"}
        changed = {path for path in after if after[path] != before.get(path)}
        assert len(changed) == 1
        assert changed.pop().startswith("out/")
        assert replaced is (name.strip("./") in {"file", "link"} or len(after) == len(before))


@settings(max_examples=100)
@given(name=NAMES)
def test_a_safe_name_is_one_component(name: str) -> None:
    """It has no separator and is no parent, so that joining it to a directory stays there."""
    try:
        safe = safe_name(name)
    except InvalidRequest:
        return
    assert "/" not in safe
    assert safe not in {"", ".", ".."}
    assert (Path("/here") / safe).parent == Path("/here")


def test_a_chain_of_links_is_not_followed(tmp_path: Path) -> None:
    """A link to a link to a directory, and one below a real directory, are refused like a plain one."""
    out, outside = tmp_path / "out", tmp_path / "outside"
    (out / "real").mkdir(parents=True)
    outside.mkdir()
    (out / "one").symlink_to(outside)
    (out / "two").symlink_to("one")
    (out / "real" / "deep").symlink_to("../../outside")
    for name in ("two/x", "real/deep/x", "one/new/x"):
        with pytest.raises(InvalidRequest, match="choose another place"):
            save_below(out, name, b"x")
    assert list(outside.iterdir()) == []


def test_a_link_to_itself_and_one_to_nowhere_are_replaced(tmp_path: Path) -> None:
    """In the place of the file a link is only a name."""
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "void").symlink_to(tmp_path / "nowhere")
    assert save_below(tmp_path, "loop", b"1") is True
    assert save_below(tmp_path, "void", b"2") is True
    assert _files(tmp_path) == {"loop": b"1", "void": b"2"}


def test_the_callers_own_directory_may_be_a_link(tmp_path: Path) -> None:
    """DIR is the caller's choice: where they made it a link, it is followed."""
    (tmp_path / "real").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "real")
    save_below(tmp_path / "out", "a/b.txt", b"x")
    assert _files(tmp_path / "real") == {"a/b.txt": b"x"}


@pytest.mark.parametrize("name", ["a", "a/b"])
def test_a_directory_in_the_place_of_the_file_stays(tmp_path: Path, name: str) -> None:
    """A directory is never replaced by a file, and no temporary file is left beside it."""
    (tmp_path / name).mkdir(parents=True)
    (tmp_path / name / "kept").write_bytes(b"kept")
    with pytest.raises(InvalidRequest, match="Cannot write"):
        save_below(tmp_path, name, b"x")
    assert _files(tmp_path) == {f"{name}/kept": b"kept"}


def test_a_file_in_the_place_of_a_directory_stays(tmp_path: Path) -> None:
    """A path that goes through a file is refused, and the file keeps its bytes."""
    (tmp_path / "a").write_bytes(b"mine")
    with pytest.raises(InvalidRequest, match="choose another place"):
        save_below(tmp_path, "a/b", b"x")
    assert _files(tmp_path) == {"a": b"mine"}


def test_a_reader_of_the_old_file_keeps_it_whole(tmp_path: Path) -> None:
    """The new bytes are another file: who has the old one open reads it to its end."""
    save_below(tmp_path, "a.txt", b"old " * 1000)
    with (tmp_path / "a.txt").open("rb") as reader:
        assert reader.read(4) == b"old "
        assert save_below(tmp_path, "a.txt", b"new") is True
        assert reader.read() == b"old " * 999
    assert (tmp_path / "a.txt").read_bytes() == b"new"


def test_another_name_of_the_old_file_keeps_it(tmp_path: Path) -> None:
    """Replacing writes through no hard link."""
    victim = tmp_path / "victim"
    victim.write_bytes(b"mine")
    out = tmp_path / "out"
    out.mkdir()
    os.link(victim, out / "a")
    save_below(out, "a", b"new")
    assert (victim.read_bytes(), (out / "a").read_bytes()) == (b"mine", b"new")


def test_a_name_too_long_is_one_sentence(tmp_path: Path) -> None:
    """What the file system refuses is refused with its reason and leaves nothing."""
    with pytest.raises(InvalidRequest, match="File name too long"):
        save_below(tmp_path, "n" * 300, b"x")
    assert _files(tmp_path) == {}


@pytest.mark.parametrize("data", [b"", b"\0" * 3, bytes(range(256)) * 4096])
def test_bytes_are_copied_as_they_are(tmp_path: Path, data: bytes) -> None:
    """Empty, binary and large."""
    assert save_below(tmp_path, "deep/a.bin", data) is False
    assert _files(tmp_path) == {"deep/a.bin": data}
