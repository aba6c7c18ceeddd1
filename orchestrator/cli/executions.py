"""`sandglass executions`: what was run, and what came of it."""

from typing import TYPE_CHECKING

from orchestrator.cli import errors, show
from orchestrator.cli.session import ask
from orchestrator.cli.text import many_lines

if TYPE_CHECKING:
    from rich.console import Console

    from orchestrator import Attestation, Execution, Orchestrator


def ls(owner: str | None, limit: int, *, as_json: bool) -> int:
    """List the newest executions, of one owner or of all."""
    rows = ask(lambda orchestrator: orchestrator.list_executions(owner, limit))
    if as_json:
        show.print_json(rows)
        return errors.DONE
    if not rows:
        show.console().print("Nothing was run yet. `sandglass run -c 'print(1)'` is a beginning.")
        return errors.DONE
    made = show.table(
        "id", "owner", "state", "outcome", "created (UTC)", "seconds", "files", right=("seconds", "files")
    )
    for row in rows:
        result = row.result
        made.add_row(
            show.cell(row.execution_id),
            show.cell(row.owner),
            show.cell(row.state),
            show.cell(result.outcome if result else "-"),
            show.cell(show.moment(row.created_at)),
            show.cell(f"{result.execution_time:.2f}" if result else "-"),
            show.cell(len(result.generated_files) if result else "-"),
        )
    show.console().print(made)
    return errors.DONE


def show_one(execution_id: str, *, as_json: bool) -> int:
    """Show one execution in full."""

    async def _ask(orchestrator: "Orchestrator") -> tuple["Execution", "Attestation | None"]:
        row = await orchestrator.get_execution(execution_id)
        return row, await orchestrator.operations.attestation(row)

    row, attestation = ask(_ask)
    if as_json:
        show.print_json(row)
    else:
        _show(row, attestation, show.console())
    return errors.DONE


def _show(row: "Execution", attestation: "Attestation | None", to: "Console") -> None:
    to.print(
        show.pairs(
            (
                ("execution", row.execution_id),
                ("owner", row.owner),
                ("state", row.state),
                ("created", show.moment(row.created_at)),
                ("started", show.moment(row.started_at)),
                ("finished", show.moment(row.finished_at)),
                ("image", row.image),
                ("runtime", row.runtime),
                ("attestation", show.attested(attestation)),
                ("inputs", ", ".join(row.input_file_ids) or None),
                ("failure", row.failure),
            )
        )
    )
    _block("code", row.code, to)
    if row.result is not None:
        _block("output", row.result.output, to)
        _block("error", row.result.error, to)
        to.print()
        show.summary(row.result, to)


def _block(title: str, text: str, to: "Console") -> None:
    from rich.text import Text

    if text.strip():
        to.print()
        to.print(Text(title, style="bold"))
        to.print(Text(many_lines(text.rstrip("\n")).replace("\r", "\n")), soft_wrap=True)
