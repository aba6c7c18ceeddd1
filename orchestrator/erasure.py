"""Forgetting an owner, here or over HTTP: files, workspace, what was run; and what stood in the way."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from orchestrator.domain.results import Execution
from orchestrator.errors import FileNotFoundOrExpired
from orchestrator.interface import Sandglass

_PASSES = 5
"""What begins and ends while it is erased is erased by the next pass; somebody may go on for ever."""
_MOST = 1000
"""Of what is left; a list over HTTP is no longer."""


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
    """Ids of executions that ran or waited to the last: they and the workspace, as it is, are kept."""


async def erase_owner(sandglass: Sandglass, user_id: str | int) -> Erasure:
    """Forget whatever is known of an owner, but for the name and a uid that is never given to another.

    Ends nothing: what runs is told of in the answer, and a second erasure after its end takes the rest.
    """
    executions = await sandglass.forget_executions(user_id)
    files = leavings = 0
    meanwhile: Sequence[Execution] = ()
    for _ in range(_PASSES):
        files += await _delete_files(sandglass, user_id)
        leavings += await sandglass.clear_workspace(user_id)
        meanwhile = await sandglass.list_executions(user_id, _MOST)
        # Last, for it empties the log of the names of files as well. What it finds may have left files.
        gone = await sandglass.forget_executions(user_id)
        executions += gone
        if not gone:
            break
    return Erasure(
        owner=str(user_id),
        files=files,
        workspace_files=leavings,
        executions=executions,
        under_way=tuple(sorted(row.execution_id for row in meanwhile)),
    )


async def _delete_files(sandglass: Sandglass, user_id: str | int) -> int:
    count = 0
    for file in await sandglass.list_user_files(user_id):
        with suppress(FileNotFoundOrExpired):  # its time came just now
            await sandglass.delete_user_file(file.file_id, user_id)
            count += 1
    return count
