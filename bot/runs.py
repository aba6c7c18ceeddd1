"""One execution as the bot speaks of it, and the part of it that a model is told."""

import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator import ExecutionResult, Sandglass, SandglassError, StoredFile

_KEPT = 8_000
"""Characters of each stream that a model is shown, half from the head and half from the tail."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """An execution that ended: a result, or the sentence of what prevented one."""

    execution_id: str
    owner: str
    code: str
    result: ExecutionResult | None = None
    fault: str | None = None


def new_execution_id() -> str:
    """An id chosen before the execution, so that it can be stopped while it is queued."""
    return secrets.token_hex(8)


async def execute(
    orchestrator: Sandglass,
    owner: str,
    code: str,
    *,
    execution_id: str,
    files: Sequence[str] | None = None,
    timeout: float | None = None,
) -> Run:
    """Run code; a refusal or a fault is a `Run` as well, for it is an answer to whoever asked."""
    result, fault = None, None
    try:
        result = await orchestrator.execute_code(code, owner, files, timeout, execution_id=execution_id)
    except SandglassError as error:
        fault = str(error)
    return Run(execution_id=execution_id, owner=owner, code=code, result=result, fault=fault)


def told(run: Run) -> str:
    """The JSON that a model gets."""
    result = run.result
    if result is None:
        return json.dumps({"error": run.fault})
    said: dict[str, Any] = {
        "execution_id": run.execution_id,
        "outcome": str(result.outcome),
        "hint": result.hint,
        "exit_code": result.exit_code,
        "output": shortened(result.output),
        "error": shortened(result.error),
        "output_bytes": result.output_bytes,
        "error_bytes": result.error_bytes,
        "seconds": round(result.execution_time, 3),
        "files": [file_facts(each) for each in result.generated_files],
        "skipped_files": [each.model_dump() for each in result.skipped_files],
    }
    return json.dumps(said, ensure_ascii=False)


def file_facts(file: StoredFile) -> dict[str, Any]:
    """What a model needs to know of a file."""
    return {
        "file_id": file.file_id,
        "filename": file.filename,
        "path": file.path,
        "type": file.type,
        "size": file.size,
        "expires_at": file.expires_at.isoformat(timespec="minutes") if file.expires_at else None,
    }


def shortened(text: str, kept: int = _KEPT) -> str:
    """Head and tail of a long text, with the number of characters left out between them."""
    if len(text) <= kept:
        return text
    half = kept // 2
    return f"{text[:half]}\n[... {len(text) - 2 * half} characters left out ...]\n{text[-half:]}"
