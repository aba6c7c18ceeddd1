"""What kind of file it is: its extension says, its first bytes may object, libmagic knows the rest."""

import threading
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import TYPE_CHECKING

from orchestrator.storage.extensions import NAMES, TABLE

if TYPE_CHECKING:
    import magic

CATEGORIES = frozenset(
    {
        *("image", "data", "text", "structured", "html", "pdf", "code", "archive", "database"),
        *("scientific", "document", "notebook", "audio", "video", "geo", "model", "font", "file"),
    }
)
"""The types of the design."""

UNKNOWN = "application/octet-stream"


class Shape(StrEnum):
    """What the bytes behind an extension look like."""

    TEXT = "text"
    ZIP = "zip"
    OLE = "ole"
    BINARY = "binary"
    ANY = "any"


@dataclass(frozen=True, kw_only=True, slots=True)
class FileType:
    """A category of the design, a media type, and whether the content is not what the name says.

    Where it is not, category and media type tell the content.
    """

    type: str
    media_type: str
    mismatch: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Extension:
    """One line of the table."""

    type: str
    media_type: str
    shape: Shape
    signature: bytes = b""


_SIGNATURES = {Shape.ZIP: b"PK", Shape.OLE: b"\xd0\xcf\x11\xe0"}
_BY_MAJOR = {"image": "image", "audio": "audio", "video": "video", "font": "font", "text": "text"}
_BY_MEDIA_TYPE = {
    "application/json": "structured",
    "text/xml": "structured",
    "text/html": "html",
    "text/csv": "data",
    "text/x-diff": "text",
    "text/x-tex": "code",
    "application/javascript": "code",
    "application/pdf": "pdf",
    "application/postscript": "document",
    "application/x-hdf5": "scientific",
    "application/x-hdf": "scientific",
    "application/x-netcdf": "scientific",
    "application/x-ndjson": "data",
    "application/x-sqlite3": "database",
    "application/vnd.sqlite3": "database",
    "application/zstd": "archive",
    "application/x-rar": "archive",
    "application/x-lzma": "archive",
    "application/x-cpio": "archive",
    "application/x-archive": "archive",
    "application/x-bzip2": "archive",
    "application/ogg": "audio",
    "application/vnd.ms-opentype": "font",
}
# libmagic's words for a program, whatever the extension hopes for.
_PROGRAMS = frozenset(
    {
        "application/x-executable",
        "application/x-pie-executable",
        "application/x-sharedlib",
        "application/x-object",
        "application/x-coredump",
        "application/x-dosexec",
        "application/x-mach-binary",
        "application/vnd.microsoft.portable-executable",
    }
)


_BARE_WORDS = frozenset({"text/plain", "text/csv", "application/csv"})
"""What libmagic calls text that it does not recognise."""


def classify(filename: str, head: bytes) -> FileType:
    """Tell what a file is from its name and first bytes (4096 are plenty). May read libmagic's data: blocks.

    Unless the first bytes are what the extension promises, libmagic is asked; only a clear
    contradiction is a mismatch, for many formats are unknown to it. Another format is told for what
    it is; bare words under a binary name keep the category of the name, and their media type tells.
    """
    known = lookup(filename)
    if known is None:
        return _by_content(sniff(head)) if head else FileType(type="file", media_type=UNKNOWN)
    promised = FileType(type=known.type, media_type=known.media_type)
    if not head or _is_as_promised(known, head):
        return promised
    seen = sniff(head)
    if not _contradicts(known, seen, head):
        return promised
    found = promised if seen in _BARE_WORDS else _by_content(seen)
    return FileType(type=found.type, media_type=seen, mismatch=True)


def lookup(filename: str) -> Extension | None:
    """What the table says about a name, of two extensions (`.tar.gz`) or of the last one."""
    lowered = filename.lower()
    if lowered in NAMES:
        category, media_type = NAMES[lowered]
        return Extension(type=category, media_type=media_type, shape=Shape.TEXT)
    parts = lowered.rsplit(".", 2)[1:]
    return extensions().get(".".join(parts)) or (extensions().get(parts[-1]) if parts else None)


@cache
def extensions() -> dict[str, Extension]:
    """The table, by extension without its dot."""
    table = {}
    for line in TABLE.strip().splitlines():
        extension, category, media_type, shape, *signature = line.split()
        begins = signature[0].encode("ascii").decode("unicode_escape").encode("latin-1") if signature else b""
        table[extension] = Extension(
            type=category,
            media_type=media_type,
            shape=Shape(shape),
            signature=begins or _SIGNATURES.get(Shape(shape), b""),
        )
    return table


def sniff(head: bytes) -> str:
    """The media type that libmagic sees. Blocks; safe from any thread."""
    import magic

    with _lock:
        try:
            return str(_magic().from_buffer(head))
        except magic.MagicException:
            # It gives up on some hostile bytes; then we know nothing, which is an answer.
            return UNKNOWN


_lock = threading.Lock()
"""A libmagic cookie is not safe from two threads at once."""


@cache
def _magic() -> "magic.Magic":
    import magic

    return magic.Magic(mime=True)


def _is_as_promised(known: Extension, head: bytes) -> bool:
    if known.signature:
        return head.startswith(known.signature)
    if known.shape is Shape.TEXT:
        return _is_plain_text(head)
    return known.shape is Shape.ANY and not head.startswith((b"\x7fELF", b"MZ"))


def _is_plain_text(head: bytes) -> bool:
    """UTF-8 (cut anywhere) without control characters, and no document that only begins as text."""
    if b"\x00" in head or head.startswith((b"%PDF", b"%!PS")):
        return False
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as error:
        return error.start >= len(head) - 3 and error.reason == "unexpected end of data"
    return True


def _contradicts(known: Extension, seen: str, head: bytes) -> bool:
    if seen == known.media_type or seen in {UNKNOWN, "inode/x-empty", "application/x-empty"}:
        return False
    if seen in _PROGRAMS:
        return known.media_type not in _PROGRAMS
    found = _by_content(seen).type
    if known.shape is Shape.TEXT:
        return not (seen.startswith("text/") or found in {"text", "code", "structured", "html", "data"})
    if known.shape in {Shape.ZIP, Shape.OLE}:
        return True  # its signature is missing, and something else was recognised
    if found in {"text", "code", "structured", "html"}:
        # libmagic also calls text what could be Latin-1, which short binaries often could.
        return known.shape is Shape.BINARY and _is_plain_text(head)
    # Pictures in scientific formats, sound in video containers: only another family is a lie.
    return {found, known.type} not in _KIN and found not in {known.type, "file"}


_KIN = (
    {"audio", "video"},
    {"archive", "data"},
    {"archive", "model"},
    {"archive", "scientific"},
    {"archive", "geo"},
    {"archive", "database"},
    {"database", "geo"},
    {"scientific", "model"},
    {"document", "image"},
    {"image", "geo"},
)


def _by_content(media_type: str) -> FileType:
    return FileType(type=_category(media_type), media_type=media_type)


def _category(media_type: str) -> str:
    if category := _BY_MEDIA_TYPE.get(media_type) or _by_table().get(media_type):
        return category
    major, _, minor = media_type.partition("/")
    if major == "text" and minor.startswith("x-"):
        return "code"
    return _BY_MAJOR.get(major, "file")


@cache
def _by_table() -> dict[str, str]:
    """Categories by media type, where the table gives only one to it."""
    categories: dict[str, set[str]] = {}
    for extension in extensions().values():
        categories.setdefault(extension.media_type, set()).add(extension.type)
    return {media_type: min(found) for media_type, found in categories.items() if len(found) == 1}
