"""`sandglass run`: one execution, its output as it comes, its files afterwards."""

import asyncio
import secrets
import signal
import sys
import tokenize
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.cli import errors
from orchestrator.cli.saving import save_below
from orchestrator.cli.session import opened, wait_for
from orchestrator.cli.streaming import Outlet
from orchestrator.errors import InvalidRequest, SandglassError

if TYPE_CHECKING:
    from orchestrator import ExecutionResult, Orchestrator

STANDARD_INPUT = "-"


@dataclass(frozen=True, kw_only=True, slots=True)
class RunArguments:
    """The command line of one `run`."""

    script: str | None
    code: str | None
    owner: str
    files: Sequence[str]
    uploads: Sequence[Path]
    timeout: float | None
    out: Path | None
    as_json: bool


class GivenUp(SandglassError):  # the user did nothing wrong
    """The user interrupted twice and waits no longer."""

    exit_code = errors.FAULT


def run(arguments: RunArguments) -> int:
    """Run the code, show what came of it, return the exit code."""
    return wait_for(_run(arguments, _code(arguments)))


async def _run(arguments: RunArguments, code: str) -> int:
    async with opened() as orchestrator:
        references = await _references(orchestrator, arguments)
        result, read_to_the_end = await _execute(orchestrator, arguments, code, references)
        if arguments.as_json:
            sys.stdout.write(result.model_dump_json(indent=2) + "\n")
        elif read_to_the_end:
            _summarise(result)
        saved = await _save(orchestrator, arguments, result)
    if not result.success:
        return errors.PROGRAM_FAILED
    return errors.DONE if saved else errors.REFUSED


async def _execute(
    orchestrator: "Orchestrator", arguments: RunArguments, code: str, references: Sequence[str] | None
) -> tuple["ExecutionResult", bool]:
    execution_id = secrets.token_hex(8)

    def _cancel() -> None:
        cancelling.append(asyncio.ensure_future(orchestrator.cancel(execution_id)))

    cancelling: list[asyncio.Future[bool]] = []
    outlet = None if arguments.as_json else Outlet(_cancel)
    running = asyncio.ensure_future(
        orchestrator.execute_code(
            code,
            arguments.owner,
            references,
            arguments.timeout,
            on_output=outlet,
            execution_id=execution_id,
        )
    )
    _listen(_cancel, running)
    try:
        result = await running
    except asyncio.CancelledError as error:
        raise GivenUp(
            "Stopped waiting for the container to end; `sandglass reap` removes what is left of it."
        ) from error
    if outlet is not None:
        await outlet.drain()
    return result, outlet is None or not outlet.closed


def _listen(cancel: Callable[[], None], running: "asyncio.Future[ExecutionResult]") -> None:
    """The first Ctrl-C or SIGTERM cancels the execution, the second the waiting, the third the process."""
    loop = asyncio.get_running_loop()
    signals = (signal.SIGINT, signal.SIGTERM)
    seen = 0

    def _heard() -> None:
        nonlocal seen
        seen += 1
        if seen == 1:
            cancel()
            return
        for number in signals:
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_DFL)
        running.cancel()

    for number in signals:
        loop.add_signal_handler(number, _heard)


def _code(arguments: RunArguments) -> str:
    if (arguments.script is None) == (arguments.code is None):
        raise InvalidRequest(
            "One thing is run at a time: give a script, `-` for standard input, or code after -c."
        )
    if arguments.code is not None:
        return arguments.code
    if arguments.script == STANDARD_INPUT:
        return _decoded(sys.stdin.buffer.read(), "standard input")
    path = Path(arguments.script or "")
    try:
        with tokenize.open(path) as file:
            return file.read()
    except (SyntaxError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"{path} is not Python source text: save it as UTF-8.") from error
    except OSError as error:
        raise InvalidRequest(f"Cannot read {path} ({error.strerror}): name a readable script.") from error


def _decoded(data: bytes, source: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"The code from {source} is not UTF-8 text: encode it so.") from error


async def _references(orchestrator: "Orchestrator", arguments: RunArguments) -> Sequence[str] | None:
    """The files that the run may see: those named and those uploaded now; None, all, where none is named."""
    uploaded = [await upload(orchestrator, arguments.owner, path) for path in arguments.uploads]
    if not arguments.files:
        return None
    return [*arguments.files, *uploaded]


async def upload(orchestrator: "Orchestrator", owner: str, path: Path) -> str:
    """Store the file at `path` for `owner` and return its id."""
    if not path.is_file():  # noqa: ASYNC240  # one stat of a file the caller named; nothing else runs on this loop
        raise InvalidRequest(f"There is no file {path} to upload: name a readable file.")
    try:
        return (await orchestrator.upload_file(owner, path, path.name)).file_id
    except PermissionError as error:
        raise InvalidRequest(f"Cannot read {path} ({error.strerror}): name a readable file.") from error


def _summarise(result: "ExecutionResult") -> None:
    from orchestrator.cli import show

    if result.output and not result.output.endswith("\n") and sys.stdout.isatty():
        sys.stdout.write("\n")
        sys.stdout.flush()
    show.summary(result, show.console(stderr=True))


async def _save(orchestrator: "Orchestrator", arguments: RunArguments, result: "ExecutionResult") -> bool:
    """Copy the generated files below `--out`; False where one could not be, each with its sentence."""
    if arguments.out is None:
        return True
    complete = True
    for file in result.generated_files:
        data = await orchestrator.load_file(file.file_id, arguments.owner)
        try:
            replaced = save_below(arguments.out, file.path, data)
        except InvalidRequest as error:
            complete = False
            errors.report(str(error), errors.REFUSED, as_json=arguments.as_json)
            continue
        if not arguments.as_json:
            from orchestrator.cli import show

            verb = "Replaced" if replaced else "Saved"
            show.console(stderr=True).print(show.cell(f"{verb} {arguments.out / file.path}", "dim"))
    return complete
