"""The rows of attestations: what attacks on this host have shown, newest by circumstances."""

from typing import Any

import sqlalchemy as sa

from orchestrator.domain.attestation import Attestation, Circumstances, ProbeResult
from orchestrator.storage.database import Database
from orchestrator.storage.tables import attestations


class SqlAttestations:
    """Implements the lifecycle's `Attestations` over the index."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def newest(self, circumstances: Circumstances) -> Attestation | None:
        """The last one made under exactly these circumstances."""
        columns = attestations.c
        wanted = [columns[name] == value for name, value in circumstances.model_dump().items()]
        return await self._first(sa.select(attestations).where(*wanted).order_by(columns.id.desc()).limit(1))

    async def get(self, number: int) -> Attestation | None:
        """The one of this number."""
        return await self._first(sa.select(attestations).where(attestations.c.id == number))

    async def add(self, attestation: Attestation) -> Attestation:
        """Keep it, and return it with the number that it has here."""
        values = attestation.circumstances.model_dump() | {
            "at": attestation.at,
            "results": [result.model_dump() for result in attestation.results],
        }
        async with self._database.begin() as connection:
            inserted = await connection.execute(sa.insert(attestations).values(values))
        assert inserted.inserted_primary_key is not None  # a single row has one
        return attestation.model_copy(update={"id": inserted.inserted_primary_key[0]})

    async def _first(self, query: sa.Select[Any]) -> Attestation | None:
        async with self._database.session() as connection:
            row = (await connection.execute(query)).mappings().one_or_none()
        if row is None:
            return None
        circumstances = Circumstances.model_validate({name: row[name] for name in Circumstances.model_fields})
        results = tuple(ProbeResult.model_validate(result) for result in row["results"])
        return Attestation(circumstances=circumstances, results=results, at=row["at"], id=row["id"])
