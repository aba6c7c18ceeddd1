"""Zip archives that never hold more than their input in memory; all of it blocks, so call it in a thread."""

import re
import time
import zipfile
import zlib
from tempfile import SpooledTemporaryFile
from typing import IO

_IN_MEMORY = 256 * 1024
_PIECE = 256 * 1024
_SAMPLE = 1024 * 1024
_GAINS = 0.95
"""Part of its size that a sample must be pressed to, or the whole is not worth a try."""
_PACKED_ALREADY = re.compile(
    r"\.(7z|apk|avif|br|bz2|docx|epub|flac|gif|t?gz|heic|jar|jpe?g|lz4|m4[av]|mkv|mov|mp[34]|od[pst]|og[agv]|opus"
    r"|png|pptx|rar|t?xz|web[mp]|whl|wm[av]|xlsx|zip|zst)$",
    re.IGNORECASE,
)


def packed_already(filename: str) -> bool:
    """Whether the name says that zipping gains nothing."""
    return _PACKED_ALREADY.search(filename) is not None


def zip_within(filename: str, data: bytes, most: int) -> "SpooledTemporaryFile[bytes] | None":
    """An archive of at most `most` bytes, on disk where it is not small; None where it would be larger."""
    sample = data[:_SAMPLE]
    if len(zlib.compress(sample, 1)) > _GAINS * len(sample):
        return None
    spool = SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115  (whoever gets it closes it)
    try:
        with zipfile.ZipFile(spool, "w", zipfile.ZIP_DEFLATED) as archive:
            fits = add(archive, filename, data, most)
        if fits and spool.tell() <= most:
            return spool
    except BaseException:
        spool.close()
        raise
    spool.close()
    return None


def add(archive: zipfile.ZipFile, filename: str, data: bytes, most: int | None = None) -> bool:
    """Add an entry piece by piece; False, and given up, as soon as the archive is over `most` bytes."""
    entry = zipfile.ZipInfo(filename, time.localtime()[:6])
    entry.compress_type = zipfile.ZIP_DEFLATED
    view = memoryview(data)
    with archive.open(entry, "w") as inside:
        for start in range(0, len(view), _PIECE):
            inside.write(view[start : start + _PIECE])
            if most is not None and _length(archive) > most:
                return False
    return True


def contents(spool: "IO[bytes] | SpooledTemporaryFile[bytes]") -> bytes:
    """Everything in it."""
    spool.seek(0)
    return spool.read()


def _length(archive: zipfile.ZipFile) -> int:
    assert archive.fp is not None
    return archive.fp.tell()
