"""What the benchmark puts into the README: a table between marks, and a picture drawn in a sandbox."""

import asyncio
from pathlib import Path

from orchestrator.bench.gate import committed_report
from orchestrator.bench.picture import between_marks, draw
from orchestrator.settings import Settings

ROOT = Path(__file__).parents[2]


def test_a_document_without_marks_is_the_table_alone() -> None:
    """A file of its own needs none."""
    assert between_marks("", "table\n") == "table\n"


def test_the_readme_shows_the_committed_figures() -> None:
    """The table there is the one of the committed run, and the picture lies beside it."""
    text = (ROOT / "README.md").read_text()
    assert between_marks(text, committed_report().summary()) == text
    assert "orchestrator/bench/benchmark.png" in text
    assert (ROOT / "orchestrator/bench/benchmark.png").read_bytes().startswith(b"\x89PNG")


async def test_the_picture_is_drawn_in_a_sandbox(data_dir: Path) -> None:
    """From the committed figures, by the image that everybody's code runs in."""
    report = await asyncio.to_thread(committed_report)
    picture = await draw(Settings(data_dir=data_dir), report)
    assert picture.startswith(b"\x89PNG")
    assert len(picture) > 20_000
