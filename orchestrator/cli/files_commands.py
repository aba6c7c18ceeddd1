"""The arguments of `sandglass files`; the work is in `files`, imported when it is called."""

from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli.options import Json, Owner, Refs, group
from orchestrator.cli.session import DEFAULT_OWNER

files = group("What an owner has stored.")


@files.command("ls")
def _files_ls(owner: Owner = DEFAULT_OWNER, json: Json = False) -> int:
    """List live files, newest first."""
    from orchestrator.cli.files import ls

    return ls(owner, as_json=json)


@files.command("get")
def _files_get(
    ref: Annotated[str, typer.Argument(metavar="REF", help="A file id or a file name.")],
    owner: Owner = DEFAULT_OWNER,
    out: Annotated[str | None, typer.Option("--out", metavar="PATH", help="Where to; - for stdout.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing file.")] = False,
    json: Json = False,
) -> int:
    """Copy one stored file to this directory, or to --out."""
    from orchestrator.cli.files import get

    return get(ref, owner, out, force=force, as_json=json)


@files.command("put")
def _files_put(
    path: Annotated[list[Path], typer.Argument(metavar="PATH...")],
    owner: Owner = DEFAULT_OWNER,
    json: Json = False,
) -> int:
    """Store files of this machine."""
    from orchestrator.cli.files import put

    return put(path, owner, as_json=json)


@files.command("rm")
def _files_rm(ref: Refs, owner: Owner = DEFAULT_OWNER, json: Json = False) -> int:
    """Delete stored files."""
    from orchestrator.cli.files import rm

    return rm(ref, owner, as_json=json)


@files.command("clear")
def _files_clear(owner: Owner = DEFAULT_OWNER, json: Json = False) -> int:
    """Remove what programs left in the workspace and is no stored file."""
    from orchestrator.cli.files import clear

    return clear(owner, as_json=json)


@files.command("extend")
def _files_extend(
    ref: Refs,
    owner: Owner = DEFAULT_OWNER,
    hours: Annotated[
        float | None,
        typer.Option("--hours", metavar="H", help="From now; default: a whole lifetime."),
    ] = None,
    json: Json = False,
) -> int:
    """Let stored files live longer."""
    from orchestrator.cli.files import extend

    return extend(ref, owner, hours, as_json=json)
