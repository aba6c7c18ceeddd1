"""A terminal: pictures by the protocols of kitty and of iTerm2, and the paths that are typed into it."""

import base64
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal

type Protocol = Literal["kitty", "iterm"]

_PIECE = 4_096
_ITERM = frozenset({"iTerm.app", "WezTerm", "mintty", "vscode"})
_KITTY = frozenset({"ghostty", "kitty"})
LARGEST = 4_000_000


def protocol_of(environment: Mapping[str, str]) -> Protocol | None:
    """How this terminal takes pictures; None where nothing says so. None gets through tmux."""
    program = environment.get("TERM_PROGRAM", "")
    if "TMUX" in environment or environment.get("TERM", "").startswith(("screen", "dumb")):
        return None
    if "KITTY_WINDOW_ID" in environment or "kitty" in environment.get("TERM", "") or program in _KITTY:
        return "kitty"
    return "iterm" if program in _ITERM else None


def shown(picture: bytes, media_type: str, protocol: Protocol) -> str | None:
    """What to write so that the terminal draws it; None for what the protocol does not know."""
    encoded = base64.b64encode(picture).decode("ascii")
    if protocol == "iterm" and media_type.startswith("image/"):
        return f"\x1b]1337;File=inline=1;size={len(picture)};width=auto:{encoded}\x07\n"
    if protocol == "kitty" and media_type == "image/png":
        return "".join(_pieces(encoded)) + "\n"
    return None


def _pieces(encoded: str) -> Iterator[str]:
    for at in range(0, len(encoded), _PIECE):
        more = int(at + _PIECE < len(encoded))
        head = f"a=T,f=100,q=2,m={more}" if at == 0 else f"m={more}"
        yield f"\x1b_G{head};{encoded[at : at + _PIECE]}\x1b\\"


def words(text: str) -> list[str]:
    """Paths as a shell would read them, for a terminal quotes what is dropped on it; else all as one."""
    try:
        return shlex.split(text)
    except ValueError:
        return [text]


def existing(word: str) -> Path | None:
    """The file of this name, `~` understood; None also for what can be no name at all. Blocks."""
    try:
        path = Path(word).expanduser()
        return path if path.is_file() else None
    except (OSError, RuntimeError, ValueError):  # too long, no such user, a null character
        return None


def try_to_read(path: Path) -> None:
    """Raises `OSError` where whoever stores the file would run into it and blame the store. Blocks."""
    with path.open("rb") as file:
        file.read(1)


def write_new(target: str, name: str, data: bytes) -> Path:
    """Write to `target`, into it where it is a directory; never over another file. Blocks.

    Raises `OSError` whose text is a sentence.
    """
    try:
        path = Path(target).expanduser()
    except RuntimeError as error:
        raise OSError(f"{target} is no path: {error}") from error
    try:
        path = path / name if path.is_dir() else path
        with path.open("xb") as file:
            file.write(data)
    except FileExistsError as error:
        raise OSError(f"{path} is there already: name another path.") from error
    except OSError as error:
        raise OSError(f"{path} cannot be written ({error.strerror}): name another path.") from error
    return path
