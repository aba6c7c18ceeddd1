"""The rows of attestations: what attacks on this host have shown, newest by circumstances."""

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
        query = sa.select(attestations).where(*wanted).order_by(columns.id.desc()).limit(1)
        async with self._database.session() as connection:
            row = (await connection.execute(query)).mappings().one_or_none()
        if row is None:
            return None
        results = tuple(ProbeResult.model_validate(result) for result in row["results"])
        return Attestation(circumstances=circumstances, results=results, at=row["at"])

    async def add(self, attestation: Attestation) -> None:
        """Keep it."""
        values = attestation.circumstances.model_dump() | {
            "at": attestation.at,
            "results": [result.model_dump() for result in attestation.results],
        }
        async with self._database.begin() as connection:
            await connection.execute(sa.insert(attestations), values)
