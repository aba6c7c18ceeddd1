"""What a caller can ask, the same over an orchestrator in this process and over one behind HTTP."""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import BinaryIO, Protocol

from orchestrator.domain.files import StoredFile
from orchestrator.domain.results import Execution, ExecutionResult
from orchestrator.domain.status import Bounds, InterpreterStatus
from orchestrator.lifecycle.listen import OnOutput


class Sandglass(Protocol):
    """`Orchestrator` and `RemoteOrchestrator` are both this; the words are explained at the former.

    Both raise the same errors: `Refused` for what the caller can mend, `Fault` for what he cannot.
    """

    @property
    def bounds(self) -> Bounds:
        """What is not worth trying."""
        ...

    async def execute_code(
        self,
        code: str,
        user_id: str | int,
        user_files: Sequence[str] | None = None,
        timeout: float | None = None,
        *,
        on_output: OnOutput | None = None,
        execution_id: str | None = None,
    ) -> ExecutionResult:
        """Run `code`; cancelling the awaiting task ends the execution first."""
        ...

    async def prewarm(self, user_id: str | int) -> bool:
        """Say that code of this owner is coming."""
        ...

    async def position(self, execution_id: str) -> int:
        """Its place among all that wait, from 1; 0 where it does not wait."""
        ...

    async def cancel(self, execution_id: str) -> bool:
        """End it; False when it is not under way."""
        ...

    async def kill(self, execution_id: str) -> bool:
        """End it on an operator's word; raises `ExecutionNotFound`."""
        ...

    async def upload_file(
        self, user_id: str | int, file_data: bytes | BinaryIO | Path, filename: str
    ) -> StoredFile:
        """Store a file; raises `FileTooLarge`."""
        ...

    async def list_user_files(self, user_id: str | int) -> list[StoredFile]:
        """Live files, newest first."""
        ...

    async def get_file(self, file_id: str, user_id: str | int) -> StoredFile:
        """One live file; raises `FileNotFoundOrExpired`."""
        ...

    async def load_file(self, file_id: str, user_id: str | int) -> bytes:
        """Its bytes."""
        ...

    async def link(self, file_id: str, user_id: str | int, ttl: timedelta | None = None) -> str | None:
        """An address from which anybody fetches it; None where no public address is set."""
        ...

    async def delete_user_file(self, file_id: str, user_id: str | int) -> StoredFile:
        """Delete it."""
        ...

    async def clear_workspace(self, user_id: str | int) -> int:
        """Remove what lies in the workspace and is no stored file; how many files that were."""
        ...

    async def extend_file(self, file_id: str, user_id: str | int, hours: float | None = None) -> StoredFile:
        """Let it live `hours` from now."""
        ...

    async def list_executions(
        self, user_id: str | int | None = None, limit: int = 50, *, before: str | None = None
    ) -> list[Execution]:
        """The newest first, of one owner or of all; those older than `before`, to page through them."""
        ...

    async def get_execution(self, execution_id: str) -> Execution:
        """One by id or unique prefix; raises `ExecutionNotFound`."""
        ...

    async def forget_executions(self, user_id: str | int) -> int:
        """Forget what is over of what an owner has run; how many executions that were."""
        ...

    async def get_interpreter_status(self) -> InterpreterStatus:
        """The figures of the whole installation."""
        ...
