"""The options that several commands share, and how a group of commands is made."""

from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Owner = Annotated[str, typer.Option("--owner", metavar="ID", help="Whose files and workspace.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")]
Refs = Annotated[list[str], typer.Argument(metavar="REF...", help="File ids or file names.")]


def group(text: str) -> typer.Typer:
    """An empty group; plain help, because drawing boxes would double the time that `--help` takes."""
    return typer.Typer(
        add_completion=False,
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        help=text,
    )
