"""`sandglass doctor`: everything that an execution stands on, each with a tick, or a cross and the remedy."""

import os
import stat
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.cli import errors, show
from orchestrator.cli.index import revision
from orchestrator.cli.session import log_to_stderr, opened, wait_for
from orchestrator.errors import SandglassError

if TYPE_CHECKING:
    from orchestrator import Settings
    from orchestrator.engine.docker import DockerEngine


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One line of the report; the remedy is empty where nothing is wrong."""

    check: str
    good: bool
    detail: str
    remedy: str = ""


def doctor(*, as_json: bool) -> int:
    """Examine, show, and return 3 when anything is wrong."""
    log_to_stderr()
    findings = wait_for(_examine())
    healthy = all(finding.good for finding in findings)
    if as_json:
        show.print_json({"healthy": healthy, "checks": [asdict(finding) for finding in findings]})
    else:
        _show(findings)
    return errors.DONE if healthy else errors.FAULT


async def _examine() -> list[Finding]:
    from orchestrator import Settings
    from orchestrator.engine.docker import DockerEngine

    settings = Settings.load()
    findings = [_root(), *_data_dir(settings.data_dir), _room(settings), _database(settings.data_dir)]
    engine = DockerEngine(settings.image, settings.runtime, settings.docker_host)
    try:
        findings += [await _engine(engine), await _image(engine, settings.image)]
    finally:
        await engine.close()
    if all(finding.good for finding in findings):
        findings += await _attacks(settings)
    return findings


async def _attacks(settings: "Settings") -> list[Finding]:
    """One line for each attack on this very host; what they show is what `run` and `serve` then go by."""
    try:
        async with opened(settings) as orchestrator:
            made = await orchestrator.attest(force=True)
    except SandglassError as error:
        return [Finding(check="attacks on this host", good=False, detail="-", remedy=str(error))]
    remedy = "Nothing is run here until this holds: correct the engine, the runtime or the image."
    return [
        Finding(check=result.name, good=result.held, detail=result.seen, remedy="" if result.held else remedy)
        for result in made.results
    ]


def _root() -> Finding:
    good = os.geteuid() == 0
    return Finding(
        check="runs as root",
        good=good,
        detail=f"uid {os.geteuid()}",
        remedy="" if good else "Run as root: each owner's files belong to a user id of their own.",
    )


def _data_dir(path: Path) -> list[Finding]:
    if not path.exists():
        nearest = next(parent for parent in path.absolute().parents if parent.exists())
        good = os.access(nearest, os.W_OK | os.X_OK)
        remedy = "" if good else f"Make {nearest} writable, or set SANDGLASS_DATA_DIR elsewhere."
        return [
            Finding(check="data directory", good=good, detail=f"{path} (made at first use)", remedy=remedy)
        ]
    writable = path.is_dir() and os.access(path, os.W_OK | os.X_OK)
    mode = stat.S_IMODE(path.stat().st_mode)
    private = not mode & 0o077 and path.stat().st_uid == os.geteuid()
    return [
        Finding(
            check="data directory",
            good=writable,
            detail=str(path),
            remedy=""
            if writable
            else f"Make {path} a writable directory, or set SANDGLASS_DATA_DIR elsewhere.",
        ),
        Finding(
            check="data directory is private",
            good=private,
            detail=f"mode {mode:04o}, uid {path.stat().st_uid}",
            remedy="" if private else f"Run `chmod 700 {path}` as its owner; others must not read it.",
        ),
    ]


def _room(settings: "Settings") -> Finding:
    path = settings.data_dir.absolute()
    while not path.exists():
        path = path.parent
    figures = os.statvfs(path)
    free = figures.f_bavail * figures.f_frsize
    good = free >= settings.disk_reserve
    return Finding(
        check="disk room",
        good=good,
        detail=f"{show.size(free)} free, {show.size(settings.disk_reserve)} kept in reserve",
        remedy="" if good else "Free some room; `sandglass sweep` removes what has expired.",
    )


def _database(data_dir: Path) -> Finding:
    from orchestrator.storage.database import HEAD

    path = data_dir / "index.sqlite3"
    try:
        found = revision(path)
    except SandglassError as error:
        return Finding(check="index", good=False, detail=str(path), remedy=str(error))
    if found is None and not path.exists():
        return Finding(check="index", good=True, detail="made at first use")
    good = found == HEAD
    remedy = "" if good else "Run `sandglass db upgrade`."
    return Finding(
        check="index", good=good, detail=f"revision {found or 'none'}, newest {HEAD}", remedy=remedy
    )


async def _engine(engine: "DockerEngine") -> Finding:
    async def _ask() -> str:
        return f"answers, {len(await engine.survey('doctor'))} unknown containers"

    return await _finding("engine", _ask)


async def _image(engine: "DockerEngine", name: str) -> Finding:
    async def _ask() -> str:
        info = await engine.image()
        return f"{name}, contract {info.contract}, lock {info.lock[:19] or 'none'}, {show.size(info.size)}"

    finding = await _finding("image", _ask)
    if finding.good and "lock none" in finding.detail:
        return Finding(check="image", good=False, detail=finding.detail, remedy="Run `make image-rebuild`.")
    return finding


async def _finding(check: str, ask: Callable[[], Awaitable[str]]) -> Finding:
    try:
        return Finding(check=check, good=True, detail=await ask())
    except SandglassError as error:
        return Finding(check=check, good=False, detail="-", remedy=str(error))


def _show(findings: list[Finding]) -> None:
    made = show.table("", "check", "found", "remedy")
    for finding in findings:
        mark = show.cell("✓", "bold green") if finding.good else show.cell("✗", "bold red")
        made.add_row(mark, show.cell(finding.check), show.cell(finding.detail), show.cell(finding.remedy))
    show.console().print(made)
