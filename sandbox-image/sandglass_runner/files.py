"""The helpers that the code gets as builtins: what files there are, where they lie, and what is in them."""

import os

INPUTS = "/inputs"
NAMED = 20  # so many files are named in an error


class Shelf:
    """The files this execution may see, as the request listed them."""

    def __init__(self, records: list[dict[str, object]]) -> None:
        self._records = records

    def list_files(self) -> list[dict[str, object]]:
        """Return a record (file_id, filename, type, size, ...) for every file that may be loaded."""
        return [dict(record) for record in self._records]

    def get_file_path(self, ref: str | os.PathLike[str]) -> str:
        """Return the path of a file given by its id, its name (the newest wins) or a path.

        Raises FileNotFoundError, naming what is available, when there is no such file (any more).
        """
        return self._find(ref)[0]

    def load_file(self, ref: str | os.PathLike[str]) -> object:
        """Return the contents of a file, given by id, name or path, as what its extension calls for.

        Tables come as DataFrame, workbooks as ExcelFile, JSON/YAML/TOML parsed, arrays as arrays, databases
        as a read-only connection, images as PIL image, text and code as str, HDF5, archives and media as a
        path, the rest as bytes.

        Raises FileNotFoundError, naming what is available, when there is no such file (any more).
        """
        from sandglass_runner.kinds import load

        path, category = self._find(ref)
        return load(path, category)

    def _find(self, ref: str | os.PathLike[str]) -> tuple[str, str]:
        wanted: object = os.fspath(ref)
        if not isinstance(wanted, str) or not wanted or "\0" in wanted:
            raise FileNotFoundError(self._not_found(wanted))
        for matching in ("file_id", "filename", "path"):
            found = [record for record in self._records if record.get(matching) == wanted]
            if found:
                newest = max(found, key=lambda record: str(record.get("created_at") or ""))
                path = f"{INPUTS}/{newest['file_id']}/{newest['filename']}"
                if os.path.isfile(path):
                    return path, str(newest.get("type") or "")
        if os.path.isfile(wanted):
            return os.path.abspath(wanted), ""
        raise FileNotFoundError(self._not_found(wanted))

    def _not_found(self, wanted: object) -> str:
        names = [f"{record['filename']} ({record['file_id']})" for record in self._records[:NAMED]]
        if len(self._records) > NAMED:
            names.append(f"and {len(self._records) - NAMED} more")
        available = "Available: " + ", ".join(names) if names else "No files are available"
        return f"File not found or expired: {wanted!r}. {available}."
