"""The values at the borders: settings, limits, results, file ids, attestations and the clock."""

import json
import re
from dataclasses import FrozenInstanceError, fields
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from orchestrator.clock import SystemClock
from orchestrator.domain.attestation import Attestation, Circumstances, ProbeResult
from orchestrator.domain.files import SkippedFile, StoredFile, new_file_id
from orchestrator.domain.limits import GIB, MB, MIB, Limits
from orchestrator.domain.outcomes import Outcome
from orchestrator.domain.results import ExecutionResult, Timings
from orchestrator.errors import ConfigurationError
from orchestrator.settings import Settings

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An empty directory and none of our variables."""
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(f"SANDGLASS_{name.upper()}", raising=False)


def result(**values: Any) -> ExecutionResult:
    """A result with one file and one that was skipped."""
    stored = StoredFile(
        file_id="123_1_00000000",
        filename="a.csv",
        path="out/a.csv",
        type="data",
        media_type="text/csv",
        size=142,
        sha256="0" * 64,
        created_at=NOW,
        expires_at=None,
    )
    given_: dict[str, Any] = {
        "execution_id": "e",
        "owner": "123",
        "success": True,
        "outcome": Outcome.OK,
        "exit_code": 0,
        "hint": None,
        "output": "",
        "error": "",
        "output_bytes": 0,
        "error_bytes": 0,
        "truncated": False,
        "execution_time": 0.4,
        "timings": Timings(),
        "warm": True,
        "generated_files": (stored,),
        "generated_file_ids": (stored.file_id,),
        "skipped_files": (SkippedFile(path="huge.bin", size=60_000_000, reason="too large"),),
        "image": "sha256:0",
        "runtime": "runc",
    }
    return ExecutionResult(**{**given_, **values})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RUNTIME", "kata"),
        ("RUNTIME", ""),
        ("FILE_TTL_HOURS", "0"),
        ("FILE_TTL_HOURS", "-2"),
        ("FILE_TTL_HOURS", "-0.5"),
        ("FILE_TTL_HOURS", "soon"),
        ("MAX_FILE_BYTES", "0"),
        ("MAX_FILE_BYTES", "50MB"),
        ("SWEEP_INTERVAL", "0"),
        ("UID_BASE", "0"),
        ("UID_BASE", "1000"),
        ("UID_BASE", str(2**31)),
        ("MEMORY", "1g"),
        ("MEMORY", str(64 * MIB - 1)),
        ("CPUS", "0"),
        ("CPUS", "-1"),
        ("PIDS", "7"),
        ("PIDS", "-1"),
        ("TIMEOUT", "0"),
        ("MAX_TIMEOUT", "-1"),
        ("SLOTS", "-1"),
        ("QUEUE_LIMIT", "many"),
        ("MAX_INPUTS", "0"),
        ("LEASE_SECONDS", "1"),
        ("DISK_RESERVE", "-1"),
        ("ATTEST", "perhaps"),
        ("KEEP_CONTAINERS", "2"),
    ],
)
def test_a_malformed_variable_is_named(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One sentence in one line with the variable's own name and the remedy."""
    monkeypatch.setenv(f"SANDGLASS_{name}", value)
    with pytest.raises(
        ConfigurationError, match=rf"^SANDGLASS_{name} is not usable \(.*correct it"
    ) as caught:
        Settings.load()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [("MEMORY", 64 * MIB), ("UID_BASE", 100_000), ("PIDS", 8), ("SLOTS", 0), ("DISK_RESERVE", 0)],
)
def test_the_smallest_value_is_usable(name: str, value: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each bound is itself allowed."""
    monkeypatch.setenv(f"SANDGLASS_{name}", str(value))
    assert getattr(Settings.load(), name.lower()) == value


@pytest.mark.parametrize(
    ("hours", "ttl"), [("-1", None), ("48", timedelta(days=2)), ("0.5", timedelta(minutes=30))]
)
def test_a_lifetime_in_hours(hours: str, ttl: timedelta | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """-1 is for ever, and parts of an hour count."""
    monkeypatch.setenv("SANDGLASS_FILE_TTL_HOURS", hours)
    assert Settings.load().ttl == ttl


def test_the_file_counts_less_than_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`.env` is read where one is, others' lines in it are no error, and a variable wins over it."""
    (tmp_path / ".env").write_text("SANDGLASS_PIDS=64\nSANDGLASS_SLOTS=3\nDISCORD_TOKEN=x\n")
    monkeypatch.setenv("SANDGLASS_SLOTS", "5")
    assert (Settings.load().pids, Settings.load().slots) == (64, 5)
    assert Settings.load(slots=7).slots == 7


def test_a_malformed_line_of_the_file_is_named(tmp_path: Path) -> None:
    """It makes no difference where the value was written."""
    (tmp_path / ".env").write_text("SANDGLASS_CPUS=two\n")
    with pytest.raises(ConfigurationError, match="SANDGLASS_CPUS"):
        Settings.load()


def test_the_documented_defaults() -> None:
    """What the documentation promises where nothing is set."""
    settings = Settings.load()
    assert (settings.memory, settings.cpus, settings.pids) == (GIB, 1.0, 128)
    assert (settings.timeout, settings.max_timeout, settings.file_ttl_hours) == (60, 300, 48)
    assert (settings.max_file_bytes, settings.runtime, settings.attest) == (50 * MB, "runc", True)


def test_settings_cannot_be_changed_while_running() -> None:
    """They are read once."""
    with pytest.raises(ValidationError, match="frozen"):
        Settings.load().pids = 1_000_000  # type: ignore[misc]  # which is the point


@pytest.mark.parametrize(("asked", "seconds"), [(None, 60), (0.5, 0.5), (5, 5), (0, 0)])
def test_a_callers_timeout_counts_where_there_is_one(asked: float | None, seconds: float) -> None:
    """Only None means the default; 0 is a number."""
    assert Settings.load().limits(asked).wall_seconds == seconds


@settings(deadline=None)
@given(st.integers(64 * MIB, 1 << 40), st.floats(0.01, 64), st.integers(8, 10_000), st.integers(1, 1 << 40))
def test_the_settings_arrive_in_the_limits(memory: int, cpus: float, pids: int, size: int) -> None:
    """Four numbers come from the settings, and every other is the documented one."""
    found = Settings.load(memory=memory, cpus=cpus, pids=pids, max_file_bytes=size).limits()
    assert (found.memory, found.cpus, found.pids, found.file_bytes) == (memory, cpus, pids, size)
    same = {f.name for f in fields(Limits)} - {"memory", "cpus", "pids", "file_bytes"}
    assert all(getattr(found, name) == getattr(Limits(), name) for name in same)


def test_every_limit_bounds_something() -> None:
    """No documented limit is zero, negative or "without limit"."""
    assert all(getattr(Limits(), each.name) > 0 for each in fields(Limits))


def test_limits_cannot_be_loosened() -> None:
    """A frozen value: whoever holds it cannot change it."""
    with pytest.raises(FrozenInstanceError):
        Limits().memory = 1 << 50  # type: ignore[misc]  # which is the point


def test_a_result_has_exactly_the_promised_keys() -> None:
    """Programs rely on these names, in this order, and on no others."""
    assert " ".join(json.loads(result().model_dump_json())) == (
        "execution_id owner success outcome exit_code hint output error output_bytes error_bytes truncated "
        "execution_time timings warm generated_files generated_file_ids skipped_files installed_packages "
        "failed_packages image runtime"
    )


@pytest.mark.parametrize(
    ("part", "keys"),
    [
        ("timings", "queued acquire run harvest total"),
        ("skipped_files", "path size reason"),
        ("generated_files", "file_id filename path type media_type size sha256 created_at expires_at"),
    ],
)
def test_the_parts_of_a_result_have_exactly_the_promised_keys(part: str, keys: str) -> None:
    """The same holds within."""
    found = json.loads(result().model_dump_json())[part]
    assert " ".join(found[0] if isinstance(found, list) else found) == keys


def test_a_result_speaks_plain_json() -> None:
    """Lists are lists, the outcome is its word, times carry their zone, and nothing is null by omission."""
    said = json.loads(result().model_dump_json())
    assert (said["outcome"], said["hint"], said["installed_packages"]) == ("ok", None, [])
    assert said["generated_files"][0]["created_at"] == "2026-01-02T03:04:05Z"
    assert said["generated_files"][0]["expires_at"] is None


@settings(deadline=None)
@given(st.text(), st.sampled_from(Outcome), st.none() | st.integers(0, 255))
def test_a_result_survives_being_stored(output: str, outcome: Outcome, exit_code: int | None) -> None:
    """Read back from its JSON, it is equal."""
    before = result(output=output, outcome=outcome, exit_code=exit_code)
    assert ExecutionResult.model_validate_json(before.model_dump_json()) == before


def test_a_result_is_not_changed_afterwards() -> None:
    """A failure cannot be made a success by whoever holds it."""
    with pytest.raises(ValidationError, match="frozen"):
        result(success=False).success = True  # type: ignore[misc]  # which is the point


@settings(deadline=None)
@given(
    st.from_regex(r"[a-z0-9]{1,20}", fullmatch=True),
    st.datetimes(datetime(1971, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
)
def test_a_file_id_tells_owner_and_second(owner: str, now: datetime) -> None:
    """Owner, unix seconds and eight hex digits."""
    found = re.fullmatch(r"(.+)_(\d+)_([0-9a-f]{8})", new_file_id(owner, now))
    assert found is not None
    assert (found[1], int(found[2])) == (owner, int(now.timestamp()))


def test_file_ids_of_one_second_differ() -> None:
    """The digits are drawn anew each time."""
    assert len({new_file_id("1", NOW) for _ in range(100)}) == 100


@settings(deadline=None)
@given(st.lists(st.booleans(), max_size=8))
def test_an_attestation_names_what_got_through(held: list[bool]) -> None:
    """Exactly the attacks that did not hold, in their order, and the same after being stored."""
    attestation = Attestation(
        circumstances=Circumstances(host="h", engine="e", runtime="r", image="i", code="c"),
        results=tuple(ProbeResult(name=str(n), held=each, seen="") for n, each in enumerate(held)),
        at=NOW,
    )
    assert [each.name for each in attestation.failed] == [str(n) for n, each in enumerate(held) if not each]
    assert Attestation.model_validate_json(attestation.model_dump_json()) == attestation


@pytest.mark.parametrize("name", ["host", "engine", "runtime", "image", "code"])
def test_each_circumstance_counts(name: str) -> None:
    """An attestation under any other circumstance is not about this host."""
    here = Circumstances(host="h", engine="e", runtime="r", image="i", code="c")
    assert here.model_copy(update={name: "another"}) != here


@pytest.mark.parametrize("offset", [timedelta(), timedelta(hours=49), timedelta(days=-1)])
def test_a_moved_clock_is_moved_by_just_that(offset: timedelta) -> None:
    """The present is aware, in UTC, and as far away as was asked."""
    before, found, after = datetime.now(UTC), SystemClock(offset).now(), datetime.now(UTC)
    assert found.utcoffset() == timedelta()
    assert before + offset <= found <= after + offset


def test_the_other_clock_never_goes_back() -> None:
    """A moved clock measures as an unmoved one does."""
    clock = SystemClock(timedelta(days=-365))
    moments = [clock.monotonic() for _ in range(100)]
    assert all(earlier <= later for earlier, later in pairwise(moments))
