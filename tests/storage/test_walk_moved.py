"""A walk over a tree that changes under it: it ends, it stays inside, and it says what it saw."""

import os
from pathlib import Path

import pytest

from orchestrator.storage.walk import Found, Kind, Place, Walk, open_directory, open_root


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """`a/b/c/deep.txt`, `a/one.txt`, `z/last.txt`, and a neighbour that is none of ours."""
    made = tmp_path / "root"
    for name in ("a/b/c/deep.txt", "a/one.txt", "z/last.txt"):
        path = made / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret.txt").write_bytes(b"secret")
    return made


def _walk(root: Path, *, depth: int = 10, max_entries: int = 1000) -> Walk:
    return Walk(root, depth=depth, max_entries=max_entries)


def _paths(found: list[Found], kind: Kind = Kind.FILE) -> list[bytes]:
    return [one.path for one in found if one.kind is kind]


def _descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_directories_come_after_what_is_in_them(root: Path) -> None:
    """Every file is found once, in order of name, and every directory behind its content."""
    found = [one.path for one in _walk(root)]
    assert found == [b"a/one.txt", b"a/b/c/deep.txt", b"a/b/c", b"a/b", b"a", b"z/last.txt", b"z"]


def test_a_directory_that_was_swapped_for_a_link_is_not_entered(root: Path) -> None:
    """Between listing and entering, a link in its place leads nowhere."""
    found = []
    for one in _walk(root):
        found.append(one)
        if one.path == b"a/one.txt":
            (root / "z").rename(root.parent / "away")
            (root / "z").symlink_to(root.parent / "outside")
    assert _paths(found) == [b"a/one.txt", b"a/b/c/deep.txt"]


def test_a_directory_that_is_moved_out_under_the_walk_does_not_take_it_along(root: Path) -> None:
    """The way up is checked: what lies around the new place is never listed."""
    found = []
    for one in _walk(root):
        found.append(one)
        if one.path == b"a/b/c/deep.txt":
            (root / "a" / "b" / "c").rename(root.parent / "outside" / "c")
    assert b"secret.txt" not in {one.name for one in found}
    assert _paths(found)[-1] == b"z/last.txt"


def test_files_that_vanish_are_no_error(root: Path) -> None:
    """A whole tree that goes while it is walked ends the walk quietly, with no descriptor left."""
    before = _descriptors()
    found = []
    for one in _walk(root):
        found.append(one.path)
        if one.path == b"a/one.txt":
            for path in sorted(root.rglob("*"), reverse=True):
                path.rmdir() if path.is_dir() else path.unlink()
    assert found[0] == b"a/one.txt"
    assert b"z/last.txt" not in found
    assert _descriptors() == before


@pytest.mark.parametrize("most", [0, 1, 3, 6])
def test_no_more_entries_than_allowed_are_looked_at(root: Path, most: int) -> None:
    """At the bound the walk stops and says so; it has counted no more than that."""
    walk = _walk(root, max_entries=most)
    assert len(list(walk)) <= most
    assert walk.stopped is True
    assert walk.inodes_used <= most


def test_exactly_as_many_as_allowed_is_not_too_many(root: Path) -> None:
    """Seven entries fit in seven."""
    walk = _walk(root, max_entries=7)
    assert len(list(walk)) == 7
    assert walk.stopped is False


@pytest.mark.parametrize(("depth", "buried"), [(1, [b"a/b"]), (2, [b"a/b/c"]), (3, [])])
def test_what_is_too_deep_is_counted_not_found(root: Path, depth: int, buried: list[bytes]) -> None:
    """A buried file is told by the directory where it began, with how much lies there."""
    walk = _walk(root, depth=depth)
    found = list(walk)
    assert [one.path for one in walk.buried] == buried
    assert sum(one.files for one in walk.buried) == len(buried)
    deep = next(one for one in found if one.name == b"deep.txt")
    assert deep.place is (Place.BURIED if buried else Place.VISIBLE)


def test_a_walk_that_is_dropped_closes_what_it_opened(root: Path) -> None:
    """Who stops halfway leaves no descriptor."""
    before = _descriptors()
    walking = iter(_walk(root))
    next(walking)
    walking.close()  # type: ignore[attr-defined]
    assert _descriptors() == before


def test_a_link_is_never_the_way(root: Path) -> None:
    """Neither the root nor a component may be one."""
    link = root.parent / "link"
    link.symlink_to(root)
    with pytest.raises(NotADirectoryError):
        open_root(link)
    with pytest.raises(OSError, match="directory"):
        list(_walk(link))
    (root / "a" / "out").symlink_to(root.parent / "outside")
    top = open_root(root)
    before = _descriptors()
    with pytest.raises(NotADirectoryError):
        open_directory(top, [b"a", b"out"])
    assert _descriptors() == before
    os.close(top)


def test_hard_links_use_their_room_once(root: Path) -> None:
    """Two names of one file are one inode and its blocks."""
    alone = _walk(root)
    list(alone)
    os.link(root / "a" / "one.txt", root / "a" / "two.txt")
    both = _walk(root)
    assert b"a/two.txt" in _paths(list(both))
    assert (both.inodes_used, both.bytes_used) == (alone.inodes_used, alone.bytes_used)
