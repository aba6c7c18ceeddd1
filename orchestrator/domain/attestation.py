"""What attacks on this very host have shown: which held, when, and under what it is still true."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict


class ProbeResult(BaseModel):
    """One attack: did the defence hold, and what was seen."""

    model_config = ConfigDict(frozen=True)

    name: str
    held: bool
    seen: str


class Circumstances(BaseModel):
    """What an attestation is about; it says nothing once one of these is another."""

    model_config = ConfigDict(frozen=True)

    host: str
    """The boot id: a new kernel is another host."""
    engine: str
    """The engine's version, as it names itself."""
    runtime: str
    image: str
    code: str
    """A digest of the attacks and of the lockdown that they met."""


class Attestation(BaseModel):
    """The results of every attack under certain circumstances."""

    model_config = ConfigDict(frozen=True)

    circumstances: Circumstances
    results: tuple[ProbeResult, ...]
    at: datetime
    id: int | None = None
    """Its number in the index that keeps it, by which executions name it; None where none does."""

    @property
    def failed(self) -> tuple[ProbeResult, ...]:
        """The attacks that got through."""
        return tuple(result for result in self.results if not result.held)
