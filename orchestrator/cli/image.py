"""`sandglass image`: what code runs in, and whether it works under the lockdown."""

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.cli import errors, show
from orchestrator.cli.session import ask, opened, wait_for
from orchestrator.errors import ImageMismatch

if TYPE_CHECKING:
    from orchestrator import ExecutionResult, Stream
    from orchestrator.domain.sandbox import ImageInfo

_VERIFY = "import runpy; runpy.run_path('/opt/sandglass/verify.py', run_name='__main__')"
_VERIFIER = "image-verify"

type Line = dict[str, Any]
"""What the check says of one distribution or of one other thing; `error` is null where all is well."""


def ls(*, as_json: bool) -> int:
    """Show the image that executions use, and what is installed in it, without starting it."""
    info = ask(lambda orchestrator: orchestrator.engine.image())
    if as_json:
        show.print_json(info)
        return errors.DONE
    out = show.console()
    out.print(
        show.pairs(
            (
                ("image", info.digest),
                ("runner contract", info.contract),
                ("lock", info.lock or None),
                ("created", info.created_at),
                ("size", show.size(info.size)),
                ("packages", len(info.packages)),
            )
        )
    )
    made = show.table("package", "version", "imported as")
    for package in info.packages:
        made.add_row(
            show.cell(package.get("name", "-")),
            show.cell(package.get("version", "-")),
            show.cell(_joined(package)),
        )
    if info.packages:
        out.print(made)
    return errors.DONE


def verify(*, as_json: bool) -> int:
    """Run the image's own check in a container like any other; 3 when it fails."""
    result, lines = wait_for(_verify(quiet=as_json))
    if as_json:
        sound = _is_sound(result, lines)
        show.print_json({"success": sound, "outcome": result.outcome, "checked": lines})
        return errors.DONE if sound else errors.FAULT
    require_sound(result, lines)
    show.console().print(show.cell(f"The image is sound: {len(lines)} checks passed.", "green"))
    return errors.DONE


async def checked(digest: str, *, quiet: bool) -> int:
    """Let another image check itself, as `verify`; how many checks passed. Raises `ImageMismatch`."""
    result, lines = await _verify(quiet=quiet, image=digest)
    require_sound(result, lines)
    return len(lines)


def _is_sound(result: "ExecutionResult", lines: "list[Line]") -> bool:
    return result.success and bool(lines) and not any(line.get("error") for line in lines)


def require_sound(result: "ExecutionResult", lines: "list[Line]") -> None:
    """Raise `ImageMismatch`, naming what failed."""
    if _is_sound(result, lines):
        return
    failed = [line for line in lines if line.get("error")]
    names = ", ".join(str(line.get("name") or line.get("check")) for line in failed) or result.outcome
    raise ImageMismatch(f"The image failed its check ({names}): rebuild it with `make image-rebuild`.")


async def _verify(*, quiet: bool, image: str | None = None) -> "tuple[ExecutionResult, list[Line]]":
    from orchestrator import Settings

    chosen = {} if image is None else {"image": image}
    with tempfile.TemporaryDirectory(prefix="sandglass-verify-") as directory:
        # Its own data directory: a check of the image leaves nothing in anybody's storage.
        settings = Settings.load(data_dir=Path(directory), **chosen)
        async with opened(settings) as orchestrator:
            follow = _Follower(await orchestrator.engine.image(), quiet=quiet)
            with follow.progress:
                result = await orchestrator.execute_code(
                    _VERIFY, _VERIFIER, timeout=settings.max_timeout, on_output=follow
                )
            return result, follow.lines


class _Follower:
    """Reads the check's lines, one JSON object each, and prints them above a bar that counts packages."""

    def __init__(self, info: "ImageInfo", *, quiet: bool) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        self.lines: list[Line] = []
        self._rest = b""
        self.progress = Progress(
            TextColumn("verifying"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=show.console(stderr=True),
            disable=quiet,
        )
        self._task = self.progress.add_task("", total=len(info.packages) or None)

    def __call__(self, stream: "Stream", piece: bytes) -> None:
        """Take a piece of the check's output."""
        if stream == "stderr":
            return
        *lines, self._rest = (self._rest + piece).split(b"\n")
        for text in lines:
            try:
                line = json.loads(text)
            except ValueError:  # something that a package printed when it was imported
                continue
            if isinstance(line, dict):
                self._take(line)

    def _take(self, line: "Line") -> None:
        self.lines.append(line)
        if "name" in line:
            self.progress.advance(self._task)
        style = "red" if line.get("error") else ""
        self.progress.print(show.cell(_sentence(line), style), soft_wrap=True)


def _sentence(line: "Line") -> str:
    verdict = line.get("error") or "ok"
    if "check" in line:
        return f"{line['check']}: {verdict}"
    bytes_used = line.get("size")
    used = show.size(bytes_used) if isinstance(bytes_used, int) else "-"
    name = f"{line.get('name')} {line.get('version')}"
    return f"{name:<40} {used:>10} {line.get('import_ms')!s:>8} ms  {verdict}"


def _joined(package: object) -> str:
    imports = package.get("imports", ()) if isinstance(package, dict) else ()
    return ", ".join(map(str, imports)) or "-"
