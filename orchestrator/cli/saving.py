"""Copies of stored files on the caller's disk: never outside the directory, never through a link."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath

from orchestrator.errors import InvalidRequest

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def save_below(root: Path, relative: str, data: bytes, *, replace: bool = True) -> bool:
    """Write `data` to `root/relative`, making directories; True where a file of that name was replaced.

    `relative` is foreign: an absolute path, `..` or a link on the way is refused with `InvalidRequest`,
    and so is an existing file where `replace` is False. The file appears whole or not at all.
    """
    parts = _parts(relative)
    shown = root / PurePosixPath(*parts)
    try:
        root.mkdir(parents=True, exist_ok=True)
        with _directory(root, parts[:-1]) as directory:
            return _write(directory, parts[-1], data, shown, replace=replace)
    except OSError as error:
        raise InvalidRequest(f"Cannot write {shown} ({error.strerror}): choose another place.") from error


def safe_name(filename: str) -> str:
    """The last component of a foreign file name, usable in the current directory."""
    return _parts(filename)[-1]


def _parts(relative: str) -> tuple[str, ...]:
    parts = tuple(part for part in relative.split("/") if part not in ("", "."))
    if not parts or ".." in parts or relative.startswith("/") or "\0" in relative:
        raise InvalidRequest(f"The path {relative!r} leaves its directory: give a file name with --out.")
    return parts


@contextmanager
def _directory(root: Path, parts: tuple[str, ...]) -> Iterator[int]:
    # The root is the caller's own choice and may be a link; nothing below it may.
    current = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in parts:
            with suppress(FileExistsError):
                os.mkdir(part, dir_fd=current)
            deeper = os.open(part, _DIRECTORY, dir_fd=current)
            os.close(current)
            current = deeper
        yield current
    finally:
        os.close(current)


def _write(directory: int, name: str, data: bytes, shown: Path, *, replace: bool) -> bool:
    temporary = f".sandglass-{secrets.token_hex(8)}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(temporary, flags, 0o666, dir_fd=directory), "wb") as file:
        try:
            file.write(data)
            file.flush()
            if not replace:
                return _link(directory, temporary, name, shown)
            existed = _exists(directory, name)
            os.rename(temporary, name, src_dir_fd=directory, dst_dir_fd=directory)
            temporary = ""
            return existed
        finally:
            if temporary:
                os.unlink(temporary, dir_fd=directory)


def _link(directory: int, temporary: str, name: str, shown: Path) -> bool:
    try:
        os.link(temporary, name, src_dir_fd=directory, dst_dir_fd=directory, follow_symlinks=False)
    except FileExistsError as error:
        raise InvalidRequest(
            f"{shown} exists already: name another file with --out, or overwrite it with --force."
        ) from error
    return False


def _exists(directory: int, name: str) -> bool:
    try:
        os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True
