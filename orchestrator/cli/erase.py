"""`sandglass users erase`: forget an owner, once it is sure that this is meant."""

import sys

from orchestrator.cli import errors, show
from orchestrator.cli.session import ask
from orchestrator.errors import InvalidRequest


def users_erase(owner: str, *, is_sure: bool, as_json: bool) -> int:
    """Forget an owner's files, workspace and executions; 2 where some of it is kept, for a program runs."""
    if not is_sure and not _confirmed(owner):
        show.console().print("Nothing was erased.")
        return errors.DONE
    from orchestrator import erase_owner

    erasure = ask(lambda orchestrator: erase_owner(orchestrator, owner))
    if as_json:
        show.print_json(erasure)
    else:
        show.console().print(
            show.cell(
                f"Erased of {owner}: {erasure.executions} executions, {erasure.files} stored files, "
                f"{erasure.workspace_files} other files of the workspace"
            )
        )
    if not erasure.under_way:
        return errors.DONE
    names = ", ".join(erasure.under_way)
    sentence = (
        f"Under way, and not erased, nor is the workspace: {names}. "
        "End them with `sandglass kill`, then erase again."
    )
    return errors.report(sentence, errors.REFUSED, as_json=as_json)


def _confirmed(owner: str) -> bool:
    if not sys.stdin.isatty():
        raise InvalidRequest("Erasing cannot be undone: give --yes where nobody can be asked.")
    show.console(stderr=True).print(
        show.cell(f"Erase every file, execution and output of {owner}? This cannot be undone. [y/N] "), end=""
    )
    return sys.stdin.readline().strip().lower() in {"y", "yes"}
