"""The operator's commands: `ps`, `inspect`, `logs`, `kill`, `stats`, `users`, `executions replay`."""

import sys
from typing import TYPE_CHECKING, Any

from orchestrator.cli import errors, show
from orchestrator.cli.session import ask, wait_for
from orchestrator.cli.text import many_lines

if TYPE_CHECKING:
    from orchestrator import Orchestrator
    from orchestrator.domain.operations import Defence, LockdownReading, Replay

_SHOWN = 70
"""Characters of a value in the table; `--json` has all."""


def ps(*, dead: bool, as_json: bool) -> int:
    """Show the containers of ours and the queue."""
    found = ask(lambda orchestrator: orchestrator.operations.population(dead=dead))
    if as_json:
        show.print_json(found)
        return errors.DONE
    if not (found.sandboxes or found.queue):
        show.console().print("Nothing runs and nothing waits.")
        return errors.DONE
    made = show.table("id", "owner", "kind", "state", "container", "status", "age", right=("age",))
    for one in found.sandboxes:
        made.add_row(
            show.cell(one.execution_id),
            show.cell(one.owner),
            show.cell(one.kind),
            show.cell(one.state or "-"),
            show.cell(one.container_id[:12]),
            show.cell(one.status),
            show.cell(f"{one.age:.0f} s"),
        )
    for waiting in found.queue:
        made.add_row(
            show.cell(waiting.execution_id),
            show.cell(waiting.owner),
            show.cell("-"),
            show.cell("QUEUED"),
            show.cell("-"),
            show.cell(f"waits, no. {waiting.position}"),
            show.cell(f"{waiting.waited:.0f} s"),
        )
    show.console().print(made)
    return errors.DONE


def inspect(execution_id: str, *, as_json: bool) -> int:
    """Show the lockdown that the engine has beside the one that was asked for; 3 where they differ."""
    found = ask(lambda orchestrator: orchestrator.operations.inspect(execution_id))
    reading = found.lockdown
    if as_json:
        show.print_json(found)
    else:
        to = show.console()
        row = found.execution
        to.print(
            show.pairs(
                (
                    ("execution", row.execution_id),
                    ("owner", row.owner),
                    ("state", row.state),
                    ("container", found.container_id),
                    ("image", row.image),
                    ("runtime", row.runtime),
                    ("attestation", show.attested(found.attestation)),
                )
            )
        )
        if reading is None:
            to.print("It has no container (any more), so there is no lockdown to read back.")
        else:
            to.print(_defences(reading))
            for difference in reading.differences:
                to.print(show.cell(f"DIFFERS: {difference}", "bold red"))
            if not reading.differences:
                to.print(show.cell("Everything is as it was asked for.", "green"))
    return errors.FAULT if reading is not None and reading.differences else errors.DONE


def _defences(reading: "LockdownReading") -> Any:
    made = show.table("field", "asked for", "effective", "")
    for one in reading.defences:
        differs = any(phrase.startswith(f"{one.name} ") for phrase in reading.differences)
        style = "bold red" if differs else ""
        made.add_row(
            show.cell(one.name),
            show.cell(_brief(one.wished), style),
            show.cell(_brief(one.effective) if differs or not _same(one) else "the same", style),
            show.cell("DIFFERS" if differs else "", style),
        )
    return made


def _same(one: "Defence") -> bool:
    return bool(one.wished == one.effective)


