"""The host is attacked once, what held is remembered, and where something gave way nothing runs."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator import Orchestrator, Settings, open_orchestrator
from orchestrator.domain.attestation import Attestation
from orchestrator.errors import HostUnsafe
from orchestrator.lifecycle import attacks
from orchestrator.storage.attestations import SqlAttestations

PROMISED = {
    "only loopback",
    "no network",
    "no capabilities",
    "no new privileges",
    "system calls are filtered",
    "closed system calls",
    "its own uid",
    "root is out of reach",
    "read-only",
    "nothing executes from /tmp",
    "other owners' files",
    "processes are bounded",
    "memory is bounded",
}


@pytest.fixture(autouse=True)
def _strangers(monkeypatch: pytest.MonkeyPatch) -> None:
    """What an earlier test has seen of this host is not remembered."""
    monkeypatch.setattr("orchestrator.lifecycle.attest._seen_by_this_process", {})


@pytest.fixture
def settings(data_dir: Path) -> Settings:
    """As shipped: a host is attacked before it is used."""
    return Settings.load(data_dir=data_dir, attest=True)


@pytest.fixture
async def orchestrator(settings: Settings) -> AsyncIterator[Orchestrator]:
    """One that does not know its host yet."""
    async with open_orchestrator(settings) as opened:
        yield opened


async def rows(orchestrator: Orchestrator) -> int:
    """How many attestations the index holds."""
    import sqlalchemy as sa

    async with orchestrator.database.session() as connection:
        return int(await connection.scalar(sa.text("SELECT count(*) FROM attestations")) or 0)


async def test_every_defence_of_this_host_holds(orchestrator: Orchestrator) -> None:
    """Each attack of the list is made and refused, and nothing of it is left."""
    made = await orchestrator.attest()
    assert made.failed == (), made.failed
    assert {result.name for result in made.results} == PROMISED
    assert "Docker" in made.circumstances.engine
    assert list((orchestrator.settings.data_dir / "probes").iterdir()) == []
    assert await orchestrator.engine.survey((orchestrator.settings.data_dir / "instance").read_text()) == ()


async def test_a_host_is_attacked_once(orchestrator: Orchestrator, settings: Settings) -> None:
    """The first execution attacks; the next, in this process and in another, believes the index."""
    assert (await orchestrator.execute_code("print(1)", "owner")).output == "1\n"
    assert (await orchestrator.execute_code("print(2)", "owner")).output == "2\n"
    async with open_orchestrator(settings) as another:
        assert await another.attest() == await orchestrator.attest()
        assert await rows(another) == 1
        await another.attest(force=True)
        assert await rows(another) == 2


async def test_every_execution_names_what_it_stands_on(orchestrator: Orchestrator) -> None:
    """The row has the attestation's number, and a later attack does not change it."""
    made = await orchestrator.attest()
    await orchestrator.execute_code("print(1)", "owner", execution_id="first")
    second = await orchestrator.attest(force=True)
    await orchestrator.execute_code("print(2)", "owner", execution_id="second")
    assert made.id != second.id
    for execution_id, stands_on in (("first", made), ("second", second)):
        found = await orchestrator.operations.inspect(execution_id)
        assert found.execution.attestation_id == stands_on.id
        assert found.attestation == stands_on


async def test_a_service_can_refuse_to_start(
    orchestrator: Orchestrator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked before the first execution, a host that gives way is refused; one that holds is not."""
    await orchestrator.require_host()
    monkeypatch.setattr("orchestrator.lifecycle.attest._seen_by_this_process", {})
    monkeypatch.setattr("orchestrator.lifecycle.probe.BORDERS", "print('nothing seen')")
    with pytest.raises(HostUnsafe, match="no network"):
        async with open_orchestrator(orchestrator.settings.model_copy(update={"pids": 64})) as another:
            await another.require_host()


async def test_two_installations_of_a_process_attack_once(orchestrator: Orchestrator, tmp_path: Path) -> None:
    """They stand on the same host; the second writes down in its own index what the first has seen."""
    first = await orchestrator.attest()
    elsewhere = orchestrator.settings.model_copy(update={"data_dir": tmp_path / "elsewhere"})
    async with open_orchestrator(elsewhere) as second:
        assert await second.attest() == first
        assert await rows(second) == 1


async def test_another_lockdown_is_attacked_anew(orchestrator: Orchestrator, settings: Settings) -> None:
    """What was seen under other limits says nothing about these."""
    first = await orchestrator.attest()
    async with open_orchestrator(settings.model_copy(update={"pids": 64})) as stricter:
        second = await stricter.attest()
    assert second.failed == ()
    assert second.circumstances.code != first.circumstances.code


@pytest.mark.parametrize(
    ("attack", "replacement", "name"),
    [
        ('attempt("connect", lambda: connect(socket.AF_INET, ("192.0.2.1", 80)))', "", "no network"),
        ('seen["uid"] = ', 'seen["uid"] = [[0] * 3, [0] * 3, []] or ', "its own uid"),
        ('call(libc.syscall, of["keyctl"], 0, -3, 1)', "7", "closed system calls"),
        ("print(json.dumps(seen))", "", "no capabilities"),
    ],
)
async def test_nothing_runs_where_an_attack_gets_through(
    orchestrator: Orchestrator, monkeypatch: pytest.MonkeyPatch, attack: str, replacement: str, name: str
) -> None:
    """An attack that succeeds, or does not report, refuses the execution in one sentence that names it."""
    assert attack in attacks.BORDERS
    monkeypatch.setattr("orchestrator.lifecycle.probe.BORDERS", attacks.BORDERS.replace(attack, replacement))
    with pytest.raises(HostUnsafe, match=name) as refusal:
        await orchestrator.execute_code("print(1)", "owner")
    assert "\n" not in str(refusal.value)
    assert await orchestrator.list_executions() == []


async def test_what_is_stored_comes_back(orchestrator: Orchestrator) -> None:
    """The index gives back the newest attestation of exactly these circumstances, or none."""
    store = SqlAttestations(orchestrator.database)
    made = await orchestrator.attest()
    stored: Any = await store.newest(made.circumstances)
    assert isinstance(stored, Attestation)
    assert stored == made
    assert await store.newest(made.circumstances.model_copy(update={"host": "another boot"})) is None
