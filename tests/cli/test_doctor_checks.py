"""Each thing that doctor looks at, broken alone: its line says what, and what to do."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from orchestrator import Settings
from orchestrator.cli import doctor
from orchestrator.cli.index import revision
from orchestrator.errors import EngineUnavailable, StorageFault
from orchestrator.storage.database import HEAD, upgrade


def test_a_directory_that_is_not_there_yet_is_no_fault(tmp_path: Path) -> None:
    """It is made at first use, and doctor makes nothing."""
    path = tmp_path / "deep" / "er"
    (finding,) = doctor._data_dir(path)
    assert (finding.good, finding.remedy) == (True, "")
    assert "made at first use" in finding.detail
    assert not path.parent.exists()


@pytest.mark.parametrize(
    ("mode", "private"), [(0o700, True), (0o600, True), (0o701, False), (0o750, False), (0o777, False)]
)
def test_a_directory_is_for_its_owner_alone(data_dir: Path, mode: int, *, private: bool) -> None:
    """One bit for anybody else is a finding with the command that takes it away."""
    data_dir.chmod(mode)
    finding = doctor._data_dir(data_dir)[1]
    assert finding.good is private
    assert finding.remedy.startswith("" if private else f"Run `chmod 700 {data_dir}`")
    assert bool(finding.remedy) is not private


def test_a_file_in_the_place_of_the_directory_is_a_fault(tmp_path: Path) -> None:
    """It is named, with the setting that points elsewhere."""
    path = tmp_path / "data"
    path.write_text("not a directory")
    finding = doctor._data_dir(path)[0]
    assert finding.good is False
    assert "SANDGLASS_DATA_DIR" in finding.remedy
    assert str(path) in finding.remedy


@pytest.mark.parametrize(("uid", "good"), [(0, True), (1000, False)])
def test_only_root_can_give_owners_their_ids(
    monkeypatch: pytest.MonkeyPatch, uid: int, *, good: bool
) -> None:
    """Anybody else is told why."""
    monkeypatch.setattr("orchestrator.cli.doctor.os.geteuid", lambda: uid)
    finding = doctor._root()
    assert (finding.good, finding.detail) == (good, f"uid {uid}")
    assert ("Run as root" in finding.remedy) is not good


@pytest.mark.parametrize(("reserve", "good"), [(0, True), (10**18, False)])
def test_the_reserve_is_held_against_the_room(data_dir: Path, reserve: int, *, good: bool) -> None:
    """Also where the data directory is not made yet: the disk is that of what is above it."""
    for path in (data_dir, data_dir / "not" / "yet"):
        finding = doctor._room(Settings(data_dir=path, disk_reserve=reserve))
        assert finding.good is good
        assert ("sandglass sweep" in finding.remedy) is not good


def test_no_index_is_no_fault(data_dir: Path) -> None:
    """It is made at first use; looking makes none."""
    finding = doctor._database(data_dir)
    assert (finding.good, finding.detail) == (True, "made at first use")
    assert list(data_dir.iterdir()) == []


def test_an_index_at_head_is_good(data_dir: Path) -> None:
    """Its revision is shown beside the newest."""
    upgrade(data_dir / "index.sqlite3")
    finding = doctor._database(data_dir)
    assert (finding.good, finding.remedy) == (True, "")
    assert finding.detail == f"revision {HEAD}, newest {HEAD}"
    assert revision(data_dir / "index.sqlite3") == HEAD


@pytest.mark.parametrize("found", ["0001", "9999", None])
def test_another_revision_is_a_fault(data_dir: Path, found: str | None) -> None:
    """Older, unknown or none: the remedy is the command that brings it up."""
    path = data_dir / "index.sqlite3"
    upgrade(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DELETE FROM alembic_version")
        if found:
            connection.execute("INSERT INTO alembic_version VALUES (?)", (found,))
        connection.commit()
    finding = doctor._database(data_dir)
    assert finding.good is False
    assert f"revision {found or 'none'}" in finding.detail
    assert "sandglass db upgrade" in finding.remedy


@pytest.mark.parametrize("content", [b"no database at all" * 100, b""])
def test_a_damaged_index_is_a_fault_and_stays_as_it_is(data_dir: Path, content: bytes) -> None:
    """Doctor says what to do and changes no byte."""
    path = data_dir / "index.sqlite3"
    path.write_bytes(content)
    finding = doctor._database(data_dir)
    assert finding.good is False
    assert "restore it from a backup" in finding.remedy
    assert path.read_bytes() == content
    with pytest.raises(StorageFault):
        revision(path)


async def test_a_question_that_fails_is_a_finding_with_the_errors_own_sentence() -> None:
    """An error of ours becomes a line; a good answer becomes its detail."""

    async def _fails() -> str:
        raise EngineUnavailable("No Docker Engine answers: start it.")

    async def _answers() -> str:
        return "answers"

    broken, sound = await doctor._finding("engine", _fails), await doctor._finding("engine", _answers)
    assert (broken.good, broken.remedy) == (False, "No Docker Engine answers: start it.")
    assert (sound.good, sound.detail, sound.remedy) == (True, "answers", "")
