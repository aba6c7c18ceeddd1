"""`sandglass files`: what an owner has stored."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.cli import errors, show
from orchestrator.cli.run import upload
from orchestrator.cli.saving import safe_name, save_below
from orchestrator.cli.session import ask
from orchestrator.cli.text import many_lines

if TYPE_CHECKING:
    from orchestrator import Orchestrator, StoredFile


def ls(owner: str, *, as_json: bool) -> int:
    """List the owner's live files, newest first."""
    files = ask(lambda orchestrator: orchestrator.list_user_files(owner))
    _show(files, f"No files of {owner}. `sandglass files put PATH` stores one.", as_json=as_json)
    return errors.DONE


def get(ref: str, owner: str, out: str | None, *, force: bool, as_json: bool) -> int:
    """Write one file to `out`, to its own name where none is given, to standard output for `-`."""

    async def _fetch(orchestrator: "Orchestrator") -> "tuple[StoredFile, bytes]":
        file = await orchestrator.get_file(ref, owner)
        return file, await orchestrator.load_file(file.file_id, owner)

    file, data = ask(_fetch)
    if out == "-":
        _pour(data)
        return errors.DONE
    target = _target(out, file.filename)
    replaced = save_below(target.parent, target.name, data, replace=force)
    if as_json:
        show.print_json({"file": file, "saved_to": str(target), "replaced": replaced})
    else:
        verb = "Replaced" if replaced else "Saved"
        show.console().print(show.cell(f"{verb} {target} ({show.size(len(data))})"))
    return errors.DONE


def put(paths: list[Path], owner: str, *, as_json: bool) -> int:
    """Store files of this machine for the owner."""

    async def _put(orchestrator: "Orchestrator") -> "list[StoredFile]":
        stored = [await upload(orchestrator, owner, path) for path in paths]
        return [await orchestrator.get_file(file_id, owner) for file_id in stored]

    _show(ask(_put), "", as_json=as_json)
    return errors.DONE


def rm(refs: list[str], owner: str, *, as_json: bool) -> int:
    """Delete files of the owner."""

    async def _remove(orchestrator: "Orchestrator") -> "list[StoredFile]":
        return [await orchestrator.delete_user_file(ref, owner) for ref in refs]

    removed = ask(_remove)
    if as_json:
        show.print_json(removed)
    for file in () if as_json else removed:
        show.console().print(show.cell(f"Deleted {file.path} ({file.file_id})"))
    return errors.DONE


def clear(owner: str, *, as_json: bool) -> int:
    """Remove from the owner's workspace what is no stored file."""
    removed = ask(lambda orchestrator: orchestrator.clear_workspace(owner))
    if as_json:
        show.print_json({"owner": owner, "removed_files": removed})
    else:
        show.console().print(show.cell(f"Removed {removed} files of {owner} that were not stored"))
    return errors.DONE


def extend(refs: list[str], owner: str, hours: float | None, *, as_json: bool) -> int:
    """Let files live longer, counted from now."""

    async def _extend(orchestrator: "Orchestrator") -> "list[StoredFile]":
        return [await orchestrator.extend_file(ref, owner, hours) for ref in refs]

    _show(ask(_extend), "", as_json=as_json)
    return errors.DONE


def _show(files: "list[StoredFile]", when_empty: str, *, as_json: bool) -> None:
    if as_json:
        show.print_json(files)
    elif files:
        show.console().print(show.files_table(files))
    else:
        show.console().print(show.cell(when_empty))


def _target(out: str | None, filename: str) -> Path:
    if out is None:
        return Path(safe_name(filename))
    path = Path(out)
    return path / safe_name(filename) if path.is_dir() else path


def _pour(data: bytes) -> None:
    if sys.stdout.isatty():
        sys.stdout.write(many_lines(data.decode(errors="backslashreplace")))
    else:
        sys.stdout.buffer.write(data)
    sys.stdout.flush()
