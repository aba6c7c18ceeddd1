"""The demonstration keeps its promises, or fails."""

from pathlib import Path

import pytest

from tests.cli.support import Cli


@pytest.mark.timeout(180)
def test_the_demonstration_succeeds_and_leaves_nothing(
    cli: Cli, tmp_path: Path, environment: dict[str, str]
) -> None:
    """Every act is shown, each promise is checked, and its data directory is gone."""
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    done = cli("demo", env=environment | {"TMPDIR": str(temporary)})
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    for word in (
        "sales.csv",
        "weekly.png",
        "year.parquet",
        "File not found or expired",
        "Everything was as promised",
    ):
        assert word in done.stdout
    assert list(temporary.iterdir()) == []
