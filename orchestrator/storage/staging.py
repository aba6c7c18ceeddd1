"""Inputs of one execution, as `staging/<execution_id>/<file_id>/<filename>`, mounted read-only at /inputs."""

import errno
import os
import re
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import structlog

from orchestrator.domain.files import StoredFile
from orchestrator.domain.names import safe_filename
from orchestrator.errors import InvalidRequest
from orchestrator.storage.blobs import DirectoryBlobs

log = structlog.get_logger(__name__)

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")
# Another filesystem, too many links to one blob, or a filesystem without links.
_NO_LINK = frozenset({errno.EXDEV, errno.EMLINK, errno.EPERM, errno.ENOTSUP})


class Staging:
    """The staging directories of this host. Everything blocks."""

    def __init__(self, root: Path, blobs: DirectoryBlobs) -> None:
        self._root = root
        self._blobs = blobs

    def stage(self, execution_id: str, files: Sequence[StoredFile]) -> Path:
        """Make the directory anew, one link per file; a file whose blob is lost is left out, and logged."""
        directory = self._directory(execution_id)
        self._root.mkdir(parents=True, exist_ok=True, mode=0o755)
        self.unstage(execution_id)
        _make(directory)
        self.fill(execution_id, files)
        return directory

    def fill(self, execution_id: str, files: Sequence[StoredFile]) -> None:
        """The links of `stage` in a directory that is there, and mounted, already."""
        directory = self._directory(execution_id)
        for file in files:
            _make(directory / file.file_id)
            target = directory / file.file_id / safe_filename(file.filename)
            try:
                _link_or_copy(self._blobs.path(file.file_id), target)
            except FileNotFoundError:
                # One lost blob must not keep the owner from running anything; the code sees "not found".
                log.warning("blob missing", file_id=file.file_id, execution_id=execution_id)
                target.parent.rmdir()

    def unstage(self, execution_id: str) -> None:
        """Remove the directory; no error where there is none. The blobs are other links and stay."""
        with suppress(FileNotFoundError):
            shutil.rmtree(self._directory(execution_id))

    def staged(self) -> list[str]:
        """The execution ids that have a directory."""
        with suppress(FileNotFoundError):
            return sorted(entry.name for entry in self._root.iterdir())
        return []

    def _directory(self, execution_id: str) -> Path:
        if _ID.fullmatch(execution_id) is None:
            raise InvalidRequest(
                f"The execution id {execution_id[:80]!r} is not usable: "
                "use letters, digits, dashes and underscores."
            )
        return self._root / execution_id


def _make(directory: Path) -> None:
    directory.mkdir()
    # The sandbox reads here as another uid, whatever our umask is.
    directory.chmod(0o755)


def _link_or_copy(blob: Path, target: Path) -> None:
    try:
        os.link(blob, target)
    except OSError as error:
        if error.errno not in _NO_LINK:
            raise
        shutil.copyfile(blob, target)
        target.chmod(0o444)
