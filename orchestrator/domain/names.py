"""Names that strangers chose, made safe for a file system, a terminal and a chat; nothing here raises."""

import re
import unicodedata

NAME_BYTES = 255
PATH_BYTES = 4000
_FALLBACK = "file"
_SUFFIX_BYTES = 32

# Letters and symbols that show nothing: a name of these would look empty, or like another.
_INVISIBLE = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
# Meant by Windows, a shell or Markdown; `<` also begins a mention.
_REPLACED = dict.fromkeys('/\\<>:"|?*\x00', "_") | {"`": "'"}
_MASS_MENTION = re.compile(r"@(?=everyone|here)", re.IGNORECASE)
_LEADING = re.compile(r"[-.~]+")
_DEVICES = frozenset(
    {"CON", "PRN", "AUX", "NUL"} | {f"{name}{digit}" for name in ("COM", "LPT") for digit in range(1, 10)}
)


def safe_filename(raw: bytes | str) -> str:
    """Return a single name of 1 to 255 UTF-8 bytes; of a path, the last component. Idempotent."""
    parts = [part for part in re.split(r"[/\\]", _text(raw)) if part]
    return _safe_component(parts[-1] if parts else "")


def safe_path(raw: bytes) -> str:
    """A relative `/`-separated path of safe names, at most 4000 bytes: a longer one loses its front."""
    parts = [_safe_component(part) for part in _text(raw).split("/") if part not in {"", "."}]
    kept: list[str] = []
    room = PATH_BYTES
    for part in reversed(parts):
        room -= len(part.encode()) + 1
        if room < 0:
            break
        kept.append(part)
    return "/".join(reversed(kept)) or _FALLBACK


def _text(raw: bytes | str) -> str:
    return raw.decode("utf-8", "replace") if isinstance(raw, bytes) else raw


def _safe_component(text: str) -> str:
    # Composed before and after: composing can make a backtick, dropping can make neighbours compose.
    text = "".join(map(_safe_character, unicodedata.normalize("NFC", text)))
    text = unicodedata.normalize("NFC", text)
    text = _MASS_MENTION.sub("_", text)
    text = _trim(text)
    text = _LEADING.sub(lambda found: "_" * len(found[0]), text, count=1) if _LEADING.match(text) else text
    if text.partition(".")[0].rstrip().upper() in _DEVICES:
        text = f"_{text}"
    return _shorten(text) or _FALLBACK


def _safe_character(character: str) -> str:
    """The character itself, a harmless one in its place, or nothing for what only steers (bidi)."""
    if character in _REPLACED:
        return _REPLACED[character]
    if character in _INVISIBLE:
        return "_"
    match unicodedata.category(character):
        case "Cf":
            return ""
        case "Cc" | "Cs" | "Co" | "Cn" | "Zl" | "Zp":
            return "_"
        case "Zs":
            return " "
        case _:
            return character


def _trim(text: str) -> str:
    """Without spaces around and dots after: Windows drops them, and nobody sees them."""
    return text.lstrip(" ").rstrip(" .")


def _shorten(text: str) -> str:
    if len(text.encode()) <= NAME_BYTES:
        return text
    stem, dot, suffix = text.rpartition(".")
    if not stem or len(suffix.encode()) >= _SUFFIX_BYTES:
        stem, dot, suffix = text, "", ""
    ending = dot + suffix
    head = stem.encode()[: NAME_BYTES - len(ending.encode())].decode("utf-8", "ignore")
    return _trim(head + ending)
