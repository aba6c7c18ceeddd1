"""One execution as the bot speaks of it, and the part of it that a model is told."""

import json
import re
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
    packages_hint: str | None = None
    """Why packages that were asked for are not there, and what to do instead."""


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
    packages: Sequence[str] = (),
) -> Run:
    """Run code; a refusal or a fault is a `Run` as well, for it is an answer to whoever asked.

    `packages` that the image lacks are not installed: the result names them as failed.
    """
    result, fault, hint = None, None, None
    try:
        result = await orchestrator.execute_code(code, owner, files, timeout, execution_id=execution_id)
        if packages:
            failed, hint = await _lacking(orchestrator, packages)
            result = result.model_copy(update={"failed_packages": (*result.failed_packages, *failed)})
    except SandglassError as error:
        fault = str(error)
    return Run(
        execution_id=execution_id, owner=owner, code=code, result=result, fault=fault, packages_hint=hint
    )


async def _lacking(orchestrator: Sandglass, packages: Sequence[str]) -> tuple[tuple[str, ...], str | None]:
    """Those that the image does not have, and a sentence about them."""
    status = await orchestrator.get_interpreter_status()
    have = {_plain_name(each) for each in status.installed_packages}
    failed = tuple(each for each in dict.fromkeys(packages) if _plain_name(each) not in have)
    if not failed:
        return (), None
    return failed, (
        f"Packages are not installed here: the policy is off. The image has {status.package_count} packages "
        "and the code has no network, so do it with those."
    )


def _plain_name(requirement: str) -> str:
    """`Scikit_Learn[x]>=1.4` as `scikit-learn`."""
    found = re.match(r"[A-Za-z0-9._-]+", requirement.strip())
    return re.sub(r"[-_.]+", "-", found[0]).lower() if found else ""


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
        "installed_packages": list(result.installed_packages),
        "failed_packages": list(result.failed_packages),
    }
    if run.packages_hint is not None:
        said["packages_hint"] = run.packages_hint
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
