"""A look at the index that changes nothing, for the commands that report on it."""

import sqlite3
from contextlib import closing
from pathlib import Path

from orchestrator.errors import StorageFault


def revision(path: Path) -> str | None:
    """The schema revision of the index at `path`, None where there is no index yet; raises `StorageFault`."""
    if not path.exists():
        return None
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.Error as error:
        raise StorageFault(
            f"The index {path} cannot be read ({error}): restore it from a backup, or move it away."
        ) from error
    return str(row[0]) if row else None
