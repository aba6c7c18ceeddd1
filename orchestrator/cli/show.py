"""Rendering: tables for people, JSON for programs. File names and outputs are foreign text, never markup."""

import json
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from orchestrator.cli.text import one_line

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from orchestrator import Attestation, ExecutionResult, SkippedFile, StoredFile

_GOOD, _BAD, _DIM = "green", "red", "dim"
_WHOLE = ("id", "size", "expires in")
"""Columns that are never folded: an id is there to be copied."""


def console(*, stderr: bool = False) -> "Console":
    """A console that interprets no markup and recolours nothing."""
    from rich.console import Console

    return Console(stderr=stderr, markup=False, highlight=False, emoji=False)


def cell(value: object, style: str = "") -> "Text":
    """Foreign text as one harmless line."""
    from rich.text import Text

    return Text(one_line(str(value)), style=style)


def table(*columns: str, right: Sequence[str] = ()) -> "Table":
    """An empty table in the house style; the columns in `right` are figures."""
    from rich import box
    from rich.table import Table

    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for name in columns:
        made.add_column(
            name,
            justify="right" if name in right else "left",
            overflow="fold",
            no_wrap=name in _WHOLE,
        )
    return made


def pairs(rows: Iterable[tuple[str, object]]) -> "Table":
    """Names and values, one pair a line."""
    from rich.table import Table

    made = Table.grid(padding=(0, 2))
    for name, value in rows:
        made.add_row(cell(name, _DIM), cell("-" if value is None else value))
    return made


def print_json(value: Any) -> None:
    """Write `value` to stdout as JSON; models, dataclasses, times and paths are understood."""
    from pydantic import TypeAdapter

    plain = TypeAdapter(Any).dump_python(value, mode="json")
    sys.stdout.write(json.dumps(plain, indent=2) + "\n")


def files_table(files: Sequence["StoredFile"], now: datetime | None = None) -> "Table":
    """Name, type, size, id and what is left of each file's life."""
    made = table("name", "type", "size", "id", "expires in", right=("size",))
    for file in files:
        made.add_row(
            cell(file.path),
            cell(file.type),
            cell(size(file.size)),
            cell(file.file_id, _DIM),
            cell(expiry(file.expires_at, now)),
        )
    return made


def skipped_table(skipped: Sequence["SkippedFile"]) -> "Table":
    made = table("not stored", "size", "reason", right=("size",))
    for item in skipped:
        made.add_row(cell(item.path), cell(size(item.size)), cell(item.reason))
    return made


def summary(result: "ExecutionResult", to: "Console", now: datetime | None = None) -> None:
    """What came of an execution, below its output."""
    from rich.text import Text

    line = Text()
    line.append(result.outcome, style=f"bold {_GOOD if result.success else _BAD}")
    parts = [f"{result.execution_time:.2f} s"]
    if result.exit_code is not None:
        parts.append(f"exit code {result.exit_code}")
    parts.append(result.execution_id)
    line.append(" · " + " · ".join(parts), style=_DIM)
    to.print(line)
    if result.hint:
        to.print(cell(result.hint, "yellow"))
    if result.truncated:
        to.print(cell("The stored output is shortened: its head and tail were kept.", "yellow"))
    if result.generated_files:
        to.print(files_table(result.generated_files, now))
    if result.skipped_files:
        to.print(skipped_table(result.skipped_files))


def size(count: int) -> str:
    """Bytes in decimal units: `142 B`, `1.3 kB`, `50.0 MB`."""
    amount = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000 or unit == "GB":
            return f"{count} B" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    raise AssertionError


def expiry(moment: datetime | None, now: datetime | None = None) -> str:
    """What is left: `47 h 59 min`, `expired` or `never`."""
    if moment is None:
        return "never"
    left = moment - (now or datetime.now(UTC))
    if left <= timedelta():
        return "expired"
    minutes = int(left.total_seconds()) // 60
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min"


def attested(attestation: "Attestation | None") -> str | None:
    """The attack on the host that an execution stands on, in a line."""
    if attestation is None:
        return None
    failed = len(attestation.failed)
    outcome = f"{len(attestation.results) - failed} attacks held" + (f", {failed} did not" if failed else "")
    return f"no. {attestation.id} of {moment(attestation.at)}: {outcome}"


def moment(value: datetime | None) -> str:
    """A UTC time to the second, or a dash."""
    return "-" if value is None else value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
