"""Every error a caller can meet: one sentence with the remedy, one exit code.

    SandglassError                      3
    ├── Refused                         2   the request, not us
    │   ├── InvalidRequest
    │   ├── FileNotFoundOrExpired           (also a FileNotFoundError)
    │   ├── FileTooLarge
    │   ├── ExecutionNotFound
    │   ├── LinkNotFound
    │   ├── QueueFull
    │   ├── RateLimited
    │   ├── WorkspaceFull
    │   └── ConfigurationError
    └── Fault                           3   ours or the engine's
        ├── ServiceUnavailable
        ├── EngineUnavailable
        ├── EngineFault
        ├── ImageMissing
        ├── ImageMismatch
        ├── LockdownMismatch
        ├── HostUnsafe
        ├── StorageFault
        ├── DiskReserveReached
        ├── IllegalTransition
        └── LeaseLost

A failing user program is a result, never one of these.
"""


class SandglassError(Exception):
    """Root of the tree; `str(error)` is one sentence that a person can act on."""

    exit_code = 3


class Refused(SandglassError):
    """The request cannot be served as it stands."""

    exit_code = 2


class InvalidRequest(Refused):
    """A value of the request is out of bounds or malformed."""


class FileNotFoundOrExpired(Refused, FileNotFoundError):
    """The reference names no live file of this owner; foreign, expired and unknown look the same."""

    def __init__(self, ref: str, available: tuple[str, ...] = ()) -> None:
        listed = ", ".join(available[:10]) if available else "none"
        super().__init__(f"File not found or expired: {ref!r}. Available files: {listed}.")
        self.ref = ref
        self.available = available

    def __str__(self) -> str:
        return str(self.args[0])


class FileTooLarge(Refused):
    """An upload is larger than one stored file may be."""


class ExecutionNotFound(Refused):
    """No execution with this id."""


class LinkNotFound(Refused):
    """A signed link that is forged or expired, or whose file is gone; which of them is not said."""


class QueueFull(Refused):
    """As many executions wait as may wait."""


class RateLimited(Refused):
    """This owner has started as many executions as it may in a minute; `retry_after` in seconds."""

    def __init__(self, sentence: str, retry_after: float = 0.0) -> None:
        super().__init__(sentence)
        self.retry_after = retry_after


class WorkspaceFull(Refused):
    """So much over its quota that no code is let into it, not even to delete."""


class ConfigurationError(Refused):
    """A setting is malformed or contradicts another."""


class Fault(SandglassError):
    """Ours or the engine's failure; never the user's code."""


class ServiceUnavailable(Fault):
    """No Sandglass service answers at the address, or it stopped in the middle."""


class EngineUnavailable(Fault):
    """No Docker Engine answers."""


class EngineFault(Fault):
    """The engine answered with an error, or not in time."""


class ImageMissing(Fault):
    """The sandbox image is not in the engine; executions never pull."""


class ImageMismatch(Fault):
    """The image speaks another runner contract, or is not the one that was pinned."""


class LockdownMismatch(Fault):
    """The created container differs from its specification, so it was not started."""


class HostUnsafe(Fault):
    """An attack on this very host got through, so nothing is run on it."""


class StorageFault(Fault):
    """The index or the blob store refused a read or a write."""


class DiskReserveReached(Fault):
    """Too little room is left on the data disk to run anything safely."""


class IllegalTransition(Fault):
    """The state machine has no such edge."""


class LeaseLost(Fault):
    """Somebody else has taken over this execution; nothing was committed."""
