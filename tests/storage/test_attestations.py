"""What attacks have shown is believed under exactly the circumstances that it was seen in."""

from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from orchestrator.domain.attestation import Attestation, Circumstances, ProbeResult
from orchestrator.storage.attestations import SqlAttestations
from orchestrator.storage.database import Database
from orchestrator.storage.tables import attestations as table

HERE = Circumstances(host="boot-1", engine="29.0", runtime="runc", image="sha256:1", code="abc")
MOMENT = datetime(2026, 3, 1, 12, tzinfo=UTC)


def _attestation(at: datetime = MOMENT, *, held: bool = True, where: Circumstances = HERE) -> Attestation:
    results = (
        ProbeResult(name="no network", held=held, seen="ENETUNREACH"),
        ProbeResult(name="no capabilities", held=True, seen="0000, né"),
    )
    return Attestation(circumstances=where, results=results, at=at)


@pytest.fixture
def kept(database: Database) -> SqlAttestations:
    return SqlAttestations(database)


async def test_nothing_is_attested_before_the_first_attack(kept: SqlAttestations) -> None:
    """An empty index vouches for no host."""
    assert await kept.newest(HERE) is None


async def test_an_attestation_comes_back_as_it_was_made(kept: SqlAttestations) -> None:
    """Results keep their order, their words and what they decided; the moment is aware."""
    made = await kept.add(_attestation(held=False))
    found = await kept.newest(HERE)
    assert found == made
    assert made.model_copy(update={"id": None}) == _attestation(held=False)
    assert found is not None
    assert [result.name for result in found.failed] == ["no network"]
    assert found.at.tzinfo is not None


@pytest.mark.parametrize("field", sorted(Circumstances.model_fields))
async def test_one_other_circumstance_makes_it_worthless(kept: SqlAttestations, field: str) -> None:
    """Another kernel, engine, runtime, image or code is another host to be attacked anew."""
    await kept.add(_attestation())
    assert await kept.newest(HERE.model_copy(update={field: "another"})) is None
    assert await kept.newest(HERE) is not None


@pytest.mark.parametrize("field", sorted(Circumstances.model_fields))
async def test_a_circumstance_is_compared_whole(kept: SqlAttestations, field: str) -> None:
    """Neither a beginning, nor a wildcard, nor another case stands for a value."""
    await kept.add(_attestation())
    value = str(getattr(HERE, field))
    for other in (value[:-1], "%", value.upper() + "_", ""):
        assert await kept.newest(HERE.model_copy(update={field: other})) is None


async def test_each_has_a_number_by_which_it_is_found(kept: SqlAttestations) -> None:
    """An execution of last week names the attestation that it stood on, whatever was seen since."""
    first, second = await kept.add(_attestation()), await kept.add(_attestation(held=False))
    assert first.id is not None
    assert second.id is not None
    assert first.id < second.id
    assert await kept.get(first.id) == first
    assert await kept.get(second.id) == second
    assert await kept.get(second.id + 1) is None


async def test_the_last_one_made_is_the_newest(kept: SqlAttestations) -> None:
    """A failure after a success counts, and so does a clock that was set back in between."""
    await kept.add(_attestation())
    await kept.add(_attestation(MOMENT - timedelta(hours=1), held=False))
    found = await kept.newest(HERE)
    assert found is not None
    assert len(found.failed) == 1


async def test_attestations_of_other_circumstances_do_not_mix(kept: SqlAttestations) -> None:
    """Each runtime has its own verdict."""
    there = HERE.model_copy(update={"runtime": "runsc"})
    await kept.add(_attestation())
    await kept.add(_attestation(held=False, where=there))
    here, other = await kept.newest(HERE), await kept.newest(there)
    assert here is not None
    assert other is not None
    assert (here.failed, len(other.failed)) == ((), 1)


async def test_every_attestation_is_remembered(kept: SqlAttestations, database: Database) -> None:
    """A newer one does not overwrite the older ones: they are the history of the host."""
    for hours in range(3):
        await kept.add(_attestation(MOMENT + timedelta(hours=hours)))
    async with database.session() as connection:
        assert await connection.scalar(sa.select(sa.func.count()).select_from(table)) == 3


async def test_a_naive_moment_is_no_attestation(kept: SqlAttestations) -> None:
    """A local time without a zone is refused, and nothing is written."""
    with pytest.raises(Exception, match="naive datetime"):
        await kept.add(_attestation(MOMENT.replace(tzinfo=None)))
    assert await kept.newest(HERE) is None
