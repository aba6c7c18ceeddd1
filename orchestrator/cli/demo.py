"""`sandglass demo`: real code in real containers, real files back, each promise checked as it is shown."""

import shutil
import tempfile
import time
from collections.abc import Mapping
from datetime import timedelta
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.cli import errors, show
from orchestrator.cli.session import opened, wait_for
from orchestrator.errors import Fault, FileNotFoundOrExpired, InvalidRequest

if TYPE_CHECKING:
    from rich.console import Console

    from orchestrator import ExecutionResult, Orchestrator, Settings, StoredFile

_OWNER = "demo"
_LATER = timedelta(hours=49)
_SHOWN_LINES = 8
_SECONDS = 120.0


class BrokenPromise(Fault):  # what happened, in the words of the demonstration
    """The demonstration showed something other than what is documented."""


def demo(keep: Path | None) -> int:
    """Show it all in a data directory of its own, removed at the end unless one was named."""
    from orchestrator import Settings

    if keep is not None and keep.exists() and any(keep.iterdir()):
        raise InvalidRequest(f"{keep} is not empty: name a new directory for --keep.")
    directory = keep or Path(tempfile.mkdtemp(prefix="sandglass-demo-"))
    try:
        return wait_for(_Demo(Settings.load(data_dir=directory.absolute(), file_ttl_hours=48)).show())
    finally:
        if keep is None:
            shutil.rmtree(directory)


class _Demo:
    """The four acts, one after the other."""

    def __init__(self, settings: "Settings") -> None:
        self._settings = settings
        self._out: Console = show.console()
        self._started = time.monotonic()

    async def show(self) -> int:
        """Play every act; raises `BrokenPromise` at the first surprise."""
        async with opened(self._settings) as orchestrator:
            sales = await self._four_files(orchestrator)
            await self._load_again(orchestrator, sales)
            await self._five_formats(orchestrator)
        await self._two_days_later(sales)
        self._out.print()
        self._out.print(
            show.cell(
                f"Everything was as promised, in {time.monotonic() - self._started:.1f} s.", "bold green"
            )
        )
        return errors.DONE

    async def _four_files(self, orchestrator: "Orchestrator") -> "StoredFile":
        self._heading("1. One execution, four files of four types")
        result = await self._run(orchestrator, "four_files.py")
        found = self._promise_files(
            result,
            {"sales.csv": "data", "summary.json": "structured", "chart.png": "image", "report.txt": "text"},
        )
        return found["sales.csv"]

    async def _load_again(self, orchestrator: "Orchestrator", sales: "StoredFile") -> None:
        self._heading("2. A second container loads that file, by id and by name, and plots it")
        result = await self._run(orchestrator, "load_again.py", file_id=sales.file_id)
        self._promise_files(result, {"weekly.png": "image"})
        plot = await orchestrator.load_file(result.generated_file_ids[0], _OWNER)
        _promise(plot.startswith(b"\x89PNG"), "the plot is a PNG image")

    async def _five_formats(self, orchestrator: "Orchestrator") -> None:
        self._heading("3. Five export formats of 365 rows, read back in another container")
        result = await self._run(orchestrator, "five_formats.py")
        kinds = {
            "year.csv": "data",
            "year.parquet": "data",
            "year.json": "structured",
            "year.xlsx": "data",
            "year.txt": "text",
        }
        self._promise_files(result, kinds)
        await self._run(orchestrator, "check_formats.py")

    async def _two_days_later(self, sales: "StoredFile") -> None:
        from orchestrator import SystemClock

        self._heading("4. The clock moves 49 hours on: the files have expired")
        clock = SystemClock(_LATER)
        async with opened(self._settings, clock=clock) as orchestrator:
            _promise(not await orchestrator.list_user_files(_OWNER), "no file is listed any more")
            await self._promise_expired(orchestrator, sales)
            await self._sweep(orchestrator)
            result = await self._run(orchestrator, "too_late.py", file_id=sales.file_id, succeeds=False)
            _promise("File not found or expired" in result.error, "code inside a container hears the same")

    async def _sweep(self, orchestrator: "Orchestrator") -> None:
        report = await orchestrator.sweep()
        self._out.print(
            show.cell(
                f"The sweep deleted {report.expired_files} files ({show.size(report.expired_bytes)}), "
                f"{report.workspace_files} workspace copies and {report.empty_directories} empty directories "
                f"in {report.duration:.2f} s."
            )
        )
        _promise(report.expired_files == 10, "the sweep deletes all ten files")
        _promise(report.workspace_files == 10, "the sweep deletes their copies in the workspace")
        blobs = [path for path in (self._settings.data_dir / "blobs").rglob("*") if path.is_file()]
        _promise(not blobs, "no bytes are left")

    async def _promise_expired(self, orchestrator: "Orchestrator", sales: "StoredFile") -> None:
        try:
            await orchestrator.load_file(sales.file_id, _OWNER)
        except FileNotFoundOrExpired as error:
            self._out.print(show.cell(str(error), "yellow"))
        else:
            raise BrokenPromise("An expired file could still be read; this is a defect, please report it.")

    async def _run(
        self, orchestrator: "Orchestrator", name: str, *, file_id: str = "", succeeds: bool = True
    ) -> "ExecutionResult":
        code = (files("orchestrator.cli") / "demo_code" / name).read_text("utf-8").replace("FILE_ID", file_id)
        self._listing(code)
        result = await orchestrator.execute_code(code, _OWNER, timeout=_SECONDS)
        for line in (result.output if succeeds else result.error.splitlines()[-1]).splitlines():
            self._out.print(show.cell(f"  {line}"))
        show.summary(result, self._out)
        if result.success is not succeeds:
            for line in result.error.splitlines()[-12:]:
                self._out.print(show.cell(line, "red"), soft_wrap=True)
        _promise(result.success is succeeds, f"{name} {'succeeds' if succeeds else 'fails'}")
        return result

    def _promise_files(self, result: "ExecutionResult", kinds: Mapping[str, str]) -> "dict[str, StoredFile]":
        found = {file.path: file for file in result.generated_files}
        actual = {path: file.type for path, file in found.items()}
        _promise(actual == kinds, f"the files are {dict(kinds)}, not {actual}")
        return found

    def _heading(self, title: str) -> None:
        from rich.rule import Rule

        self._out.print()
        self._out.print(Rule(show.cell(title, "bold"), align="left"))

    def _listing(self, code: str) -> None:
        lines = [line for line in code.splitlines() if line and not line.startswith(("import ", "from "))]
        for line in lines[:_SHOWN_LINES]:
            self._out.print(show.cell(f"  {line}", "cyan"), no_wrap=True, overflow="ellipsis", crop=True)
        if len(lines) > _SHOWN_LINES:
            self._out.print(show.cell(f"  ... {len(lines) - _SHOWN_LINES} more lines", "dim"))
        self._out.print()


def _promise(kept: bool, what: str) -> None:
    if not kept:
        raise BrokenPromise(f"Not as promised: {what}; this is a defect, please report it.")
