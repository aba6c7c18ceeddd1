"""One execution as the bot speaks of it, and the part of it that a model is told."""

import asyncio
import json
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import structlog

from bot.traces import trace
from bot.unbroken import unbroken
from orchestrator import ExecutionResult, Sandglass, SandglassError, StoredFile

log = structlog.get_logger(__name__)

KEPT = 8_000
"""Characters of each stream or text that a model is shown, half from the head and half from the tail."""
_LISTED = 100
_SKIPPED = 20
_LOOKS, _LOOK_AGAIN = 50, 0.1
"""How often, and every how many seconds, the index is asked for the end of what was stopped."""


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


class Witness(Protocol):
    """Whoever shows executions to people while the model goes on."""

    async def began(self, execution_id: str, code: str) -> None: ...

    async def ended(self, run: Run) -> None: ...


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
    except Exception as error:  # noqa: BLE001  (whoever saw it begin has to see an end of it)
        log.error("execution not served", execution_id=execution_id, **trace(error))
        fault = "Something went wrong on our side: run it again."
    return Run(
        execution_id=execution_id, owner=owner, code=code, result=result, fault=fault, packages_hint=hint
    )


async def run_before(
    witness: Witness,
    orchestrator: Sandglass,
    owner: str,
    code: str,
    *,
    files: Sequence[str] | None = None,
    timeout: float | None = None,
    packages: Sequence[str] = (),
) -> Run:
    """Run code before a witness, from its beginning to what came of it, also where it is stopped."""
    execution_id = new_execution_id()
    try:
        await witness.began(execution_id, code)
        run = await execute(
            orchestrator,
            owner,
            code,
            execution_id=execution_id,
            files=files,
            timeout=timeout,
            packages=packages,
        )
    except asyncio.CancelledError:
        await _stopped(witness, orchestrator, Run(execution_id=execution_id, owner=owner, code=code))
        raise
    await witness.ended(run)
    return run


@unbroken
async def _stopped(witness: Witness, orchestrator: Sandglass, run: Run) -> None:
    """What it had printed and made until it was stopped is kept, counted and shown like that of any other."""
    result = await _result_of(orchestrator, run.execution_id)
    if result is not None:
        await witness.ended(replace(run, result=result))


async def _result_of(orchestrator: Sandglass, execution_id: str) -> ExecutionResult | None:
    """What came of a stopped execution, which may still be ending elsewhere; None if it never ran."""
    for _ in range(_LOOKS):
        try:
            execution = await orchestrator.get_execution(execution_id)
        except SandglassError:
            return None
        if execution.state.is_terminal:
            return execution.result if execution.started_at is not None else None
        await asyncio.sleep(_LOOK_AGAIN)
    return None


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
        return json.dumps({"error": run.fault}, ensure_ascii=False)
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
        **listed_files(result.generated_files),
        **_counted(
            "skipped_files",
            [each.model_dump() for each in result.skipped_files[:_SKIPPED]],
            len(result.skipped_files),
        ),
        "installed_packages": list(result.installed_packages),
        "failed_packages": list(result.failed_packages),
    }
    if run.packages_hint is not None:
        said["packages_hint"] = run.packages_hint
    return json.dumps(said, ensure_ascii=False)


def listed_files(files: Sequence[StoredFile]) -> dict[str, Any]:
    """The first hundred, and how many more there are."""
    return _counted("files", [file_facts(each) for each in files[:_LISTED]], len(files))


def _counted(key: str, told: list[dict[str, Any]], of: int) -> dict[str, Any]:
    return {key: told} if of == len(told) else {key: told, f"more_{key}": of - len(told)}


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


def shortened(text: str, kept: int = KEPT) -> str:
    """Head and tail of a long text, with the number of characters left out between them."""
    return text if len(text) <= kept else abridged(text, text, len(text), kept)


def abridged(head: str, tail: str, characters: int, kept: int = KEPT) -> str:
    """The same of a text of so many characters, of which only a head and a tail are at hand."""
    half = kept // 2
    return f"{head[:half]}\n[... {characters - 2 * half} characters left out ...]\n{tail[-half:]}"