def _brief(value: object) -> str:
    text = str(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


def logs(execution_id: str, *, as_json: bool) -> int:
    """Write the kept output to stdout and the kept error output to stderr."""
    found = ask(lambda orchestrator: orchestrator.operations.logs(execution_id))
    if as_json:
        show.print_json(found)
        return errors.DONE
    sys.stdout.write(many_lines(found.output))
    sys.stdout.flush()
    sys.stderr.write(many_lines(found.error))
    if found.truncated:
        show.console(stderr=True).print("The stored output is shortened: its head and tail were kept.")
    if found.note:
        show.console(stderr=True).print(show.cell(found.note))
    return errors.DONE


def kill(execution_id: str, *, as_json: bool) -> int:
    """End one execution, in whichever process it runs; its output and files are kept."""

    async def _kill(orchestrator: "Orchestrator") -> tuple[bool, str, str]:
        row = await orchestrator.get_execution(execution_id)
        killed = await orchestrator.kill(row.execution_id)
        return killed, row.execution_id, (await orchestrator.get_execution(row.execution_id)).state

    killed, whole_id, state = ask(_kill)
    if as_json:
        show.print_json({"execution_id": whole_id, "killed": killed, "state": state})
    elif killed:
        show.console().print(show.cell(f"Killed {whole_id}; what it had printed and written is kept."))
    else:
        show.console().print(show.cell(f"{whole_id} had ended before ({state}); nothing was killed."))
    return errors.DONE


def stats(*, as_json: bool) -> int:
    """Show what every running sandbox takes now."""
    found = ask(lambda orchestrator: orchestrator.operations.stats())
    if as_json:
        show.print_json(found)
        return errors.DONE
    if not found:
        show.console().print("Nothing runs.")
        return errors.DONE
    made = show.table(
        "id", "owner", "cores", "memory", "limit", "pids", right=("cores", "memory", "limit", "pids")
    )
    for one in found:
        made.add_row(
            show.cell(one.execution_id),
            show.cell(one.owner),
            show.cell(f"{one.cpu:.2f}"),
            show.cell(show.size(one.memory)),
            show.cell(show.size(one.memory_limit)),
            show.cell(one.pids),
        )
    show.console().print(made)
    return errors.DONE


def users_ls(*, as_json: bool) -> int:
    """List everybody who has a workspace."""
    found = ask(lambda orchestrator: orchestrator.operations.users())
    if as_json:
        show.print_json(found)
        return errors.DONE
    if not found:
        show.console().print("Nobody has run anything yet.")
        return errors.DONE
    figures = ("uid", "executions", "files", "size")
    made = show.table("owner", *figures, "last execution (UTC)", right=figures)
    for user in found:
        made.add_row(
            show.cell(user.owner),
            show.cell(user.uid),
            show.cell(user.executions),
            show.cell(user.files),
            show.cell(show.size(user.bytes)),
            show.cell(show.moment(user.last_execution_at)),
        )
    show.console().print(made)
    return errors.DONE


def users_show(owner: str, *, as_json: bool) -> int:
    """Show one owner's figures."""
    user = ask(lambda orchestrator: orchestrator.operations.user(owner))
    if as_json:
        show.print_json(user)
        return errors.DONE
    show.console().print(
        show.pairs(
            (
                ("owner", user.owner),
                ("uid in sandboxes", user.uid),
                ("first seen (UTC)", show.moment(user.created_at)),
                ("executions", user.executions),
                ("of them unfinished", user.unfinished),
                ("last execution (UTC)", show.moment(user.last_execution_at)),
                ("live files", f"{user.files} ({show.size(user.bytes)})"),
            )
        )
    )
    return errors.DONE


def replay(execution_id: str, *, as_json: bool) -> int:
    """Run it again and say what differs; 1 where the program failed."""

    async def _replay() -> "Replay":
        from orchestrator.cli.session import opened

        async with opened() as orchestrator:
            return await orchestrator.replay(execution_id)

    found = wait_for(_replay())
    if as_json:
        show.print_json(found)
        return errors.DONE if found.result.success else errors.PROGRAM_FAILED
    sys.stdout.write(many_lines(found.result.output))
    sys.stdout.flush()
    sys.stderr.write(many_lines(found.result.error))
    to = show.console(stderr=True)
    show.summary(found.result, to)
    for difference in found.differences:
        to.print(show.cell(f"differs: {difference}", "yellow"))
    if not found.differences:
        to.print(show.cell("Nothing differs from the original.", "green"))
    return errors.DONE if found.result.success else errors.PROGRAM_FAILED
