"""`status`, `sweep`, `reap` and `db upgrade`: the figures of an installation, and keeping it tidy."""

from dataclasses import asdict
from typing import TYPE_CHECKING

from orchestrator.cli import errors, show
from orchestrator.cli.session import ask

if TYPE_CHECKING:
    from orchestrator import InterpreterStatus, Orchestrator


def status(*, as_json: bool) -> int:
    """Show the figures that `get_interpreter_status` gives, of all processes of this installation."""
    figures = ask(_figures)
    if as_json:
        show.print_json(figures)
        return errors.DONE
    lifetime = figures.file_expiration_hours
    show.console().print(
        show.pairs(
            (
                ("image", figures.image or "none: `sandglass doctor` says why"),
                ("runtime", figures.runtime),
                ("packages", figures.package_count),
                ("running, queued, standby", f"{figures.running}, {figures.queued}, {figures.standby}"),
                ("stored files", f"{figures.total_user_files} ({figures.total_file_size_mb:g} MB)"),
                ("a file lives", "for ever" if lifetime == -1 else f"{lifetime:g} h"),
                ("a file may have", f"{figures.max_file_size_mb:g} MB"),
                ("last sweep (UTC)", show.moment(figures.last_cleanup)),
            )
        )
    )
    return errors.DONE


async def _figures(orchestrator: "Orchestrator") -> "InterpreterStatus":
    """This process runs nothing itself: who runs, waits or stands by is with the engine and the index."""
    from orchestrator.domain.sandbox import SandboxKind

    figures = await orchestrator.get_interpreter_status()
    if figures.image is None:
        return figures  # no engine answers: there is nobody to ask
    population = await orchestrator.operations.population()
    states = [(one.kind, one.state) for one in population.sandboxes]
    return figures.model_copy(
        update={
            "running": sum(state is not None and not state.is_terminal for _, state in states),
            "queued": len(population.queue),
            "standby": states.count((SandboxKind.STANDBY, None)),
        }
    )


def sweep(*, dry_run: bool, as_json: bool) -> int:
    """Delete what has expired, and show the report; on a terminal a long sweep shows how far it is."""
    from orchestrator.cli.progress import LateBar

    with LateBar() as bar:
        report = ask(lambda orchestrator: orchestrator.sweep(dry_run=dry_run, on_progress=bar))
    return _report(asdict(report), as_json=as_json)


def reap(*, dry_run: bool, as_json: bool) -> int:
    """End lost executions, remove their containers, and show the report."""
    return _report(asdict(ask(lambda orchestrator: orchestrator.reap(dry_run=dry_run))), as_json=as_json)


def db_upgrade(*, as_json: bool) -> int:
    """Bring the index to head; opening does the work, this says whether there was any."""
    from orchestrator import Settings
    from orchestrator.cli.index import revision
    from orchestrator.storage.database import HEAD

    path = Settings.load().data_dir / "index.sqlite3"
    before = revision(path)
    ask(lambda orchestrator: orchestrator.database.at_head())
    if as_json:
        show.print_json({"path": path, "before": before, "revision": HEAD, "upgraded": before != HEAD})
    elif before == HEAD:
        show.console().print(show.cell(f"The index {path} is at revision {HEAD} already."))
    else:
        show.console().print(show.cell(f"The index {path} is at revision {HEAD} now."))
    return errors.DONE


def _report(report: dict[str, object], *, as_json: bool) -> int:
    if as_json:
        show.print_json(report)
        return errors.DONE
    if report.pop("dry_run"):
        show.console().print("A dry run: nothing was changed.")
    show.console().print(
        show.pairs((name.replace("_", " "), _shown(value)) for name, value in report.items())
    )
    return errors.DONE


def _shown(value: object) -> object:
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "none"
    return f"{value:.3f} s" if isinstance(value, float) else value
