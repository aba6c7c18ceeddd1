"""What happened to a program, decided from evidence that the program cannot forge."""

from dataclasses import dataclass
from enum import StrEnum

from orchestrator.domain.limits import GIB, MIB, Limits


class Outcome(StrEnum):
    """How the container ended; only `OK` is without a hint."""

    OK = "ok"
    NONZERO_EXIT = "nonzero_exit"
    TIMED_OUT = "timed_out"
    OUT_OF_MEMORY = "out_of_memory"
    PROCESS_LIMIT = "process_limit"
    DISK_LIMIT = "disk_limit"
    OUTPUT_LIMIT = "output_limit"
    CANCELLED = "cancelled"
    KILLED = "killed"


class KillReason(StrEnum):
    """Why we killed a container; noted before the kill."""

    TIMEOUT = "timeout"
    CANCEL = "cancel"
    OUTPUT = "output"
    DISK = "disk"
    OPERATOR = "operator"


class DiskLimit(StrEnum):
    """Which bound of disk a program ran into."""

    BYTES = "bytes"
    INODES = "inodes"
    FILE = "file"
    RESERVE = "reserve"


@dataclass(frozen=True, kw_only=True, slots=True)
class ExitStatus:
    """The engine's evidence about a dead container."""

    exit_code: int
    oom_killed: bool = False
    """The engine's flag, asked for where the exit code is that of a kill; it decides no other end."""
    pids_refused: bool = False
    """The kernel refused a fork because the pids limit was reached."""
    disk_full: bool = False
    """The workspace was found at its byte or inode quota, or a file at the size limit."""


_KILLED_BECAUSE = {
    KillReason.TIMEOUT: Outcome.TIMED_OUT,
    KillReason.CANCEL: Outcome.CANCELLED,
    KillReason.OUTPUT: Outcome.OUTPUT_LIMIT,
    KillReason.DISK: Outcome.DISK_LIMIT,
    KillReason.OPERATOR: Outcome.KILLED,
}

SIGKILL_EXIT = 137


def decide_outcome(status: ExitStatus, reason: KillReason | None) -> Outcome:
    """Decide in this order: our own reason, the engine's OOM flag, exit 0, evidence of a limit, the rest.

    The OOM flag is also set when only a child was killed and the program went on; then the
    program's own exit code stands.
    """
    if reason is not None:
        return _KILLED_BECAUSE[reason]
    if status.oom_killed and status.exit_code == SIGKILL_EXIT:
        return Outcome.OUT_OF_MEMORY
    evidence = (
        (status.exit_code == 0, Outcome.OK),
        (status.exit_code == SIGKILL_EXIT, Outcome.KILLED),
        (status.pids_refused, Outcome.PROCESS_LIMIT),
        (status.disk_full, Outcome.DISK_LIMIT),
    )
    return next((outcome for holds, outcome in evidence if holds), Outcome.NONZERO_EXIT)


def hint_for(
    outcome: Outcome,
    limits: Limits,
    *,
    exit_code: int | None,
    reason: KillReason | None = None,
    disk: DiskLimit | None = None,
) -> str | None:
    """One line that a person or a model can act on; None for `ok` alone."""
    if outcome is Outcome.OK:
        return None
    if outcome is Outcome.NONZERO_EXIT:
        return _exit_hint(exit_code)
    if outcome is Outcome.KILLED and reason is KillReason.OPERATOR:
        return "Killed by an operator. Ask them why before you run it again."
    sentence = _HINTS[outcome]
    if outcome is Outcome.DISK_LIMIT and disk is not None:
        sentence = _DISK_HINTS[disk]
    return sentence.format(
        seconds=f"{limits.wall_seconds:g}",
        memory=_size(limits.memory),
        pids=limits.pids,
        file=limits.file_bytes // 1_000_000,
        workspace=_size(limits.workspace_bytes),
        inodes=limits.workspace_inodes,
        output=_size(limits.output_kill),
    )


_HINTS = {
    Outcome.TIMED_OUT: "Timed out: the limit was {seconds} s. Do less at once, or ask for a longer timeout.",
    Outcome.OUT_OF_MEMORY: "Out of memory: the limit is {memory}. Load the file in chunks.",
    Outcome.PROCESS_LIMIT: "Too many processes: the limit is {pids}, threads counted. Use a smaller pool.",
    Outcome.DISK_LIMIT: (
        "Out of disk: a file may have {file} MB and the workspace {workspace} in {inodes} files. "
        "Delete files, or write less."
    ),
    Outcome.OUTPUT_LIMIT: "Too much output: the limit is {output}. Print less, or write it to a file.",
    Outcome.CANCELLED: "Cancelled before it ended. Run it again when you want the rest.",
    Outcome.KILLED: (
        "Killed by a signal that neither a limit nor an operator sent. Check for os.kill in the code."
    ),
}


_DISK_HINTS = {
    DiskLimit.BYTES: "Out of disk: the workspace may hold {workspace}. Delete files in it, or write less.",
    DiskLimit.INODES: (
        "Out of disk: the workspace may hold {inodes} files and directories. "
        "Delete some, or write fewer and larger ones."
    ),
    DiskLimit.FILE: "Out of disk: one file may have {file} MB. Write several smaller ones.",
    DiskLimit.RESERVE: (
        "Out of disk: the disk of this host is nearly full, so what still writes is ended. "
        "Write less, or try again later."
    ),
}


def _exit_hint(exit_code: int | None) -> str:
    if exit_code is not None and exit_code > 128:
        return (
            f"Died of signal {exit_code - 128} (exit code {exit_code}). "
            "Look for native code, or a signal that it sent itself."
        )
    if exit_code == 1:
        return "The program ended with an error (exit code 1). Read the last lines of the error output."
    return f"The program chose exit code {exit_code}. Read its error output."


def _size(count: int) -> str:
    return f"{count // GIB} GiB" if count % GIB == 0 else f"{count // MIB} MiB"
