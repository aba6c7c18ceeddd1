"""Forgetting an owner, here or over HTTP: files, workspace, what was run; and what stood in the way."""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

from orchestrator.domain.results import Execution
from orchestrator.errors import FileNotFoundOrExpired
from orchestrator.interface import Sandglass


@dataclass(frozen=True, kw_only=True, slots=True)
class Erasure:
    """How much was forgotten of an owner, and what is kept until it has ended."""

    owner: str
    files: int
    """Stored files."""
    workspace_files: int
    """What lay in the workspace besides."""
    executions: int
    under_way: tuple[str, ...]
    """Ids of executions that ran or waited meanwhile: they, and the workspace as it is, are not forgotten."""


async def erase_owner(sandglass: Sandglass, user_id: str | int) -> Erasure:
    """Forget whatever is known of an owner, but for the name and a uid that is never given to another.

    Ends nothing: what runs is told of in the answer, and a second erasure after its end takes the rest.
    """
    executions = await sandglass.forget_executions(user_id)
    # What has ended is forgotten, so that these lists are short.
    under_way = set(_unfinished(await sandglass.list_executions(user_id)))
    files = 0
    for file in await sandglass.list_user_files(user_id):
        with suppress(FileNotFoundOrExpired):  # its time came just now
            await sandglass.delete_user_file(file.file_id, user_id)
            files += 1
    leavings = await sandglass.clear_workspace(user_id)
    executions += await sandglass.forget_executions(user_id)
    under_way.update(_unfinished(await sandglass.list_executions(user_id)))
    return Erasure(
        owner=str(user_id),
        files=files,
        workspace_files=leavings,
        executions=executions,
        under_way=tuple(sorted(under_way)),
    )


def _unfinished(rows: Iterable[Execution]) -> list[str]:
    return [row.execution_id for row in rows if not row.state.is_terminal]
