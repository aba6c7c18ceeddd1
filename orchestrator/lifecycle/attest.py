"""Whether this host holds: attacked once under the same circumstances, remembered, and a refusal when not."""

import hashlib
from datetime import datetime, timedelta
from typing import Protocol

from orchestrator.domain.attestation import Attestation, Circumstances
from orchestrator.domain.sandbox import SandboxKind
from orchestrator.errors import HostUnsafe
from orchestrator.lifecycle import attacks
from orchestrator.lifecycle.ports import Clock
from orchestrator.lifecycle.probe import Target, attack

GRACE = timedelta(minutes=10)
"""A probe container older than this belongs to nobody any more."""


_seen_by_this_process: dict[Circumstances, Attestation] = {}
"""Several installations of one process stand on the same host: one attack speaks for all of them."""


class Attestations(Protocol):
    """Where attestations are kept."""

    async def newest(self, circumstances: Circumstances) -> Attestation | None: ...

    async def add(self, attestation: Attestation) -> Attestation: ...


class Attestor:
    """Answers from memory, from the index, or by attacking, in this order."""

    def __init__(self, store: Attestations, clock: Clock, *, host: str) -> None:
        self._store = store
        self._clock = clock
        self._host = host
        self._known: Attestation | None = None

    async def attest(self, target: Target, *, identity: str, force: bool = False) -> Attestation:
        """The newest attestation of these circumstances, made by attacking where there is none, or `force`.

        `identity` names the engine's version and the lockdown that it is given.
        """
        circumstances = self._circumstances(target, identity)
        if not force and (known := await self._remembered(circumstances)) is not None:
            return known
        await _clear(target, self._clock.now())
        attested = Attestation(
            circumstances=circumstances, results=await attack(target), at=self._clock.now()
        )
        return await self._remember(attested)

    async def _remembered(self, circumstances: Circumstances) -> Attestation | None:
        """What is known and was good: a failure may have been an overloaded moment: look again."""
        if self._known is not None and self._known.circumstances == circumstances:
            return self._known
        if (stored := await self._store.newest(circumstances)) is not None and not stored.failed:
            self._known = stored
            return stored
        if (seen := _seen_by_this_process.get(circumstances)) is not None:
            return await self._remember(seen)
        return None

    async def _remember(self, attested: Attestation) -> Attestation:
        kept = await self._store.add(attested)
        if not kept.failed:
            self._known = _seen_by_this_process[kept.circumstances] = kept
        return kept

    def _circumstances(self, target: Target, identity: str) -> Circumstances:
        code = "\n".join((attacks.BORDERS, attacks.THREADS, attacks.MEMORY, identity, repr(target.limits)))
        return Circumstances(
            host=self._host,
            engine=identity.partition("\n")[0],
            runtime=target.runtime,
            image=target.image,
            code=hashlib.sha256(code.encode()).hexdigest(),
        )


def require(attestation: Attestation) -> None:
    """Raise `HostUnsafe`, naming the attacks that got through, unless every defence held."""
    if attestation.failed:
        names = ", ".join(result.name for result in attestation.failed)
        raise HostUnsafe(
            f"This host does not hold what a sandbox promises ({names}), so nothing is run here: "
            "`sandglass doctor` attacks it again and shows what was seen."
        )


async def _clear(target: Target, now: datetime) -> None:
    """Remove what a probe that was killed has left."""
    for container in await target.engine.survey(target.instance):
        if container.kind is SandboxKind.PROBE and now - container.created_at > GRACE:
            await target.engine.remove(container.container_id)
