"""A peer is driven over lines; one that cannot be had is a reason in the report, never a guess."""

import sys
from pathlib import Path

import pytest

from orchestrator.bench.peer import CANDIDATES, DRIVERS, Candidate, PeerFailed, driven, started

DRIVER = f"""
import sys
sys.path.insert(0, {str(DRIVERS)!r})
from serve import serve

def answer(code):
    print("noise of a library")
    return 0.5, f"<{{code}}>"

def fail(code):
    raise ValueError(code)

serve("hypothesis", {{"answer": answer, "kept": fail}})
"""


@pytest.fixture
def driver(tmp_path: Path) -> tuple[str, ...]:
    """A driver in this interpreter that needs no peer."""
    script = tmp_path / "driver.py"
    script.write_text(DRIVER)
    return (sys.executable, str(script))


async def test_a_driver_answers_with_seconds_and_output(driver: tuple[str, ...]) -> None:
    """What the library prints meanwhile is no answer."""
    async with driven("a peer", driver) as peer:
        assert peer.does == ["answer", "kept"]
        assert peer.version
        assert await peer.timed("answer", "print(1)", "<print(1)>") == 0.5
        assert await peer.timed("answer", "2", "<2>") == 0.5


async def test_a_wrong_output_and_an_exception_are_reasons(driver: tuple[str, ...]) -> None:
    """A peer that did not do the work has no time for it; the driver lives on."""
    async with driven("a peer", driver) as peer:
        with pytest.raises(PeerFailed, match="it printed '<1>'"):
            await peer.timed("answer", "1", "42")
        with pytest.raises(PeerFailed, match="ValueError: boom"):
            await peer.timed("kept", "boom", "")
        assert await peer.timed("answer", "1", "<1>") == 0.5


async def test_a_driver_that_dies_is_a_reason() -> None:
    """Its library cannot be imported, say."""
    with pytest.raises(PeerFailed, match="ended without an answer"):
        async with driven("a peer", (sys.executable, "-c", "import no_such_library")):
            pytest.fail("it never answered")


async def test_what_cannot_be_installed_is_a_reason(tmp_path: Path) -> None:
    """And nothing half made is taken for an environment the next time."""
    candidate = Candidate(name="x", driver="run_x.py", requirements=(str(tmp_path / "no-such-project"),))
    for _ in range(2):
        with pytest.raises(PeerFailed, match="failed: "):
            async with started(candidate, "image", tmp_path / "cache", None):
                pytest.fail("it was installed")


def test_every_candidate_has_its_driver() -> None:
    """And they are compiled here, because nothing else of the project reads them."""
    for candidate in CANDIDATES:
        text = (DRIVERS / candidate.driver).read_text()
        compile(text, candidate.driver, "exec")
        assert candidate.driver != f"{candidate.name}.py", "it would import itself"
